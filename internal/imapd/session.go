package imapd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"postrider/internal/fetch"
	"postrider/internal/imap"
	"postrider/internal/imapd/inflate"
)

// maxBad is how many wrong commands in a row a client may send.
const maxBad = 20

// session is one client. All of it is used by one goroutine; only stream has a second one, now and then.
type session struct {
	o      *Options
	stream *stream
	wire   *wire
	r      *imap.Reader
	w      *imap.Writer

	on         enabled
	notify     *notification // nil = NOTIFY was not used
	unasked    bool          // what is told is no answer to a command
	box        *selection    // nil = no mailbox is selected
	fetcher    fetch.Fetcher
	flags      []imap.Flag // scratch
	compressed bool
	bad        int
	end        string // why the session ends; "" = it goes on
	sum        Summary
}

// reply is how a command is answered; then is what follows the answer. The empty reply is none: the session ends in the command.
type reply struct {
	status imap.Condition
	code   imap.Code
	text   string
	then   func()
}

func ok(text string) reply                 { return reply{status: imap.OK, text: text} }
func bad(text string) reply                { return reply{status: imap.BAD, text: text} }
func no(code imap.Code, text string) reply { return reply{status: imap.NO, code: code, text: text} }

func newSession(conn net.Conn, given *Options, t times) *session {
	o := given.withDefaults()
	t.idle = o.IdleTimeout
	st := &stream{conn: conn, times: t}
	w := &wire{src: st, dst: st}
	s := &session{o: o, stream: st, wire: w, w: imap.NewWriter(w)}
	s.r = imap.NewReader(w, s.w)
	s.r.State, s.r.Limits = imap.Authenticated, imap.LimitsAfterLogin
	return s
}

func (s *session) run(ctx context.Context) {
	defer s.endNotify()
	defer s.leave()
	s.makeFolders(ctx)
	s.greet()
	for s.end == "" {
		if err := errors.Join(ctx.Err(), s.w.Err()); err != nil {
			s.failed(ctx, err)
			break
		}
		if err := s.await(ctx); err != nil {
			if s.end == "" {
				s.failed(ctx, err)
			}
			continue
		}
		req, err := s.r.Next()
		if err != nil {
			s.failed(ctx, err)
			continue
		}
		s.handle(ctx, req)
	}
	s.w.Flush()
}

// greet answers the command by which the client logged in.
func (s *session) greet() {
	if s.o.Tag != "" {
		s.w.Tagged(s.o.Tag, imap.OK, imap.CodeCapability(s.capabilities()), "Logged in")
	}
}

// handle carries out a command and answers it.
func (s *session) handle(ctx context.Context, req *imap.Request) {
	own := s.ownListing(ctx, req)
	r := s.carryOut(ctx, req)
	own()
	s.update(ctx, req)
	if r.status == "" {
		return
	}
	s.tellProgress(req.Command, &r)
	s.w.Tagged(req.Tag, r.status, r.code, r.text)
	if r.then != nil {
		r.then()
	}
	s.count(r.status)
}

// count ends the session of a client that sends nothing but nonsense.
func (s *session) count(status imap.Condition) {
	if status != imap.BAD {
		s.bad = 0
		return
	}
	if s.bad++; s.bad == maxBad {
		s.bye("Too many invalid IMAP commands.", "Too many invalid IMAP commands.")
	}
}

// bye tells the client that the session ends, and notes why for the log.
func (s *session) bye(text, reason string) {
	if s.end == "" {
		s.w.Untagged(imap.BYE, "", text)
		s.end = reason
	}
}

// failed deals with a command that could not be read.
func (s *session) failed(ctx context.Context, err error) {
	if refused := (*imap.CommandError)(nil); errors.As(err, &refused) {
		if refused.Status == imap.NO && (refused.Name == "SELECT" || refused.Name == "EXAMINE") {
			s.leaveAloud() // as any that fails (RFC 3501 §6.3.1)
		}
		s.w.Refuse(refused)
		s.count(refused.Status)
		return
	}
	switch {
	case ctx.Err() != nil:
		s.bye("Server shutting down.", "Server shutting down")
	case s.w.Err() != nil:
		s.end = fmt.Sprintf("Connection closed: %v", s.w.Err())
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.bye("Disconnected for inactivity.", fmt.Sprintf("Inactivity - no input for %d secs", int(s.stream.times.idle/time.Second)))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		s.end = "Connection closed"
	default:
		s.unreadable(err)
	}
}

