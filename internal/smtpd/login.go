package smtpd

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"postrider/internal/auth"
	"postrider/internal/line"
	"postrider/internal/logline"
	"postrider/internal/reply"
)

// mayAuth says whether this service has logins and this client is still to give one.
func (s *session) mayAuth() bool {
	return s.svc.Auth && s.server.deps.Auth != nil && !s.state.login.ok()
}

// auth carries out AUTH (RFC 4954). It carries messages between the client and authd and understands none of them.
func (s *session) auth(arg string) error {
	mech, initial, has := strings.Cut(arg, " ")
	switch {
	case !s.svc.Auth || s.server.deps.Auth == nil:
		return s.refuse(errNotOffered)
	case s.state.helo == "":
		return s.refuse(errHello)
	case s.state.tls == nil:
		return s.refuse(errEncrypt)
	case s.state.login.ok():
		return s.refuse(errHaveAuth)
	case s.tx.active:
		return s.refuse(errNested)
	case mech == "":
		return s.refuse(errSyntax)
	}
	mech = strings.ToUpper(mech)
	switch list, sure := s.saslMechanisms(); {
	case slices.Contains(list, mech):
	case !sure && slices.Contains(mayBeOffered, mech):
		return s.refuse(errAuthLater)
	default:
		return s.refuse(errMechanism)
	}
	var response []byte
	if has {
		var ok bool
		if response, ok = decodeResponse([]byte(initial), true); !ok {
			return s.refuse(errBase64)
		}
	}
	return s.exchange(mech, response)
}

// decodeResponse reads base64; an initial response of "=" is one that is empty (RFC 4954 §4).
func decodeResponse(b []byte, initial bool) ([]byte, bool) {
	if initial && string(b) == "=" {
		return []byte{}, true
	}
	if initial && len(b) == 0 || strings.ContainsAny(string(b), "\r\n") {
		return nil, false
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
	n, err := base64.StdEncoding.Strict().Decode(out, b)
	return out[:n], err == nil
}

// exchange holds the dialogue of a login.
func (s *session) exchange(mech string, initial []byte) error {
	select {
	case s.server.exchanges <- struct{}{}:
		defer func() { <-s.server.exchanges }()
	default:
		s.log.Warn("%s: SASL %s refused: %d logins are in progress", s.peer, mech, cap(s.server.exchanges))
		return s.refuse(errAuthLater)
	}
	x := s.server.deps.Auth.Start(s.ctx, auth.Request{
		Service: "smtp", Mechanism: mech, RemoteIP: ipText(s.peer.ip), LocalIP: ipText(s.peer.local),
		TLS: s.state.tls.version(), Bindings: s.state.tls.bindings, Initial: initial,
	})
	defer x.Abort()
	var response []byte
	for {
		challenge, done, user, err := x.Step(response)
		if done || err != nil {
			return s.loggedIn(mech, user, err)
		}
		s.answer(&reply.Reply{Code: 334, Text: base64.StdEncoding.EncodeToString(challenge)})
		var r *reply.Reply
		if response, r, err = s.response(); err != nil {
			return err
		}
		if r != nil {
			s.log.Log(logline.Login{Client: s.peer.String(), Method: mech, Reason: r.Text})
			return s.refuse(r)
		}
	}
}

// response reads the client's next message. The error ends the session.
func (s *session) response() ([]byte, *reply.Reply, error) {
	s.in.Timeout = s.conf.loginTimeout
	l, err := s.readLine()
	switch {
	case errors.Is(err, line.ErrTooLong):
		return nil, errAuthLine, nil
	case err != nil:
		return nil, nil, s.badLine(err)
	case string(l) == "*":
		return nil, errCancelled, nil
	}
	response, ok := decodeResponse(l, false)
	if !ok {
		return nil, errBase64, nil
	}
	return response, nil, nil
}

// loggedIn answers to the end of an exchange. Only a refusal says that a password is wrong.
func (s *session) loggedIn(mech string, user auth.User, err error) error {
	switch {
	case err == nil && user.Name != "":
		st := s.state
		st.login = login{user: user, method: mech}
		s.state = st
		return s.accept(okLogin)
	case errors.Is(err, auth.ErrRefused):
		s.log.Log(logline.Login{Client: s.peer.String(), Method: mech, Reason: "credentials invalid"})
		if s.logins++; s.logins >= maxLogins {
			s.answer(errAuth)
			s.answer(endLogins)
			return errTooMany
		}
		return s.refuse(errAuth)
	}
	s.log.Warn("%s: SASL %s cannot be checked: %v", s.peer, mech, err)
	return s.refuse(errAuthLater)
}

func ipText(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}
