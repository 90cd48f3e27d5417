package smtpd

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"

	"postrider/internal/auth"
	"postrider/internal/envelope"
	"postrider/internal/line"
	"postrider/internal/logline"
	"postrider/internal/reply"
)

// Bounds that are not worth a setting.
const (
	maxLine      = 2 << 10 // octets of a command; RFC 5321 §4.5.3.1.4 asks for 512, parameters need more
	maxAuthLine  = 8 << 10 // octets of AUTH and its responses: what a line.Reader holds
	maxJunk      = 100     // commands that lead to no message, between two messages
	maxLogins    = 5       // failed logins of a session
	minExcess    = 1000    // recipients beyond the limit, of one message, that are no errors yet
	maxHelo      = 255     // octets
	expandFactor = 10      // recipients after alias expansion, in units of those that may be named
	maxEnvelope  = 4 << 20 // octets of addresses of a message
)

// peer is who is at the other end.
type peer struct {
	name  string     // verified, or "unknown"
	ip    netip.Addr // invalid for a Unix socket
	local netip.Addr // where it connected to
	uid   int64      // of a Unix socket's peer, or envelope.NoUID
}

// String is the peer as the log names it.
func (p peer) String() string {
	switch {
	case p.ip.IsValid():
		return p.name + "[" + p.ip.String() + "]"
	case p.uid == envelope.NoUID: // by XCLIENT
		return p.name + "[" + unknown + "]"
	}
	return p.name + "[local]"
}

// state is what a client has told or shown of itself.
type state struct {
	helo  string // empty: nothing yet
	esmtp bool
	tls   *security // nil without
	login login
}

// login is who has authenticated; the zero value is nobody.
type login struct {
	user   auth.User
	method string
}

func (l login) ok() bool { return l.method != "" }

// session is one connection. One goroutine uses it.
type session struct {
	server *Server
	conf   *settings
	svc    *service
	log    *logline.Logger
	ctx    context.Context
	wire   *wire
	in     *line.Reader
	direct netip.Addr // the address that XCLIENT is judged by

	peer  peer
	state state
	tx    transaction

	code   int // of the last reply
	errors int // refused commands since the last message
	junk   int // commands that lead nowhere since the last message
	logins int // failed ones
	counts counts
}

func newSession(ctx context.Context, s *Server, w *wire, service string, uid int64) *session {
	conf := s.settings.Load()
	p := peer{name: unknown, uid: uid, ip: ipOf(w.conn.RemoteAddr()), local: ipOf(w.conn.LocalAddr())}
	return &session{
		server: s, conf: conf, svc: conf.service(service), log: s.deps.Log, ctx: ctx,
		wire: w, in: line.NewReader(w, conf.commandTimeout()), direct: p.ip, peer: p,
	}
}

func ipOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// ending is the error with which a session ends in good order; its reply has been given.
type ending struct{ reason string }

func (e *ending) Error() string { return e.reason }

var (
	errQuit    = &ending{"quit"}
	errTooMany = &ending{"too many errors"} // the log has Postfix's words for it: fail2ban looks for them
)

// run holds the session. It returns when the connection is of no more use.
func (s *session) run() {
	defer s.begin(transaction{}) // a message in progress is dropped, come what may
	if s.svc.TLS == implicitTLS {
		s.wire.setBusy(true)
		if err := s.handshake(); err != nil {
			s.log.Info("TLS handshake with %s failed: %v", s.peer, err)
			return
		}
	}
	s.peer.name = s.nameOf(s.peer.ip)
	s.log.Log(logline.Connect{Client: s.peer.String()})
	s.answer(s.svc.greeting)
	err := s.loop()
	s.begin(transaction{}) // before the last words, which may take a while
	s.part(err)
	s.wire.close(err != errQuit && !isLost(err))
}

// nameOf is the name of an address; those of this host are not asked for.
func (s *session) nameOf(ip netip.Addr) string {
	switch {
	case !ip.IsValid() || ip.IsLoopback():
		return "localhost"
	case s.server.deps.Names == nil || !s.conf.SMTPD.ClientNames:
		return unknown
	}
	return s.server.deps.Names.Name(s.ctx, ip)
}

// loop reads and carries out commands until the connection ends.
func (s *session) loop() error {
	for {
		s.in.Timeout = s.conf.commandTimeout()
		l, err := s.readLine()
		if err == nil {
			err = s.command(l)
		} else {
			err = s.badLine(err)
		}
		if err != nil {
			return err
		}
	}
}

// readLine waits for what the client says next, unless the session is to stop.
func (s *session) readLine() ([]byte, error) {
	if s.wire.setBusy(false) {
		s.answer(endShutdown)
		return nil, errQuit
	}
	l, err := s.in.ReadLine(maxAuthLine)
	if stop := s.wire.setBusy(true); stop && isTimeout(err) {
		s.answer(endShutdown)
		return nil, errQuit
	}
	return l, err
}