// unreadable ends the session for what the client sent, or for an error of the connection.
func (s *session) unreadable(err error) {
	for _, nonsense := range []error{imap.ErrEndless, imap.ErrImpatient, inflate.ErrCorrupt} {
		if errors.Is(err, nonsense) {
			s.bye(nonsense.Error(), nonsense.Error())
			return
		}
	}
	s.end = fmt.Sprintf("Connection closed: %v", err)
}

// carryOut does what a command says, unless the client has enabled what forbids it.
func (s *session) carryOut(ctx context.Context, req *imap.Request) reply {
	if s.on.uidOnly && usesNumbers(req) {
		return uidRequired()
	}
	if s.on.rev2 {
		if item := wentWithRev2(req.Command); item != "" {
			return bad(item + " is not of IMAP4rev2.")
		}
	}
	return s.anywhere(ctx, req)
}

// anywhere has the commands that need no selected mailbox; the others come to inMailbox.
func (s *session) anywhere(ctx context.Context, req *imap.Request) reply {
	switch c := req.Command.(type) {
	case *imap.Capability:
		s.w.Capability(s.capabilities())
		return ok("Capability completed.")
	case *imap.Noop:
		return ok("NOOP completed.")
	case *imap.Logout:
		s.bye("Logging out", "Logged out")
		return ok("Logout completed.")
	case *imap.ID:
		s.w.ID([]imap.IDParam{{Key: "name", Value: "Postrider", Valid: true}})
		return ok("ID completed.")
	case *imap.Namespace:
		s.w.Namespace([]imap.NamespaceData{{Delimiter: separator}}, nil, nil)
		return ok("Namespace completed.")
	case *imap.Enable:
		return s.enable(c)
	case *imap.Compress:
		return s.compress(c)
	case *imap.Idle:
		return s.idle(ctx)
	case *imap.Select:
		return s.selectMailbox(ctx, c)
	case *imap.Create:
		return s.create(ctx, c)
	case *imap.Delete:
		return s.deleteMailbox(c)
	case *imap.Rename:
		return s.rename(ctx, c)
	case *imap.Subscribe:
		return s.subscribe(ctx, c.Mailbox)
	case *imap.Unsubscribe:
		return s.unsubscribe(ctx, c.Mailbox)
	case *imap.List:
		return s.list(ctx, c)
	case *imap.LSub:
		return s.lsub(c)
	case *imap.Status:
		return s.status(ctx, c)
	case *imap.Append:
		return s.appendMessages(ctx, c)
	case *imap.GetMetadata:
		return s.getMetadata(c)
	case *imap.SetMetadata:
		return s.setMetadata(ctx, c)
	case *imap.Notify:
		return s.notifyCommand(ctx, c)
	case *imap.GetQuota:
		return s.getQuota(ctx, c)
	case *imap.GetQuotaRoot:
		return s.getQuotaRoot(ctx, c)
	}
	return s.inMailbox(ctx, req)
}

func (s *session) inMailbox(ctx context.Context, req *imap.Request) reply {
	if s.box == nil {
		return bad("No mailbox selected.")
	}
	s.box.replaceSaved(req.Command)
	switch c := req.Command.(type) {
	case *imap.Check:
		return ok("Check completed.")
	case *imap.Close:
		return s.closeMailbox(ctx)
	case *imap.Unselect:
		s.leave()
		return ok("Unselect completed.")
	case *imap.Expunge:
		return s.expunge(ctx, c)
	case *imap.Fetch:
		return s.fetch(ctx, c)
	case *imap.Store:
		return s.store(ctx, c)
	case *imap.Copy:
		return s.copy(ctx, c)
	case *imap.Move:
		return s.move(ctx, c)
	case *imap.Replace:
		return s.replace(ctx, c)
	case *imap.Search:
		return s.search(ctx, req.Tag, c)
	case *imap.Sort:
		return s.sort(ctx, req.Tag, c)
	case *imap.Thread:
		return s.thread(ctx, req.Tag, c)
	}
	return bad("Unknown command.")
}
