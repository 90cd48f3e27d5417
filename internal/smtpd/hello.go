package smtpd

import (
	"strings"

	"postrider/internal/reply"
)

// hello carries out HELO.
func (s *session) hello(arg string) error { return s.greet(arg, false) }

// ehlo carries out EHLO and LHLO.
func (s *session) ehlo(arg string) error { return s.greet(arg, true) }

// greet takes the name that a client gives itself. Clients give anything: [127.0.0.1], 127.0.0.1, a bare host name, or what
// their user called the machine. It is used in Received and the log only, and refused only if there is none.
func (s *session) greet(name string, esmtp bool) error {
	if name == "" || len(name) > maxHelo || !isText(name) {
		return s.refuse(errSyntax.Withf("Syntax: EHLO hostname"))
	}
	s.begin(transaction{})
	st := s.state
	st.helo, st.esmtp = strings.Clone(name), esmtp
	s.state = st
	if !esmtp {
		return s.accept(&reply.Reply{Code: 250, Text: s.conf.Hostname})
	}
	return s.accept(&reply.Reply{Code: 250, Text: s.extensions()})
}

// extensions is the text of the answer to EHLO.
func (s *session) extensions() string {
	text := s.svc.hello
	if s.mayStartTLS() {
		text += "\nSTARTTLS"
	}
	if s.mayAuth() && s.state.tls != nil {
		if list := s.server.offer.List(s.ctx, s.server.deps.Auth, s.state.tls.bindings); len(list) > 0 {
			text += "\nAUTH " + strings.Join(list, " ")
		}
	}
	if contains(s.conf.SMTPD.XClientNetworks, s.direct) {
		text += "\nXCLIENT " + xclientAttributes
	}
	return text
}
