package smtpd

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

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
		if list, _ := s.saslMechanisms(); len(list) > 0 {
			text += "\nAUTH " + strings.Join(list, " ")
		}
	}
	if contains(s.conf.SMTPD.XClientNetworks, s.direct) {
		text += "\nXCLIENT " + xclientAttributes
	}
	return text
}

// saslMechanisms are those that this client may use, the -PLUS forms only where there is a channel binding; not sure is what
// authd could not be asked about.
func (s *session) saslMechanisms() (list []string, sure bool) {
	plain, sure := s.server.mechanisms.list(s.ctx, s.server.deps.Auth)
	if len(s.state.tls.bindings) == 0 {
		return plain, sure
	}
	for _, m := range plain {
		if strings.HasPrefix(m, "SCRAM-") {
			list = append(list, m+"-PLUS")
		}
		list = append(list, m)
	}
	return list, sure
}

// mechanisms remembers what authd offers.
type mechanisms struct {
	mu    sync.Mutex
	names []string
	sure  bool // else they are a guess
	until time.Time
}

const (
	mechanismsFor     = 30 * time.Second // how long the answer holds
	fallbackFor       = 5 * time.Second  // the same when there is none: not everybody waits for an authd that hangs
	mechanismsTimeout = 2 * time.Second
)

// fallback is offered while authd cannot be asked: the login will say "later".
var fallback = []string{"PLAIN", "LOGIN"}

// mayBeOffered are what authd may offer when it is back.
var mayBeOffered = []string{"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}

func (m *mechanisms) list(ctx context.Context, a Authenticator) (names []string, sure bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Now().Before(m.until) {
		return m.names, m.sure
	}
	ctx, cancel := context.WithTimeout(ctx, mechanismsTimeout)
	defer cancel()
	names, err := a.Mechanisms(ctx)
	if err != nil {
		m.names, m.sure, m.until = fallback, false, time.Now().Add(fallbackFor)
		return m.names, m.sure
	}
	m.sure = true
	m.names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !isAtom(n) || strings.HasSuffix(n, "-PLUS") })
	m.until = time.Now().Add(mechanismsFor)
	return m.names, m.sure
}
