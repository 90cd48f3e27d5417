package smtpc

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"

	"postrider/internal/reply"
)

// Auth logs in (RFC 4954) by the best mechanism that both sides know: SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN, LOGIN. Without
// TLS it does so only if clear. The server's refusal is a reply, which a wrong setting of ours may have caused: callers
// take a permanent one for temporary. ErrNoMechanism and ErrClear leave the connection usable, too.
func (c *Client) Auth(ctx context.Context, user, password string, clear bool) error {
	defer c.watch(ctx)()
	return because(ctx, c.auth(user, password, clear))
}

func (c *Client) auth(user, password string, clear bool) error {
	c.step = StepAUTH
	if err := c.unusable(); err != nil {
		return err
	}
	if !clear && c.TLS() == nil {
		return c.here(ErrClear)
	}
	name, m, err := c.mechanism(user, password)
	if err != nil {
		return c.here(err)
	}
	return c.authenticate(name, m)
}

// mechanism is the client's side of one SASL exchange (RFC 4422).
type mechanism interface {
	// next answers a challenge; the first, nil, asks for the initial response, and nil says that there is none.
	next(challenge []byte) ([]byte, error)
	// satisfied says that the server has shown all that it has to show.
	satisfied() bool
}

// mechanism chooses the first that the server offers and the options allow.
func (c *Client) mechanism(user, password string) (string, mechanism, error) {
	offered := strings.Fields(strings.ToUpper(c.extensions["AUTH"]))
	usable := func(name string) bool {
		return slices.Contains(offered, name) && (c.options.Mechanisms == nil || slices.Contains(c.options.Mechanisms, name))
	}
	binding := channelBinding(c.TLS())
	switch {
	case usable("SCRAM-SHA-256-PLUS") && binding.IsSupported():
		m, err := newSCRAM(user, password, func(c *scram.Client) *scram.ClientConversation {
			return c.NewConversationWithChannelBinding(binding)
		})
		return "SCRAM-SHA-256-PLUS", m, err
	case usable("SCRAM-SHA-256"):
		m, err := newSCRAM(user, password, func(s *scram.Client) *scram.ClientConversation {
			if binding.IsSupported() && !slices.Contains(offered, "SCRAM-SHA-256-PLUS") {
				return s.NewConversationAdvertisingChannelBinding()
			}
			return s.NewConversation()
		})
		return "SCRAM-SHA-256", m, err
	case strings.Contains(user+password, "\x00"):
		return "", nil, errors.New("NUL in the user's name or password")
	case usable("PLAIN"):
		return "PLAIN", &plain{user, password}, nil
	case usable("LOGIN"):
		return "LOGIN", &login{answers: []string{user, password}}, nil
	}
	return "", nil, ErrNoMechanism
}

// channelBinding is the one that a server of that TLS version has to know: tls-exporter (RFC 9266), before TLS 1.3
// tls-unique (RFC 5929 §3).
func channelBinding(state *tls.ConnectionState) scram.ChannelBinding {
	switch {
	case state == nil:
		return scram.ChannelBinding{}
	case state.Version < tls.VersionTLS13:
		return scram.NewTLSUniqueBinding(state.TLSUnique)
	}
	b, err := scram.NewTLSExporterBinding(state)
	if err != nil {
		return scram.ChannelBinding{}
	}
	return b
}

// Bounds of an exchange.
const (
	maxChallenges = 8
	maxInitial    = 500     // octets of an AUTH command with an initial response (RFC 4954 §4)
	maxIterations = 1000000 // of PBKDF2, before a server that asks for more counts as hostile
)

// authenticate carries the dialogue on.
func (c *Client) authenticate(name string, m mechanism) error {
	initial, err := m.next(nil)
	if err != nil {
		return c.here(fmt.Errorf("%s: %w", name, err))
	}
	text := "AUTH " + name
	if initial != nil && len(text)+base64.StdEncoding.EncodedLen(len(initial)) < maxInitial {
		text, initial = text+" "+base64.StdEncoding.EncodeToString(initial), nil
	}
	for range maxChallenges {
		r, err := c.command(text)
		if err != nil {
			return err
		}
		if r.Code != 334 {
			return c.loggedIn(r, m)
		}
		answer := initial
		if initial = nil; answer == nil {
			if answer, err = respond(m, r.Text); err != nil {
				return c.fail(fmt.Errorf("%w: %s: %w", ErrProtocol, name, err))
			}
		}
		text = base64.StdEncoding.EncodeToString(answer)
	}
	return c.fail(fmt.Errorf("%w: %s does not end", ErrProtocol, name))
}

func respond(m mechanism, text string) ([]byte, error) {
	challenge, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	return m.next(challenge)
}

func (c *Client) loggedIn(r *reply.Reply, m mechanism) error {
	if !took(r) {
		return c.refusal(r)
	}
	if !m.satisfied() {
		return c.fail(fmt.Errorf("%w: the server has not shown that it knows the password", ErrProtocol))
	}
	return nil
}

// scramClient is SCRAM-SHA-256 (RFC 5802, RFC 7677).
type scramClient struct{ conversation *scram.ClientConversation }

// newSCRAM prepares the name and the password as RFC 4013 wants it; what that refuses goes as it is.
func newSCRAM(user, password string, begin func(*scram.Client) *scram.ClientConversation) (*scramClient, error) {
	client, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		client, err = scram.SHA256.NewClientUnprepped(user, password, "")
	}
	if err != nil {
		return nil, err
	}
	return &scramClient{begin(client)}, nil
}

func (s *scramClient) next(challenge []byte) ([]byte, error) {
	if challenge == nil {
		text, err := s.conversation.Step("")
		return []byte(text), err
	}
	text := string(challenge)
	if strings.HasPrefix(text, "e=") {
		return []byte{}, nil // the refusal follows
	}
	if err := affordable(text); err != nil {
		return nil, err
	}
	text, err := s.conversation.Step(text)
	return []byte(text), err
}

func (s *scramClient) satisfied() bool { return s.conversation.Valid() }

// affordable refuses a server's message that asks for more work than a login is worth.
func affordable(message string) error {
	for field := range strings.SplitSeq(message, ",") {
		if digits, ok := strings.CutPrefix(field, "i="); ok {
			if n, err := strconv.Atoi(digits); err != nil || n > maxIterations {
				return fmt.Errorf("%.20q iterations asked for", digits)
			}
		}
	}
	return nil
}

// plain is PLAIN (RFC 4616).
type plain struct{ user, password string }

func (p *plain) next(challenge []byte) ([]byte, error) {
	if challenge != nil {
		return nil, errors.New("unexpected challenge")
	}
	return []byte("\x00" + p.user + "\x00" + p.password), nil
}

func (p *plain) satisfied() bool { return true }

// login is LOGIN, which answers two questions whose words differ from server to server.
type login struct{ answers []string }

func (l *login) next(challenge []byte) ([]byte, error) {
	if challenge == nil {
		return nil, nil
	}
	if len(l.answers) == 0 {
		return nil, errors.New("unexpected challenge")
	}
	answer := l.answers[0]
	l.answers = l.answers[1:]
	return []byte(answer), nil
}

func (l *login) satisfied() bool { return true }
