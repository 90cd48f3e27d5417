package auth

import (
	"context"
	"strings"
)

// maxSteps bounds the answers of one exchange; no mechanism needs more than four.
const maxSteps = 10

// Request begins a login.
type Request struct {
	Service   string    // "smtp", "imap" or "pop3": what a password may be limited to
	Mechanism string    // SASL name, any case: PLAIN, LOGIN, SCRAM-SHA-256, SCRAM-SHA-256-PLUS
	RemoteIP  string    // of the client; slows down repeated failures
	LocalIP   string    // where it connected to; for the log
	TLS       string    // protocol version, for the log; empty without TLS
	Bindings  []Binding // channel bindings of this TLS connection, if -PLUS is announced to this client
	Initial   []byte    // initial response; nil if the client sent none, empty if it sent an empty one ("=")
	Session   bool      // after a login of imap or pop3 comes Open, or Abort
}

// Binding is a channel binding: "tls-exporter" (RFC 9266) or "tls-server-end-point" (RFC 5929) and its data.
type Binding struct {
	Type string
	Data []byte
}

func (r Request) line() Line {
	l := NewLine(Auth, r.Service, strings.ToUpper(r.Mechanism)).With("rip", r.RemoteIP).With("lip", r.LocalIP)
	if r.TLS != "" {
		l = l.With("tls", r.TLS)
	}
	for _, b := range r.Bindings {
		l = l.With("cb", b.Type+":"+string(b.Data))
	}
	if r.Initial != nil {
		l = l.With("ir", string(r.Initial))
	}
	return l
}

// Exchange is one login in progress; one goroutine uses it. It has a connection to authd between its first and its last
// step, where Request.Session is set until Open: end it with Abort if the client gives up (harmless after the end, so it can be
// deferred).
type Exchange struct {
	client  *Client
	ctx     context.Context // of the session that the login belongs to
	request Request         // without its secrets once it is sent
	conn    *conn
	steps   int
	ended   bool
	proven  bool // authd has said ok and waits for Open
}

// Start prepares a login. Nothing is sent before the first Step.
func (c *Client) Start(ctx context.Context, r Request) *Exchange {
	return &Exchange{client: c, ctx: ctx, request: r}
}

// Step sends the client's response (nil at the first call, which sends the request) and returns what authd answers:
//
//   - a challenge for the client, possibly empty, with done false;
//   - done true with the user who is now logged in;
//   - done true with ErrRefused or ErrLater. ErrRefused comes late on purpose; do not add a delay.
func (x *Exchange) Step(response []byte) (challenge []byte, done bool, user User, err error) {
	if x.ended {
		return nil, true, User{}, later("authd: the exchange has ended")
	}
	answer, err := x.send(response)
	if err != nil {
		x.drop()
		return nil, true, User{}, err
	}
	switch answer.Verb {
	case Cont:
		if x.steps >= maxSteps {
			x.drop()
			return nil, true, User{}, later("authd: more than %d challenges", maxSteps)
		}
		return []byte(answer.Words[0]), false, User{}, nil
	case OK:
		if user, err = ParseUser(answer); err != nil {
			x.drop()
			return nil, true, User{}, later("authd: %w", err)
		}
		if x.request.Session {
			x.ended, x.proven = true, true
			return nil, true, user, nil
		}
	case No:
		err = ErrRefused
	case Later:
		err = later("authd: %s", answer.Words[0])
	default:
		x.drop()
		return nil, true, User{}, later("authd: unexpected %s", answer.Verb)
	}
	x.finish()
	return nil, true, user, err
}

func (x *Exchange) send(response []byte) (Line, error) {
	x.steps++
	if x.steps == 1 {
		cn, answer, err := x.client.open(x.ctx, x.request.line())
		x.conn = cn
		x.request = Request{Session: x.request.Session}
		return answer, err
	}
	answer, err := x.client.roundTrip(x.ctx, x.conn, NewLine(Cont, string(response)), nil)
	if err != nil {
		return Line{}, later("authd: %w", err)
	}
	return answer, nil
}

// Abort ends an exchange whose client gave up, and does nothing to one that has ended.
func (x *Exchange) Abort() {
	if x.proven {
		x.finish() // authd forgets the login at the next question
		return
	}
	if x.ended || x.conn == nil {
		x.ended = true
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), abortTimeout)
	defer cancel()
	if answer, err := x.client.roundTrip(ctx, x.conn, NewLine(Abort), nil); err != nil || answer.Verb != No {
		x.drop()
		return
	}
	x.finish()
}

func (x *Exchange) finish() {
	x.ended, x.proven = true, false
	x.client.release(x.conn)
	x.conn = nil
}

func (x *Exchange) drop() {
	x.ended, x.proven = true, false
	if x.conn != nil {
		x.conn.Close()
		x.conn = nil
	}
}
