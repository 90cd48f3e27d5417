package imapd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkReturn is of a client that knows 10,000 messages, of which three have changed and two have gone while another session had
// them open.
func BenchmarkReturn(b *testing.B) {
	s := newServer(b)
	for i := range 10_000 {
		name := fmt.Sprintf("%d.M1P1.h,S=20,W=22:2,S", 1000000+i)
		if err := os.WriteFile(filepath.Join(s.root, "cur", name), []byte("Subject: x\n\nbody 12\n"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	other, c := s.connect(), s.connect()
	lines := other.ok("SELECT INBOX (CONDSTORE)")
	state := fmt.Sprintf("%s %d", validity(lines), modSeqs(lines)[0])
	other.ok("STORE 77,7777,9999 +FLAGS.SILENT (\\Flagged)")
	other.ok("STORE 5,5000 +FLAGS.SILENT (\\Deleted)")
	other.ok("EXPUNGE")
	c.ok("ENABLE QRESYNC")
	for _, command := range []string{
		"SELECT INBOX",
		"SELECT INBOX (QRESYNC (" + state + "))",
		"SELECT INBOX (QRESYNC (" + state + " 1:10000))",
		"SELECT INBOX (QRESYNC (" + validity(lines) + " 1 1:10000))", // all is told
	} {
		b.Run(strings.ReplaceAll(command, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.ok("%s", command)
			}
		})
	}
}
