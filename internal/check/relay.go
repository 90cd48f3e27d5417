package check

import (
	"cmp"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"postrider/internal/hop"
	"postrider/internal/problem"
	"postrider/internal/route"
	"postrider/internal/table"
)

// relay checks the tables of relayd against each other: the hops that mail can take, what is demanded of them, and the logins.
// tables have been read, but for the logins.
func (w *world) relay(tables *table.Tables) {
	w.authorities()
	w.transport(tables)
	logins, ok := w.logins(tables)
	if !ok {
		return
	}
	hops := w.hops(tables)
	for _, c := range logins {
		i := slices.IndexFunc(hops, c.Matches)
		if i < 0 {
			w.problems.Warn(c.File, c.Line, "%s: neither relayd.relayhost nor the transport table leads there", c.Hop)
			continue
		}
		w.login(tables, c, hops[i])
	}
}

// authorities checks the certificates that relayd believes.
func (w *world) authorities() {
	path := w.Relayd.TLSAuthorities
	if path == "" {
		return
	}
	pem, err := os.ReadFile(path)
	switch {
	case err != nil:
		w.fail(path, "%v", cause(err))
	case !x509.NewCertPool().AppendCertsFromPEM(pem):
		w.fail(path, "no certificate in PEM")
	default:
		w.public(path)
	}
}

// transport reports lines that are never used.
func (w *world) transport(tables *table.Tables) {
	r := route.New(w.Config, tables, nil)
	for line := range tables.Transport.All() {
		domain := line.Pattern[strings.LastIndexByte(line.Pattern, '@')+1:]
		if domain == "*" || domain == "<>" || domain[0] == '.' {
			continue
		}
		if kind, err := r.Kind(domain); err == nil && kind != table.Foreign {
			w.problems.Warn(line.File, line.Line, "%s is a domain of this host: this line is never used", domain)
		}
	}
}

// logins reads the table of logins, which has to be a secret.
func (w *world) logins(tables *table.Tables) ([]table.Credential, bool) {
	path := w.Tables.RelayAuth
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || path == "" {
		return nil, false
	}
	w.secret(path, "pr-relay", "pr-relay")
	problems := w.unread(tables.RelayAuth.Load())
	w.problems = append(w.problems, problems...)
	if problems != nil {
		return nil, false
	}
	return slices.SortedFunc(tables.RelayAuth.All(), func(a, b table.Credential) int { return cmp.Compare(a.Line, b.Line) }), true
}

// unread makes a warning of a table that only root and its daemon may read, which is as it should be.
func (w *world) unread(problems problem.List) problem.List {
	for i, p := range problems {
		if p.Line == 0 && strings.Contains(p.Text, fs.ErrPermission.Error()) {
			problems[i].Text, problems[i].Warning = "not checked: "+fs.ErrPermission.Error(), true
		}
	}
	return problems
}

// hops are those that the configuration names.
func (w *world) hops(tables *table.Tables) []hop.Hop {
	var hops []hop.Hop
	if h, err := hop.Parse(w.Relayd.Relayhost); err == nil && w.Relayd.Relayhost != "" {
		hops = append(hops, h)
	}
	for line := range tables.Transport.All() {
		hops = append(hops, line.Hop)
	}
	return hops
}

// login warns of a password that goes to a host that nobody has verified.
func (w *world) login(tables *table.Tables, c table.Credential, h hop.Hop) {
	level, found, err := tables.TLSPolicy.Lookup(h, true)
	if err != nil || !found {
		return // then it is verified
	}
	switch level {
	case "none":
		w.problems.Warn(c.File, c.Line, "%s: the level of %s is none: the password is sent in the clear", c.Hop, h)
	case "may", "encrypt":
		w.problems.Warn(c.File, c.Line, "%s: the level of %s is %s: the password is sent to whoever answers there", c.Hop, h, level)
	}
}
