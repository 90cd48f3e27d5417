package imapd

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkFetch is of 10,000 messages.
func BenchmarkFetch(b *testing.B) {
	s := newServer(b)
	const n = 10_000
	for i := range n {
		text := fmt.Sprintf("Subject: s%d\nFrom: a@b\n\nbody %d\n", i, i)
		name := fmt.Sprintf("%d.M1P1.h,S=%d,W=%d:2,S", 1000000+i, len(text), len(text)+4)
		if err := os.WriteFile(filepath.Join(s.root, "cur", name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	c := s.connect()
	c.r = bufio.NewReaderSize(c.conn, 64<<10)
	c.ok("SELECT INBOX")
	for _, command := range []string{
		"UID FETCH 1:* (FLAGS)",
		"UID FETCH 1:* (UID RFC822.SIZE FLAGS)",
		"UID FETCH 1:* (UID RFC822.SIZE BODY.PEEK[])",
		"UID SEARCH UNSEEN",
		"STORE 1:* +FLAGS.SILENT (\\Seen)",
		"NOOP",
	} {
		b.Run(strings.ReplaceAll(command, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.send("t " + command + "\r\n")
				for {
					line, err := c.r.ReadSlice('\n')
					if err != nil {
						b.Fatal(err)
					}
					if bytes.HasPrefix(line, []byte("t OK")) {
						break
					}
				}
			}
		})
	}
}
