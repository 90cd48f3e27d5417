package table

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"

	"postrider/internal/hop"
	"postrider/internal/problem"
)

// maxSecret bounds a password.
const maxSecret = 1024

// Credential is one line of the table of logins.
type Credential struct {
	Hop      string // as hop.Hop.String writes it
	User     string
	Password string
	File     string
	Line     int
}

// RelayAuth holds the names and passwords by which relayd logs in at other hosts: `hop user:password`. Only root and pr-relay
// may read it; Tables.Load and a lookup in other tables never open it.
type RelayAuth struct {
	file *file[map[string]Credential]
}

// NewRelayAuth reads the table when it is first asked for.
func NewRelayAuth(path string, o Options) *RelayAuth {
	return &RelayAuth{newFile(path, o, parseRelayAuth)}
}

// Lookup finds the login at a hop, by the names of hopNames. An error wraps ErrUnavailable.
func (t *RelayAuth) Lookup(h hop.Hop) (user, password string, found bool, err error) {
	c, found, err := firstOf(t.file.get(), hopNames(h))
	return c.User, c.Password, found, err
}

// All yields every line, in no order.
func (t *RelayAuth) All() iter.Seq[Credential] { return maps.Values(t.file.get().entries) }

// Load reads the table now and returns everything wrong with it.
func (t *RelayAuth) Load() problem.List { return t.file.load() }

// Exposed is an error if others than the owner and the group of the table may reach it.
func (t *RelayAuth) Exposed() error {
	info, err := os.Stat(t.file.path)
	if err == nil && info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("%s: mode %04o: passwords that others may reach; chmod o= it", t.file.path, info.Mode().Perm())
	}
	return nil
}

func parseRelayAuth(path, text string) (map[string]Credential, problem.List) {
	r := &reading{path: path}
	entries := make(map[string]Credential)
	for line, logical := range r.lines(text, false) {
		left, right := cutBlank(logical)
		key, err := hostKey(left)
		if err != nil {
			r.fail(line, "%v", err)
			continue
		}
		if before, ok := entries[key]; ok {
			r.fail(line, "%s is defined in line %d already", key, before.Line)
			continue
		}
		c := Credential{Hop: key, File: path, Line: line}
		if c.User, c.Password, err = cutLogin(strings.TrimSpace(right)); err != nil {
			r.fail(line, "%s: %v", key, err) // without the text: it is a secret
			continue
		}
		entries[key] = c
	}
	return entries, r.problems
}

func cutLogin(text string) (user, password string, err error) {
	user, password, ok := strings.Cut(text, ":")
	switch {
	case !ok || user == "" || password == "":
		return "", "", errors.New("expected `hop user:password`")
	case len(user) > maxSecret || len(password) > maxSecret:
		return "", "", errors.New("user or password too long")
	}
	return user, password, nil
}

// Matches says that the line is for a hop.
func (c Credential) Matches(h hop.Hop) bool { return slices.Contains(hopNames(h), c.Hop) }