// badLine answers to what is no line; its error ends the session.
func (s *session) badLine(err error) error {
	switch {
	case errors.Is(err, line.ErrTooLong):
		return s.refuse(errTooLong)
	case errors.Is(err, line.ErrBareEOL):
		s.answer(endBareEOL)
	case isTimeout(err):
		s.answer(endTimeout)
	case errors.Is(err, errForeign):
		s.log.Warn("non-SMTP octets from %s", s.peer)
	}
	return err
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// command carries out one line.
func (s *session) command(l []byte) error {
	word, arg, _ := bytes.Cut(bytes.TrimRight(l, " "), []byte(" "))
	var upper [maxVerb]byte
	name := upper[:copy(upper[:], word)]
	for i, c := range name {
		if 'a' <= c && c <= 'z' {
			name[i] = c - ('a' - 'A')
		}
	}
	if len(word) > len(name) {
		name = nil
	}
	v, known := verbs[string(name)]
	s.counts.begin(v.count)
	switch {
	case !known && isForeign(word, name):
		s.log.Warn("non-SMTP command from %s: %.100q", s.peer, l)
		s.answer(endForeign)
		return &ending{"non-SMTP command"}
	case v.bytes && (len(l)+2 > maxLine || !isPlain(l)):
		s.answer(endBDAT)
		return &ending{"bad BDAT"}
	case len(l)+2 > maxLine && !v.long:
		return s.refuse(errTooLong)
	case !isPlain(l):
		return s.refuse(errLine)
	case !known || v.lmtp && !s.svc.lmtp || v.smtp && s.svc.lmtp:
		return s.refuse(errCommand)
	}
	if v.junk {
		if err := s.waste(); err != nil {
			return err
		}
	}
	err := v.run(s, string(bytes.TrimLeft(arg, " ")))
	if (err == nil || err == errQuit) && s.code < 400 {
		s.counts.succeed(v.count)
	}
	return err
}

// waste counts a command that leads to no message; its error, after too many, ends the session.
func (s *session) waste() error {
	if s.junk++; s.junk <= maxJunk {
		return nil
	}
	s.answer(endJunk)
	return errTooMany
}

// isPlain says that a command has no control characters.
func isPlain(l []byte) bool {
	for _, c := range l {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// answer gives a reply.
func (s *session) answer(r *reply.Reply) {
	s.wire.pend(r.Append(s.wire.out))
	s.code = r.Code
}

// accept gives a positive reply; it is the end of a command that succeeded.
func (s *session) accept(r *reply.Reply) error {
	s.answer(r)
	return nil
}

// refuse gives a negative reply and counts it; its error, after too many, ends the session. Processes of this host may be
// wrong as often as they like: they have a list of recipients to get through.
func (s *session) refuse(r *reply.Reply) error {
	s.answer(r)
	if s.errors++; s.errors >= s.conf.SMTPD.MaxErrors && !s.svc.local {
		s.answer(endErrors)
		return errTooMany
	}
	return nil
}

// trusted says that the client may send to anybody.
func (s *session) trusted() bool {
	return s.svc.local || s.state.login.ok() || contains(s.conf.SMTPD.RelayNetworks, s.peer.ip)
}

// protocol is the `with` of Received (RFC 3848, RFC 6531 §4.3).
func (s *session) protocol(utf8 bool) string {
	p := "SMTP"
	switch {
	case s.svc.lmtp:
		p = "LMTP"
	case s.state.esmtp && !utf8:
		p = "ESMTP"
	}
	if utf8 {
		p = "UTF8" + p
	}
	if !s.state.esmtp && !s.svc.lmtp {
		return p
	}
	if s.state.tls != nil {
		p += "S"
	}
	if s.state.login.ok() {
		p += "A"
	}
	return p
}

// client is the peer as envelopes keep it.
func (s *session) client(utf8 bool) envelope.Client {
	c := envelope.Client{
		Name: s.peer.name, IP: s.peer.ip, Helo: s.state.helo, Proto: s.protocol(utf8), Auth: s.state.login.user.Name,
	}
	if s.state.tls != nil {
		c.TLS = s.state.tls.version()
	}
	return c
}

// reject logs a refusal of policy and gives it.
func (s *session) reject(stage string, r *reply.Reply, to string) error {
	s.logReject(stage, r, to)
	return s.refuse(r)
}

func (s *session) logReject(stage string, r *reply.Reply, to string) {
	e := logline.Reject{
		Stage: stage, Client: s.peer.String(), Reply: r.Error(), From: s.tx.from.Addr.String(), To: to,
		Proto: s.protocol(false), Helo: s.state.helo,
	}
	if r.Cause != nil {
		e.Cause = r.Cause.Error()
	}
	if s.tx.message != nil {
		e.ID = s.tx.message.ID()
	}
	s.log.Log(e)
}

// part logs how the session ended.
func (s *session) part(err error) {
	e := logline.Disconnect{Client: s.peer.String()}
	var end *ending
	switch {
	case err == errTooMany:
		e.Reason, e.Stage = errTooMany.reason, s.counts.stage()
	case errors.As(err, &end):
	case isTimeout(err):
		e.Reason, e.Stage = "timeout", s.counts.stage()
	case errors.Is(err, line.ErrBareEOL), errors.Is(err, errForeign):
	default:
		e.Reason, e.Stage = "lost connection", s.counts.stage()
	}
	if e.Reason != "" {
		s.log.Log(e)
		e.Reason, e.Stage = "", ""
	}
	e.Good, e.Commands = s.counts.maps()
	s.log.Log(e)
}
