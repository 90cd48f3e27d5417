package config

import "testing"

func TestRoots(t *testing.T) {
	t.Parallel()
	c := &Config{MailRoot: "/var/vmail/"}
	for _, test := range []struct{ home, maildir, root, extra string }{
		{"/home/alice", "/home/alice/Maildir", "/home/alice", ""},
		{"/home/alice", "/srv/mail/alice", "/home/alice", "/srv/mail"},
		{"/home/alice", "/home/alice", "/home/alice", "/home"},
		{"/var/vmail/example.org/bob", "/var/vmail/example.org/bob/Maildir", "/var/vmail", ""},
		{"/var/vmail/example.org/bob", "/srv/bob/Maildir", "/var/vmail", "/srv/bob"},
		{"/var/vmail", "/var/vmail/Maildir", "/var/vmail", ""},
		{"/var/vmail2/bob", "/var/vmail2/bob/Maildir", "/var/vmail2/bob", ""},
		{"/var/vmail/../bob", "/var/bob/Maildir", "/var/vmail/../bob", ""},
	} {
		if root, extra := c.Roots(test.home, test.maildir); root != test.root || extra != test.extra {
			t.Errorf("Roots(%q, %q) = %q, %q; want %q, %q", test.home, test.maildir, root, extra, test.root, test.extra)
		}
	}
}
