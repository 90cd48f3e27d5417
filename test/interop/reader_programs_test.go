//go:build interop

package interop

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// readers are the programs by which people read their mail. Each reads that of a user of its own.
var readers = []struct {
	name string
	read func(*account)
}{
	{"curl", readWithCurl},
	{"mbsync", syncWithMbsync},
	{"mutt", readWithMutt},
	{"neomutt", readWithNeomutt},
	{"alpine", readWithAlpine},
	{"aerc", readWithAerc},
	{"offlineimap", syncWithOfflineimap},
	{"fetchmail", fetchWithFetchmail},
	{"getmail", fetchWithGetmail},
	{"mpop", fetchWithMpop},
	{"imaplib", readWithImaplib},
	{"poplib", readWithPoplib},
	{"go", readWithGo},
}

// TestReaders has them read mail from the suite, or, to try the tests themselves, from the servers that READERS names, such as
// READERS=dovecot,postrider.
func TestReaders(t *testing.T) {
	t.Parallel()
	var users []string
	for _, r := range readers {
		users = append(users, r.name)
	}
	asked := os.Getenv("READERS")
	if asked == "" {
		asked = "postrider"
	}
	for _, server := range []struct {
		name  string
		start func(*testing.T, []string) *mailServer
	}{{"dovecot", dovecotServer}, {"postrider", postriderServer}} {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			if !slices.Contains(strings.Split(asked, ","), server.name) {
				t.Skip("not asked for in READERS")
			}
			s := server.start(t, users)
			for _, r := range readers {
				t.Run(r.name, func(t *testing.T) {
					t.Parallel()
					r.read(s.account(t, r.name))
				})
			}
		})
	}
}
