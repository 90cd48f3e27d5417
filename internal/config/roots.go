package config

import (
	"path/filepath"
	"strings"
)

// Roots are the directories that a process working for a user is confined to. The home of a system user is a root of its own; homes
// below MailRoot share that one. extra is the directory of a Maildir that lies outside the root, else "".
func (c *Config) Roots(home, maildir string) (root, extra string) {
	root = home
	if mailRoot := filepath.Clean(c.MailRoot); below(home, mailRoot) {
		root = mailRoot
	}
	if !below(maildir, root) {
		extra = filepath.Dir(maildir)
	}
	return root, extra
}

// below says whether path lies under dir.
func below(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, "../")
}
