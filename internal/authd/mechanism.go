package authd

import (
	"context"
	"strings"

	"postrider/internal/auth"
)

// mechanism is the server side of one SASL exchange. next takes the client's message, nil if it sent no initial response;
// it returns a challenge, or the user once the login holds, or errRefused, or another error for later.
type mechanism interface {
	next(ctx context.Context, response []byte) (challenge []byte, user *auth.User, err error)
}

// newMechanism returns nil for a name that is not known.
func newMechanism(v *verifier, a attempt, bindings []auth.Binding) mechanism {
	if !v.ChannelBinding {
		bindings = nil // a client that could use one must not think that somebody took it away
	}
	switch a.mechanism {
	case "PLAIN":
		return &plain{v: v, a: a}
	case "LOGIN":
		return &login{v: v, a: a}
	case "SCRAM-SHA-256":
		return &scramExchange{v: v, a: a, bindings: bindings}
	case "SCRAM-SHA-256-PLUS":
		if len(bindings) == 0 {
			return nil
		}
		return &scramExchange{v: v, a: a, bindings: bindings, plus: true}
	}
	return nil
}

// plain is RFC 4616: one message, authzid NUL authcid NUL password.
type plain struct {
	v *verifier
	a attempt
}

func (p *plain) next(ctx context.Context, response []byte) ([]byte, *auth.User, error) {
	if response == nil {
		return []byte{}, nil, nil
	}
	f := strings.Split(string(response), "\x00")
	if len(f) != 3 || !p.v.same(f[0], f[1]) {
		return nil, nil, errRefused
	}
	user, err := p.v.password(ctx, p.a, f[1], f[2])
	if err != nil {
		return nil, nil, err
	}
	return nil, &user, nil
}

// same says whether an authorization identity is absent or means the user who authenticates. Nobody may act for another.
func (v *verifier) same(authzid, typed string) bool {
	if authzid == "" || authzid == typed {
		return true
	}
	a, err := identify(v.Domains, authzid)
	if err != nil {
		return false
	}
	b, err := identify(v.Domains, typed)
	return err == nil && a.key() == b.key()
}

// login is the LOGIN mechanism, which has no RFC (draft-murchison-sasl-login): two prompts that clients do not read.
type login struct {
	v    *verifier
	a    attempt
	name string
	step int
}

func (l *login) next(ctx context.Context, response []byte) ([]byte, *auth.User, error) {
	switch {
	case l.step == 0 && response == nil:
		l.step = 1
		return []byte("Username:"), nil, nil
	case l.step <= 1:
		l.step = 2
		l.name = string(response)
		return []byte("Password:"), nil, nil
	}
	user, err := l.v.password(ctx, l.a, l.name, string(response))
	if err != nil {
		return nil, nil, err
	}
	return nil, &user, nil
}
