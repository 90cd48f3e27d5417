package mailq

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/address"
	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/reply"
	"postrider/internal/spool"
)

// deep is how many messages a long queue has.
const deep = 20_000

// newID makes the id of message n.
func newID(n int) string {
	var b [envelope.IDLength]byte
	copy(b[:], "b8bby5wd0000bpmf")
	for i := 11; n > 0; i-- {
		b[i] = envelope.Alphabet[n%len(envelope.Alphabet)]
		n /= len(envelope.Alphabet)
	}
	return string(b[:])
}

// queueFile is a whole queue file.
func queueFile(e *envelope.Envelope, id, body string) ([]byte, uint32) {
	b := e.Append(envelope.Blank())
	env := len(b)
	b = append(b, body...)
	crc := crc32.Checksum(b[envelope.Line1Size:], crc32.MakeTable(crc32.Castagnoli))
	copy(b, envelope.Line1{ID: id, Size: int64(len(body)), Env: int64(env), CRC: crc}.Append(nil))
	return b, crc
}

// fill lays out a spool with n deferred messages in a channel, each with a journal.
func fill(tb testing.TB, root string, via envelope.Via, n int) {
	tb.Helper()
	c, err := spool.OpenChannel(root, via, spool.ChannelOptions{AllowRemote: true})
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	var records []byte
	body := "Subject: x\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 230)
	for k := range n {
		id := newID(k)
		e := &envelope.Envelope{ID: id, From: envelope.Sender{Addr: address.Address{Local: "alice", Domain: "example.org"}}, Origin: envelope.OriginLocal,
			UID: int64(os.Getuid()), Client: envelope.Client{Name: "localhost"}, Time: time.Unix(1760000000, 0),
			To: []envelope.Recipient{{Addr: address.Address{Local: fmt.Sprint("user", k), Domain: "example.net"}, Via: via}}}
		name := spool.Name{Due: 4_000_000_000, ID: id, Dest: "example.net"}
		b, crc := queueFile(e, id, body)
		if err := os.WriteFile(filepath.Join(root, string(via), "cur", spool.Hash(id), name.String()), b, 0o640); err != nil {
			tb.Fatal(err)
		}
		journal := filepath.Join(root, string(via), "log", spool.Hash(id), id)
		if k == 0 {
			records = record(tb, c, name, journal)
			continue
		}
		head := fmt.Sprintf("postrider-journal1 id=%s crc32c=%08x\n", id, crc)
		if err := os.WriteFile(journal, append([]byte(head), records...), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// record writes three deferrals of the first message and returns them: those of the others are alike.
func record(tb testing.TB, c *spool.Channel, name spool.Name, journal string) []byte {
	tb.Helper()
	i, err := c.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer i.Close()
	for n := range 3 {
		r := spool.Result{Lines: []int{i.Envelope.To[0].Line}, Status: spool.Deferred, Attempts: n + 1, Relay: "mx.example.net[192.0.2.1]:25", Reply: reply.New(451, 7, 1, "greylisted, try again in some minutes")}
		if err := c.Record(i, r); err != nil {
			tb.Fatal(err)
		}
	}
	b, err := os.ReadFile(journal)
	if err != nil {
		tb.Fatal(err)
	}
	_, records, _ := bytes.Cut(b, []byte("\n"))
	return records
}

// longQueue is a spool with a long queue in a channel.
func longQueue(b *testing.B, via envelope.Via) (root string) {
	b.Helper()
	root = filepath.Join(b.TempDir(), "spool")
	if err := spool.Init(root); err != nil {
		b.Fatal(err)
	}
	fill(b, root, via, deep)
	return root
}

// BenchmarkFiles lists a long queue from its files.
func BenchmarkFiles(b *testing.B) {
	root := longQueue(b, envelope.Remote)
	for _, json := range []bool{false, true} {
		b.Run(fmt.Sprintf("json=%t", json), func(b *testing.B) { list(b, &Request{SpoolDir: root, JSON: json}) })
	}
}

// BenchmarkSocket lists a long queue through a daemon.
func BenchmarkSocket(b *testing.B) {
	root := longQueue(b, envelope.Local)
	dir := serve(b, root, func(uint32) control.Rights { return control.Rights{Steer: true} })
	b.ReportAllocs()
	before := cpu()
	for b.Loop() {
		n := 0
		w := &run{Request: &Request{RunDir: dir}, ctx: b.Context()}
		d, err := w.daemon(channels[0])
		if err != nil {
			b.Fatal(err)
		}
		out := newText(io.Discard)
		if err := d.list(b.Context(), nil, false, func(e *control.Entry) error { n++; return out.entry(e) }); err != nil || n != deep {
			b.Fatal(n, err)
		}
		d.close()
	}
	b.ReportMetric(float64((cpu()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
}

// BenchmarkDelete10000 deletes 10,000 messages of a long queue through a daemon, directories synced.
func BenchmarkDelete10000(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		root := longQueue(b, envelope.Local)
		dir := serve(b, root, func(uint32) control.Rights { return control.Rights{Steer: true} })
		r := &Request{SpoolDir: root, RunDir: dir, Do: Delete}
		for k := range 10_000 {
			r.IDs = append(r.IDs, newID(k))
		}
		var out bytes.Buffer
		b.StartTimer()
		if status := r.Run(b.Context(), &out, io.Discard); status != exitOK || out.String() != "10000 messages deleted\n" {
			b.Fatal(status, out.String())
		}
	}
}

// list runs a listing and measures when its first line comes.
func list(b *testing.B, r *Request) {
	b.Helper()
	b.ReportAllocs()
	before, first := cpu(), time.Duration(0)
	for b.Loop() {
		began := time.Now()
		first = 0
		w := writerFunc(func(p []byte) (int, error) {
			if first == 0 {
				first = time.Since(began)
			}
			return len(p), nil
		})
		if status := r.Run(b.Context(), w, io.Discard); status != exitOK {
			b.Fatal(status)
		}
	}
	b.ReportMetric(float64(first.Microseconds()), "first-µs")
	b.ReportMetric(float64((cpu()-before).Milliseconds())/float64(b.N), "cpu-ms/op")
}

// cpu is the time that this process has computed, the kernel's work for it included.
func cpu() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
