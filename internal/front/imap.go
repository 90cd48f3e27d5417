package front

import (
	"encoding/base64"
	"errors"

	"postrider/internal/auth"
	"postrider/internal/imap"
)

// IMAP is imapd's side of the matter (RFC 3501, of RFC 9051 what is the same).
var IMAP = &Protocol{
	name:    "imap",
	begin:   beginIMAP,
	refusal: func(text string) []byte { return []byte("* BYE " + text + "\r\n") },
}

// imapDialogue is what is said before a login.
type imapDialogue struct {
	c             *connection
	in            *imap.Reader
	out           *imap.Writer
	commands, bad int
}

func beginIMAP(c *connection) dialogue {
	out := imap.NewWriter(c.wire)
	return &imapDialogue{c: c, in: imap.NewReader(c.wire, out), out: out}
}

// capabilities are those of the connection as it is. What the session can do is said after the login; IDLE and ENABLE stand
// here, too, for clients that ask only once.
func (d *imapDialogue) capabilities() []string {
	list := []string{"IMAP4rev1", "IMAP4rev2", "LITERAL+", "SASL-IR", "ID", "ENABLE", "IDLE"}
	if d.c.mayStartTLS() {
		list = append(list, "STARTTLS")
	}
	if !d.c.mayLogin() {
		return append(list, "LOGINDISABLED")
	}
	for _, m := range d.c.mechanisms() {
		list = append(list, "AUTH="+m)
	}
	return list
}

func (d *imapDialogue) greet() {
	d.out.Untagged(imap.OK, imap.CodeCapability(d.capabilities()), "Postrider ready.")
}

func (d *imapDialogue) bye(text string) {
	if text != "" {
		d.out.Untagged(imap.BYE, "", text)
	}
	d.out.Flush() // the connection ends anyway
}

func (d *imapDialogue) ahead() []byte { return d.in.Take() }

func (d *imapDialogue) run() error {
	for d.c.opened == nil {
		if d.commands++; d.commands > maxCommands {
			return errCommands
		}
		request, err := d.in.Next()
		d.c.tally.pending = false
		if err == nil {
			err = d.do(request)
		}
		if err = d.refuse(err); err != nil {
			return err
		}
	}
	return nil
}

// refuse answers a command that could not be read, and returns any other error.
func (d *imapDialogue) refuse(err error) error {
	var refused *imap.CommandError
	switch {
	case errors.As(err, &refused):
		d.out.Refuse(refused)
		if d.bad++; d.bad >= maxBad {
			return errBad
		}
		return nil
	case errors.Is(err, imap.ErrEndless), errors.Is(err, imap.ErrImpatient):
		return errEndless
	}
	return err
}

func (d *imapDialogue) do(r *imap.Request) error {
	switch command := r.Command.(type) {
	case *imap.Capability:
		d.out.Capability(d.capabilities())
	case *imap.ID:
		d.out.ID([]imap.IDParam{{Key: "name", Value: "Postrider", Valid: true}})
	case *imap.Noop:
	case *imap.Logout:
		d.out.Untagged(imap.BYE, "", "Logging out")
		d.ok(r)
		return errLoggedOut
	case *imap.StartTLS:
		return d.startTLS(r)
	case *imap.Login:
		a, ok := plain(command.User, command.Password)
		if !ok {
			return &imap.CommandError{Tag: r.Tag, Status: imap.BAD, Text: "NUL in LOGIN"}
		}
		return d.login(r, a)
	case *imap.Authenticate:
		return d.login(r, attempt{mechanism: command.Mechanism, initial: command.Initial})
	default:
		return &imap.CommandError{Tag: r.Tag, Status: imap.BAD, Text: r.Name + " is not possible now"}
	}
	d.ok(r)
	return nil
}

func (d *imapDialogue) ok(r *imap.Request) {
	d.out.Tagged(r.Tag, imap.OK, "", r.Name+" completed.")
}

// startTLS answers STARTTLS. What the client sent ahead in clear anybody may have put there.
func (d *imapDialogue) startTLS(r *imap.Request) error {
	switch {
	case !d.c.mayStartTLS():
		return &imap.CommandError{Tag: r.Tag, Status: imap.BAD, Text: "STARTTLS is not possible now"}
	case d.in.Buffered() > 0:
		return errAhead
	}
	d.out.Tagged(r.Tag, imap.OK, "", "Begin TLS negotiation now.")
	if err := d.out.Flush(); err != nil {
		return err
	}
	return errStartTLS
}

// login carries out LOGIN or AUTHENTICATE. A session that has been opened answers the command itself.
func (d *imapDialogue) login(r *imap.Request, a attempt) error {
	if !d.c.mayLogin() {
		d.c.tally.disallowed = true
		d.out.Tagged(r.Tag, imap.NO, imap.CodePrivacyRequired, "Passwords are not accepted without TLS.")
		return nil
	}
	if !d.c.offered(a.mechanism) {
		d.out.Tagged(r.Tag, imap.NO, imap.CodeCannot, "Unsupported authentication mechanism.")
		return nil
	}
	if err := d.out.Flush(); err != nil { // the answer may take a while
		return err
	}
	a.tag, a.respond = r.Tag, d.respond
	return d.answer(r.Tag, d.c.attempt(a))
}

// respond has the client answer a challenge.
func (d *imapDialogue) respond(challenge []byte) ([]byte, error) {
	line := base64.StdEncoding.AppendEncode([]byte("+ "), challenge)
	d.out.Raw(append(line, "\r\n"...))
	return d.in.ReadSASL()
}

// answer tells what became of a login that did not lead to a session.
func (d *imapDialogue) answer(tag string, err error) error {
	switch {
	case err == nil:
	case errors.Is(err, auth.ErrRefused):
		d.out.Tagged(tag, imap.NO, imap.CodeAuthenticationFailed, "Authentication failed.")
		if d.c.tally.failed >= maxFailures {
			return errFailures
		}
	case errors.Is(err, errPlaces):
		d.out.Tagged(tag, imap.NO, imap.CodeLimit, "Too many sessions of this user.")
	case errors.Is(err, auth.ErrInUse):
		d.out.Tagged(tag, imap.NO, imap.CodeInUse, "Mailbox is in use.")
	case errors.Is(err, auth.ErrLater):
		d.out.Tagged(tag, imap.NO, imap.CodeUnavailable, "Temporary failure, try again later.")
		if d.c.tally.later >= maxLater {
			return errLater
		}
	case errors.Is(err, imap.ErrCancelled):
		d.out.Tagged(tag, imap.BAD, "", "Authentication cancelled.")
	default:
		return err
	}
	return nil
}
