package authd

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/xdg-go/scram"
	"github.com/xdg-go/stringprep"

	"postrider/internal/auth"
	"postrider/internal/password"
)

// maxSCRAMMessage bounds what a client sends in octets. Its nonce comes back in our answer.
const maxSCRAMMessage = 2 << 10

// scramExchange is SCRAM-SHA-256 (RFC 5802, RFC 7677), with channel binding if plus.
//
// A server has to name salt and iterations before it can know which of several passwords the client has. So one
// conversation runs for each password of the user with the salt of the first, all with the same nonce, and the proof may
// fit any of them.
type scramExchange struct {
	v        *verifier
	a        attempt
	bindings []auth.Binding
	plus     bool

	step     int
	id       identity
	verdict  verdict // if no proof fits
	entries  []password.Entry
	attempts []*scram.ServerConversation // one per entry, or one that cannot succeed
	user     auth.User
}

func (x *scramExchange) next(ctx context.Context, response []byte) ([]byte, *auth.User, error) {
	if response == nil {
		return []byte{}, nil, nil // RFC 4422 §3: the client begins
	}
	if len(response) > maxSCRAMMessage {
		return nil, nil, errRefused
	}
	x.step++
	switch x.step {
	case 1:
		challenge, err := x.first(string(response))
		return challenge, nil, err
	case 2:
		challenge, err := x.final(ctx, string(response))
		return challenge, nil, err
	case 3:
		return nil, &x.user, nil // the client has seen our signature
	}
	return nil, nil, errRefused
}

// first answers the client's first message with nonce, salt and iterations.
func (x *scramExchange) first(message string) ([]byte, error) {
	binding, ok := x.binding(message)
	if !ok {
		return nil, errRefused
	}
	nonce := rand.Text()
	var failure error
	answer, err := x.converse(message, nonce, binding, func(name string) (scram.StoredCredentials, error) {
		var keys scram.StoredCredentials
		keys, failure = x.load(name)
		return keys, failure
	})
	if failure != nil {
		x.v.Log.Warn("auth: SCRAM login: %v", failure)
		return nil, errors.New("cannot verify now")
	}
	if err != nil || !x.v.same(x.attempts[0].AuthzID(), x.attempts[0].Username()) {
		return nil, errRefused
	}
	for _, e := range x.entries[min(1, len(x.entries)):] {
		keys, _ := e.SCRAM()
		_, err := x.converse(message, nonce, binding, func(string) (scram.StoredCredentials, error) { return stored(keys), nil })
		if err != nil {
			return nil, errRefused
		}
	}
	return []byte(answer), nil
}

// converse opens one more conversation.
func (x *scramExchange) converse(message, nonce string, binding scram.ChannelBinding, keys scram.CredentialLookup) (string, error) {
	server, err := scram.SHA256.NewServer(keys)
	if err != nil {
		return "", err
	}
	c := server.WithNonceGenerator(func() string { return nonce }).NewConversationWithChannelBinding(binding)
	x.attempts = append(x.attempts, c)
	return c.Step(message)
}

// binding chooses the channel binding that the client asks for in its GS2 header (RFC 5802 §6). Without -PLUS the client
// must not use one, and must not say that we had none to offer: that would be somebody between us taking -PLUS away.
func (x *scramExchange) binding(message string) (scram.ChannelBinding, bool) {
	flag, _, _ := strings.Cut(message, ",")
	kind, bound := strings.CutPrefix(flag, "p=")
	if bound != x.plus {
		return scram.ChannelBinding{}, false
	}
	for _, b := range x.bindings {
		if !bound || b.Type == kind {
			return scram.ChannelBinding{Type: scram.ChannelBindingType(b.Type), Data: b.Data}, true
		}
	}
	return scram.ChannelBinding{}, !bound
}

// load finds the user's keys. A user without any gets some that fit no password.
func (x *scramExchange) load(name string) (scram.StoredCredentials, error) {
	if prepared, err := stringprep.SASLprep.Prepare(name); err == nil {
		name = prepared
	}
	var err error
	if x.id, err = identify(x.v.Domains, name); err != nil {
		return scram.StoredCredentials{}, err
	}
	var entries []password.Entry
	if x.verdict, entries, err = x.v.candidates(x.id, x.a.service); err != nil {
		return scram.StoredCredentials{}, err
	}
	x.verdict.backend = "scram"
	var first password.SCRAM
	for _, e := range entries {
		keys, ok := e.SCRAM()
		if !ok {
			continue
		}
		if len(x.entries) == 0 {
			first = keys
		}
		if keys.Iterations == first.Iterations && string(keys.Salt) == string(first.Salt) {
			x.entries = append(x.entries, e)
		}
	}
	if len(x.entries) == 0 {
		first = x.decoy()
	}
	return stored(first), nil
}

// decoy derives the keys of a user who has none: always the same for one name, as real ones are.
func (x *scramExchange) decoy() password.SCRAM {
	derive := func(what string) []byte {
		h := hmac.New(sha256.New, x.v.Seed)
		fmt.Fprintf(h, "%s\x00%s", what, x.id.key())
		return h.Sum(nil)
	}
	return password.SCRAM{
		Iterations: password.SCRAMIterations,
		Salt:       derive("salt")[:password.SCRAMSaltSize],
		StoredKey:  derive("stored key"),
		ServerKey:  derive("server key"),
	}
}

func stored(k password.SCRAM) scram.StoredCredentials {
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(k.Salt), Iters: k.Iterations},
		StoredKey:  k.StoredKey,
		ServerKey:  k.ServerKey,
	}
}

// final checks the proof and answers with our signature.
func (x *scramExchange) final(ctx context.Context, message string) ([]byte, error) {
	var signature string
	user, err := x.v.decide(ctx, x.a, x.id, func(attempt) (verdict, error) {
		for i, c := range x.attempts {
			answer, err := c.Step(message)
			if err != nil || !c.Valid() || i >= len(x.entries) {
				continue
			}
			signature = answer
			d := x.verdict
			d.label = x.entries[i].Label
			return x.v.admit(ctx, x.id, d)
		}
		return x.verdict, nil
	})
	x.user = user
	return []byte(signature), err
}
