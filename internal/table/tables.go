package table

import (
	"os"
	"time"

	"postrider/internal/config"
	"postrider/internal/problem"
)

// Options are common to all tables.
type Options struct {
	Report func(error)      // told of each new error once; nil = nobody
	Now    func() time.Time // nil = time.Now
	// Previous are the tables of an earlier configuration: where the files are the same, what they hold is good until it can be
	// read again.
	Previous *Tables
}

// Tables are those that a configuration names. They are replaced whole when it is read again.
type Tables struct {
	Aliases *Aliases
	Users   *Users
	Domains *Domains
	Virtual *Virtual
	Passwd  *Passwd

	Transport *Transport
	TLSPolicy *TLSPolicy
	RelayAuth *RelayAuth // a secret of relayd's: opened by its own methods only
}

// Open makes the tables of a configuration; a file is read when it is first asked for.
func Open(c *config.Config, o Options) *Tables {
	accounts := Accounts{MailboxUser: c.MailboxUser, MailRoot: c.MailRoot, Origin: c.Origin, FirstValidUID: c.FirstValidUID}
	if c.SingleUID {
		accounts.Own = &Owner{uint32(os.Getuid()), uint32(os.Getgid())}
	}
	t := &Tables{
		Aliases: NewAliases(c.Tables.Aliases, o),
		Users:   NewUsers(c.Tables.Users, accounts, o),
		Domains: NewDomains(c.Tables.Domains, o),
		Virtual: NewVirtual(c.Tables.Virtual, o),
		Passwd:  NewPasswd(c.Tables.Passwd, o),

		Transport: NewTransport(c.Tables.Transport, c.RecipientDelimiter, o),
		TLSPolicy: NewTLSPolicy(c.Tables.TLSPolicy, o),
		RelayAuth: NewRelayAuth(c.Tables.RelayAuth, o),
	}
	if o.Previous != nil {
		t.inherit(o.Previous)
	}
	return t
}

func (t *Tables) inherit(old *Tables) {
	t.Users.file.inherit(old.Users.file)
	t.Domains.file.inherit(old.Domains.file)
	t.Virtual.file.inherit(old.Virtual.file)
	t.Passwd.file.inherit(old.Passwd.file)
	t.Transport.file.inherit(old.Transport.file)
	t.TLSPolicy.file.inherit(old.TLSPolicy.file)
	t.RelayAuth.file.inherit(old.RelayAuth.file)
	for i, f := range t.Aliases.files {
		if i < len(old.Aliases.files) {
			f.inherit(old.Aliases.files[i])
		}
	}
}

// Load reads all files but RelayAuth's now and returns everything wrong with them.
func (t *Tables) Load() problem.List {
	var problems problem.List
	for _, load := range []func() problem.List{
		t.Aliases.Load, t.Users.Load, t.Domains.Load, t.Virtual.Load, t.Passwd.Load, t.Transport.Load, t.TLSPolicy.Load,
	} {
		problems = append(problems, load()...)
	}
	return problems
}
