package relayd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"postrider/internal/hop"
	"postrider/internal/smtpc"
)

// Session is an open session with a host, after EHLO, STARTTLS and AUTH; *smtpc.Client is one. The errors of Send are of type
// *smtpc.Error.
type Session interface {
	Send(ctx context.Context, e *smtpc.Envelope, body io.Reader) (smtpc.Result, error)
	Extension(keyword string) (params string, ok bool)
	Usable() bool
	Quit()
}

// Errors of a Dialer. All others are trouble of the host.
var (
	ErrLoop    = errors.New("mail loops back to myself") // it calls itself by our name
	ErrDemands = errors.New("demands are not met")       // TLS or login, as the hop wants it
)

// Dialer begins sessions.
type Dialer interface {
	Dial(ctx context.Context, t Target) (Session, error)
}

// Target is what a session is begun with.
type Target struct {
	Hop     hop.Hop
	Host    string // its name; "" = none, by address or path
	Addr    netip.AddrPort
	Path    string // of a Unix socket
	Demands Demands
	Clear   bool // if TLS fails that was not demanded, it may go without: the message has waited once
}

// Demands are what a hop's connections have to fulfil.
type Demands struct {
	Level          string // none, may, encrypt, verify, verify-mx
	User, Password string // "" = no login
}

// String names a target as log lines do.
func (t Target) String() string {
	if t.Path != "" {
		return t.Path
	}
	return fmt.Sprintf("%s:%d", t.peer(), t.Addr.Port())
}

// peer is the target without its port.
func (t Target) peer() string {
	if t.Path != "" {
		return t.Path
	}
	name := t.Host
	if name == "" {
		name = t.Addr.Addr().String()
	}
	return fmt.Sprintf("%s[%s]", name, t.Addr.Addr())
}
