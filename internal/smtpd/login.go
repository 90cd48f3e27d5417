package smtpd

import (
	"encoding/base64"
	"errors"
	"net/netip"
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
	if !s.server.offer.Has(s.ctx, s.server.deps.Auth, s.state.tls.bindings, mech) {
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
	initial, respond, err := auth.Collect(mech, initial, s.respond)
	if err != nil {
		return s.unanswered(mech, err)
	}
	place, ok := s.server.places.Take(s.ctx, s.peer.ip)
	if !ok {
		s.server.warned.Warn(s.log, "%s: SASL %s refused: too many logins are in progress", s.peer, mech)
		return s.refuse(errAuthLater)
	}
	defer place.Leave()
	x := s.server.deps.Auth.Start(s.ctx, auth.Request{
		Service: "smtp", Mechanism: mech, RemoteIP: ipText(s.peer.ip), LocalIP: ipText(s.peer.local),
		TLS: s.state.tls.version(), Bindings: s.state.tls.bindings, Initial: initial,
	})
	defer x.Abort()
	var response []byte
	for {
		challenge, done, user, err := x.Step(response)
		if err == nil && done {
			place.LoggedIn()
		}
		if done || err != nil {
			return s.loggedIn(mech, user, err)
		}
		if response, err = respond(challenge); err != nil {
			return s.unanswered(mech, err)
		}
	}
}

// respond has the client answer a challenge. A *reply.Reply is what it is told instead; another error ends the session.
func (s *session) respond(challenge []byte) ([]byte, error) {
	s.answer(&reply.Reply{Code: 334, Text: base64.StdEncoding.EncodeToString(challenge)})
	s.in.Timeout = s.conf.loginTimeout
	l, err := s.readLine()
	switch {
	case errors.Is(err, line.ErrTooLong):
		return nil, errAuthLine
	case err != nil:
		return nil, s.badLine(err)
	case string(l) == "*":
		return nil, errCancelled
	}
	response, ok := decodeResponse(l, false)
	if !ok {
		return nil, errBase64
	}
	return response, nil
}

// unanswered ends a login that the client does not go on with.
func (s *session) unanswered(mech string, err error) error {
	r, ok := err.(*reply.Reply)
	if !ok {
		return err
	}
	s.log.Log(logline.Login{Client: s.peer.String(), Method: mech, Reason: r.Text})
	return s.refuse(r)
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
	s.server.warned.Warn(s.log, "%s: SASL %s cannot be checked: %v", s.peer, mech, err)
	return s.refuse(errAuthLater)
}

func ipText(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return ip.String()
}
