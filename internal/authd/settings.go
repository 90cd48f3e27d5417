package authd

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/password"
	"postrider/internal/table"
)

// NewSettings opens what a configuration names. previous, nil at the start, are the tables of the settings that are replaced. The
// uid of the mailbox user is left to the caller, who knows what the spawner takes for it.
func NewSettings(c *config.Config, seed []byte, log Logger, previous *table.Tables) Settings {
	report := func(err error) { log.Error("%v", err) }
	tables := table.Open(c, table.Options{Report: report, Previous: previous})
	s := Settings{
		Tables:         tables,
		Users:          mailboxes{tables.Users, tables.Passwd, c.MailboxUser},
		Domains:        domainsOf(c, tables),
		Passwords:      password.NewTable(c.Tables.Passwords, report),
		FirstValidUID:  c.FirstValidUID,
		ChannelBinding: c.Authd.ChannelBinding,
		FailureDelay:   c.Authd.FailureDelay.D(),
		MaxDelay:       c.Authd.MaxDelay.D(),
		HashMemory:     int64(c.Authd.HashMemory),
		MaxHashes:      c.Authd.MaxHashes,
		Seed:           seed,
		Log:            log,
	}
	if c.Authd.Checkpassword != "" {
		s.Checkpassword = NewChecker(c.Authd.Checkpassword)
	}
	if c.SingleUID {
		s.FirstValidUID = 0
	}
	return s
}

// mailboxes are the users of the table and, if they have none there, of the system.
type mailboxes struct {
	users  *table.Users
	passwd *table.Passwd
	owner  string // the mailbox user, who has others' mailboxes and none of his own
}

// Lookup implements Users.
func (m mailboxes) Lookup(name string) (auth.User, bool, error) {
	u, ok, err := m.users.Lookup(strings.ToLower(name))
	if err == nil && !ok && !strings.Contains(name, "@") {
		u, ok, err = m.passwd.Lookup(name)
		ok = ok && u.Name != m.owner
	}
	if err != nil || !ok {
		return auth.User{}, false, err
	}
	return auth.User{Name: u.Name, UID: u.UID, GID: u.GID, Home: u.Home, Maildir: u.Maildir, Quota: u.Quota}, true, nil
}

// domains are those of the table, and the host's own names.
type domains struct {
	table *table.Domains
	own   []string
}

func domainsOf(c *config.Config, t *table.Tables) domains {
	return domains{t.Domains, []string{c.Hostname, c.Origin, "localhost"}}
}

// Kind implements Domains.
func (d domains) Kind(domain string) (DomainKind, error) {
	for _, name := range d.own {
		if strings.EqualFold(domain, name) {
			return Local, nil
		}
	}
	kind, err := d.table.Lookup(domain)
	if err != nil {
		return Foreign, err
	}
	switch kind {
	case table.LocalDomain:
		return Local, nil
	case table.VirtualDomain:
		return Virtual, nil
	}
	return Foreign, nil
}

// seedSize is that of the secret from which salts of unknown users come.
const seedSize = sha256.Size

// Seed returns the secret kept in dir, and makes one if there is none. It has to outlive a restart, or a changing salt
// would tell unknown users from others.
func Seed(dir string) ([]byte, error) {
	path := filepath.Join(dir, "scram-seed")
	b, err := os.ReadFile(path)
	if err == nil && len(b) == seedSize {
		return b, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read seed: %w", err)
	}
	b = make([]byte, seedSize)
	rand.Read(b) // never fails
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make seed: %w", err)
	}
	if err := replaceFile(path, b, attributes{mode: 0o600, uid: -1, gid: -1}, func() error { return nil }); err != nil {
		return nil, fmt.Errorf("make seed: %w", err)
	}
	return b, nil
}
