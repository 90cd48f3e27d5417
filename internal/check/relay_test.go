package check

import (
	"path/filepath"
	"testing"
)

// relayTables gives the world tables of relayd.
func (w *world) relayTables(t *testing.T, transport, policy, auth string) {
	t.Helper()
	dir := t.TempDir()
	w.Tables.Transport = write(t, filepath.Join(dir, "transport"), transport)
	w.Tables.TLSPolicy = write(t, filepath.Join(dir, "tls_policy"), policy)
	w.Tables.RelayAuth = write(t, filepath.Join(dir, "relay_auth"), auth)
	chmod(t, w.Tables.Transport, 0o644)
	chmod(t, w.Tables.TLSPolicy, 0o644)
	chmod(t, w.Tables.RelayAuth, 0o640)
}

func TestRelay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		relayhost, transport, policy, auth string
		spoil                              func(t *testing.T, w *world)
		want                               []string
	}{
		"nothing": {},
		"good": {
			relayhost: "[smtp.isp.example]:587", transport: "example.net smtp:[gw.example]\n* :\n",
			policy: "[gw.example] encrypt\n[smtp.isp.example] verify\n", auth: "[smtp.isp.example]:587 a:b\n",
		},
		"verified by default": {relayhost: "[a.example]", auth: "a.example a:b\n"},
		"errors": {
			transport: "x\n", policy: "x y\n", auth: "x\n",
			want: []string{"transport:1: x: expected", "tls_policy:1: x: unknown level"},
		},
		"ours": {
			transport: "example.org smtp:\nbob@mail.example.org smtp:\n.example.org smtp:\n<> smtp:\n",
			want:      []string{"transport:1: warning: example.org is a domain of this host", "transport:2: warning: mail.example.org is a domain of this host"},
		},
		"login to nowhere": {
			transport: "example.net smtp:[gw.example]:25\n", auth: "gw.example a:b\n[gw.example]:26 a:b\n",
			want: []string{"relay_auth:2: warning: smtp:[gw.example]:26: neither relayd.relayhost nor the transport table leads there"},
		},
		"bad login": {
			auth: "gw.example secret\n", want: []string{"relay_auth:1: gw.example: expected `hop user:password`"},
		},
		"unverified": {
			relayhost: "[a.example]", transport: "b.example smtps:[b.example]\n", policy: "[a.example] none\n[b.example] encrypt\n", auth: "[a.example] a:b\n[b.example]:465 a:b\n",
			want: []string{"relay_auth:1: warning: [a.example]: the level of [a.example] is none: the password is sent in the clear",
				"relay_auth:2: warning: smtp:[b.example]:465: the level of smtps:[b.example] is encrypt: the password is sent to whoever answers there"},
		},
		"open secret": {
			spoil: func(t *testing.T, w *world) { chmod(t, w.Tables.RelayAuth, 0o644) },
			want:  []string{"relay_auth: mode 0644: a secret that others may reach"},
		},
		"hidden": {
			spoil: func(t *testing.T, w *world) { chmod(t, w.Tables.Transport, 0o600) },
			want:  []string{"transport: warning: mode 0600: the daemons may be unable to read it"},
		},
		"no authorities": {
			spoil: func(t *testing.T, w *world) { w.Relayd.TLSAuthorities = filepath.Join(t.TempDir(), "x.pem") },
			want:  []string{"x.pem: no such file"},
		},
		"empty authorities": {
			spoil: func(t *testing.T, w *world) { w.Relayd.TLSAuthorities = w.Tables.Aliases[0] },
			want:  []string{"aliases: no certificate"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Relayd.Relayhost = c.relayhost
			w.relayTables(t, c.transport, c.policy, c.auth)
			if c.spoil != nil {
				c.spoil(t, w)
			}
			w.tables()
			w.problems.Sort()
			w.expect(t, c.want...)
		})
	}
}
