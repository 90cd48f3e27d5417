package pop3d

import (
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"postrider/internal/mailstore"
)

// sink is a connection that takes everything at once.
type sink struct{ net.Conn }

func (sink) Write(p []byte) (int, error)      { return len(p), nil }
func (sink) SetWriteDeadline(time.Time) error { return nil }

func BenchmarkMultiline(b *testing.B) {
	text := []byte("A: b\n\n" + strings.Repeat(strings.Repeat("x", 71)+"\n", 20_000))
	w := newWire(b.Context(), sink{}, 0)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := w.sendMessage(strings.NewReader(string(text)), unlimited); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRetr fetches 1,000 messages of 50 kB, one command at a time, over loopback.
func BenchmarkRetr(b *testing.B) {
	const n = 1000
	text := "A: b\n\n" + strings.Repeat(strings.Repeat("x", 71)+"\n", 700)
	dir := maildir(b)
	for i := range n {
		write(b, fmt.Sprintf("%s/cur/%d.m,S=%d,W=%d:2,S", dir, i+1, len(text), len(text)+702), text)
	}
	c := login(b, options(b, dir))
	b.SetBytes(n * int64(len(text)+702))
	for b.Loop() {
		for i := range n {
			c.say("RETR %d", i+1)
			c.line()
			if _, err := io.CopyN(io.Discard, c.r, int64(len(text)+702+3)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func benchMaildir(b *testing.B, n int) string {
	dir := maildir(b)
	for i := range n {
		f, err := os.Create(fmt.Sprintf("%s/cur/%d.M%dP1.bench.example.org,S=2000,W=2050:2,S", dir, 1_700_000_000+i, i))
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	rest := time.Now().Add(-time.Hour) // a directory that just changed is listed again
	if err := os.Chtimes(dir+"/cur", rest, rest); err != nil {
		b.Fatal(err)
	}
	return dir
}

// BenchmarkLists is a login with STAT, LIST, UIDL and QUIT, each time by a process that does not know the mailbox yet.
func BenchmarkLists(b *testing.B) {
	const n = 10_000
	dir := benchMaildir(b, n)
	for b.Loop() {
		c := login(b, options(b, dir))
		io.WriteString(c, "STAT\r\nLIST\r\nUIDL\r\nQUIT\r\n")
		if got := c.all(); strings.Count(got, "\n") != 2*n+6 {
			b.Fatal(strings.Count(got, "\n"))
		}
	}
}

// BenchmarkMemory says what an open session of 100,000 messages costs beside the folder's state.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	o := options(b, benchMaildir(b, n))
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	if _, err := o.Store.Status(b.Context(), mailstore.Inbox); err != nil { // it has a uidlist then
		b.Fatal(err)
	}
	for b.Loop() {
		empty := heap()
		box, err := o.Store.Open(b.Context(), mailstore.Inbox, false)
		if err != nil {
			b.Fatal(err)
		}
		folder := heap()
		drop, err := openMaildrop(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		session := heap()
		b.ReportMetric(float64(folder-empty)/n, "folder-B/msg")
		b.ReportMetric(float64(session-folder)/n, "session-B/msg")
		drop.close()
		box.Close()
	}
}
