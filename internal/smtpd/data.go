package smtpd

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"postrider/internal/envelope"
	"postrider/internal/line"
	"postrider/internal/logline"
	"postrider/internal/reply"
	"postrider/internal/spool"
)

// data carries out DATA.
func (s *session) data(arg string) error {
	switch {
	case arg != "":
		return s.refuse(errSyntax)
	case s.tx.message != nil:
		return s.refuse(errChunks)
	}
	if r := s.ready(); r != nil {
		return s.refuse(r)
	}
	if r := s.create(); r != nil {
		err := s.reject("DATA", r, "")
		s.begin(transaction{})
		return err
	}
	s.answer(goAhead)
	s.in.Timeout = s.conf.dataTimeout()
	_, err := s.in.CopyDot(s.tx.writer, s.conf.maxMessage())
	if isLost(err) {
		return s.lost(err)
	}
	return s.finish(err)
}

// ready says what is missing before a message may come.
func (s *session) ready() *reply.Reply {
	switch {
	case !s.tx.active:
		return errNoMail
	case s.tx.given > 0:
		return nil
	case s.tx.refused && !s.svc.lmtp: // RFC 5321 §3.3; RFC 2033 §4.2 wants 503
		return errNoValidRcpt
	}
	return errNoRcpt
}

// create begins the message of the transaction.
func (s *session) create() *reply.Reply {
	e := s.envelope()
	m, err := s.server.deps.Spool.Create(e, s.svc.internal)
	if err != nil {
		return fault(err)
	}
	s.tx.message = m
	s.tx.writer = newHeader(m, s.conf.SMTPD.MaxHops, s.completion(m.ID(), e))
	if _, err := m.Write(s.received(m.ID(), e)); err != nil {
		return fault(err)
	}
	return nil
}

// isLost says that the connection is of no more use.
func isLost(err error) bool {
	var lost *line.ReadError
	return errors.As(err, &lost)
}

// lost ends the session inside a message. Nothing that may still come is looked at.
func (s *session) lost(err error) error {
	switch {
	case isTimeout(err):
		s.answer(endTimeout)
	case errors.Is(err, line.ErrTooBig):
		s.answer(errTooBig)
		return &ending{"message far too big"}
	}
	return err
}

// finish answers to the end of a message; err is what was found to be wrong with it.
func (s *session) finish(err error) error {
	if err == nil {
		err = s.tx.writer.Close()
	}
	if err != nil {
		return s.fail(fault(err))
	}
	m := s.tx.message
	s.logAccept(m.ID())
	if err := m.Commit(); err != nil {
		s.log.Log(logline.Notice{Severity: logline.LevelError, ID: m.ID(), Text: "commit: " + err.Error()})
		return s.fail(fault(err))
	}
	given := s.tx.given
	s.tx = transaction{} // the message is the spool's now
	s.errors, s.junk = 0, 0
	s.each(given, reply.New(250, 0, 0, "Ok: queued as "+m.ID()))
	if err := s.wire.flush(); err != nil { // before anything else: who has this answer does not send again
		return &line.ReadError{Err: err}
	}
	return nil
}

func (s *session) logAccept(id string) {
	s.log.Log(logline.Accept{
		ID: id, Client: s.peer.String(), Method: s.state.login.method, Username: s.state.login.user.Name,
		UID: uidText(s.uid()), Parent: s.tx.parent,
	})
	if v := s.tx.writer.messageID; v != "" {
		s.log.Log(logline.MessageID{ID: id, MessageID: v})
	}
}

func uidText(uid int64) string {
	if uid == envelope.NoUID {
		return ""
	}
	return strconv.FormatInt(uid, 10)
}

// fail drops a message whose end has come and says why.
func (s *session) fail(r *reply.Reply) error {
	given := s.tx.given
	s.logReject("END-OF-MESSAGE", r, "")
	s.begin(transaction{})
	if s.svc.lmtp {
		s.each(given-1, r)
	}
	return s.refuse(r)
}

// each gives the answer to the end of a message: one, or by LMTP one for each recipient (RFC 2033 §4.2).
func (s *session) each(n int, r *reply.Reply) {
	if !s.svc.lmtp {
		n = 1
	}
	for range n {
		s.answer(r)
	}
}

// fault is the answer to what went wrong with a message.
func fault(err error) *reply.Reply {
	switch {
	case errors.Is(err, line.ErrTooBig):
		return errTooBig
	case errors.Is(err, line.ErrBareEOL):
		return errBareEOL
	case errors.Is(err, spool.ErrFull):
		return errFull.With(err)
	}
	return reply.Of(err, errSpool)
}

// bdat carries out BDAT (RFC 3030 §2). The octets of the chunk are read whatever the answer is.
func (s *session) bdat(arg string) error {
	size, last, ok := parseBDAT(arg)
	if !ok {
		s.answer(endBDAT)
		return &ending{"bad BDAT"}
	}
	s.in.Timeout = s.conf.dataTimeout()
	r := s.ready()
	if r == nil && s.tx.message == nil {
		if r = s.create(); r != nil {
			s.drop(r)
		}
	}
	if r != nil {
		if err := new(line.Chunks).Copy(s.in, io.Discard, size, s.conf.maxMessage()); isLost(err) {
			return s.lost(err)
		}
		return s.refuseChunk(r, last)
	}
	err := s.tx.chunks.Copy(s.in, s.tx.writer, size, s.conf.maxMessage()-s.tx.size)
	if isLost(err) {
		return s.lost(err)
	}
	s.tx.size += size
	if last {
		return s.finish(s.lastChunk(err))
	}
	if err != nil {
		r := fault(err)
		s.drop(r)
		return s.refuse(r)
	}
	if size == 0 {
		if err := s.waste(); err != nil {
			return err
		}
	}
	return s.accept(chunkTaken)
}

// drop ends the transaction of a message whose chunks go wrong. Those that are already on their way find none, but by LMTP the
// client waits for as many answers to the last of them as it has recipients.
func (s *session) drop(r *reply.Reply) {
	s.logReject("BDAT", r, "")
	s.begin(transaction{owed: s.tx.given})
}

// refuseChunk refuses a chunk for which there is no transaction.
func (s *session) refuseChunk(r *reply.Reply, last bool) error {
	if last && s.svc.lmtp {
		s.each(s.tx.owed-1, r)
		s.begin(transaction{})
	}
	return s.refuse(r)
}

// lastChunk gives the message's last line its end.
func (s *session) lastChunk(err error) error {
	if err != nil {
		return err
	}
	unterminated, err := s.tx.chunks.End()
	if unterminated {
		_, err = s.tx.writer.Write([]byte("\r\n"))
	}
	return err
}

// parseBDAT reads `size [LAST]`.
func parseBDAT(arg string) (size int64, last, ok bool) {
	digits, rest, more := strings.Cut(arg, " ")
	n, err := strconv.ParseUint(digits, 10, 62)
	if err != nil || more && !strings.EqualFold(rest, "LAST") {
		return 0, false, false
	}
	return int64(n), more, true
}
