package relayd

import (
	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/hop"
	"postrider/internal/table"
)

// Transports is the table of hops.
type Transports interface {
	Lookup(a address.Address, nullSender bool) (hop.Hop, bool, error)
}

// Policies is the table of what hops demand of TLS.
type Policies interface {
	Lookup(h hop.Hop, own bool) (level string, found bool, err error)
}

// Logins is the table of names and passwords.
type Logins interface {
	Lookup(h hop.Hop) (user, password string, found bool, err error)
}

// Domains says which domains are this host's; *route.Resolver does.
type Domains interface {
	Kind(domain string) (table.DomainKind, error)
}

// Tables is the Router that reads tables and configuration.
type Tables struct {
	Config     *config.Config
	Transports Transports
	Policies   Policies
	Logins     Logins
	Domains    Domains
}

// Hop looks in the transport table, then whether the domain is ours, then for the relayhost; else mail goes by MX.
func (t *Tables) Hop(rcpt *envelope.Recipient, e *envelope.Envelope) (Way, error) {
	h, found, err := t.Transports.Lookup(rcpt.Addr, e.From.Addr.IsNull())
	if err != nil || found {
		return Way{Hop: h}, err
	}
	kind, err := t.Domains.Kind(rcpt.Addr.Domain)
	if err != nil || kind != table.Foreign {
		return Way{Ours: true}, err
	}
	if t.Config.Relayd.Relayhost != "" {
		h, err = hop.Parse(t.Config.Relayd.Relayhost)
		return Way{Hop: h}, err
	}
	return Way{Hop: hop.ForDomain(rcpt.Addr.Domain), Derived: true}, nil
}

// Demands looks for a password and for the level of TLS. A hop with a password is verified unless the table says otherwise.
func (t *Tables) Demands(h hop.Hop) (d Demands, err error) {
	var found bool
	if d.User, d.Password, _, err = t.Logins.Lookup(h); err != nil {
		return d, err
	}
	if d.Level, found, err = t.Policies.Lookup(h, d.User != ""); err != nil || found {
		return d, err
	}
	d.Level = t.Config.Relayd.TLS
	if d.User != "" && !verified(d.Level) {
		d.Level = "verify"
	}
	return d, nil
}
