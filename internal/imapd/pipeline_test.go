package imapd

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"postrider/internal/imapd/inflate"
)

// deflated is a client behind COMPRESS. It decodes with a reader that gives what has come.
type deflated struct {
	*client
	to  *flate.Writer
	out *bufio.Writer // one write for what is sent at once: the server may have hung up before a second
}

func (c *client) compress() *deflated {
	c.t.Helper()
	c.dialogue("C: z COMPRESS DEFLATE\nS: z OK Begin compression.")
	out := bufio.NewWriterSize(c.conn, 64<<10)
	to, err := flate.NewWriter(out, flate.BestCompression)
	if err != nil {
		c.t.Fatal(err)
	}
	c.r = bufio.NewReader(inflate.NewReader(c.r))
	return &deflated{c, to, out}
}

func (d *deflated) send(text string) {
	d.t.Helper()
	if _, err := io.WriteString(d.to, text); err != nil {
		d.t.Fatal(err)
	}
	if err := errors.Join(d.to.Flush(), d.out.Flush()); err != nil {
		d.t.Fatal(err)
	}
}

func TestCompress(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	body := strings.Repeat("A line of a body, which is not short.\n", 3000)
	s.deliver("", "1000000.M1.h", "Subject: x\n\n"+body)
	c := s.connect()
	c.dialogue(`
		C: a COMPRESS LZW
		S: a BAD Unknown compression mechanism.
	`)
	d := c.compress()
	d.send("b COMPRESS DEFLATE\r\nc CAPABILITY\r\n")
	d.expect("b NO [COMPRESSIONACTIVE] COMPRESSION already enabled.")
	if line := d.line(); strings.Contains(line, "COMPRESS") {
		t.Error(line)
	}
	d.expect("c OK …")
	d.send("d SELECT INBOX\r\ne FETCH 1 BODY[TEXT]\r\nf APPEND INBOX {10000+}\r\n" + strings.Repeat("x", 9998) + "\r\n\r\n")
	d.collect("d ")
	d.expect(fmt.Sprintf("* 1 FETCH (FLAGS (\\Seen \\Recent) BODY[TEXT] {%d}…)", len(body)+3000), "e OK …")
	d.expect("* 2 EXISTS", "* 2 RECENT", "f OK [APPENDUID … 2] Append completed.")
	d.send("g IDLE\r\n")
	d.expect("+ idling")
	d.send("DONE\r\nh LOGOUT\r\n")
	d.expect("g OK …", "* BYE …", "h OK …")
	if sum := c.ends(); sum.Out > 20_000 || sum.In > 2000 {
		t.Error("not compressed:", sum)
	}
}

// TestCompressAhead: what comes behind COMPRESS, in the same write, is compressed.
func TestCompressAhead(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	var b bytes.Buffer
	b.WriteString("a NOOP\r\nb COMPRESS DEFLATE\r\n")
	to, _ := flate.NewWriter(&b, 6)
	io.WriteString(to, "c NOOP\r\n")
	to.Flush()
	c.send(b.String())
	c.expect("a OK …", "b OK Begin compression.")
	c.r = bufio.NewReader(inflate.NewReader(c.r))
	c.expect("c OK …")
	c.send("\xff\xff\xff")
	c.expect("* BYE corrupt compressed data")
	c.ends()
}

// TestCompressedForStandardReader: the output can be read by a decoder that waits for flushes.
func TestCompressedForStandardReader(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	d := c.compress()
	c.r = bufio.NewReader(flate.NewReader(bufio.NewReader(c.conn)))
	for i := range 100 {
		d.send(fmt.Sprintf("x%d NOOP\r\n", i))
		d.expect(fmt.Sprintf("x%d OK …", i))
	}
}

// TestPipeline: a client that sends thousands of commands before it reads an answer is served, compressed or not.
func TestPipeline(t *testing.T) {
	t.Parallel()
	for _, compressed := range []bool{false, true} {
		t.Run(fmt.Sprint("compressed ", compressed), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.times.patience = 10 * time.Millisecond
			body := strings.Repeat("0123456789abcdef", 64)
			s.deliver("", "1000000.M1.h", "Subject: x\n\n"+body+"\n")
			c := s.connect()
			c.ok("SELECT INBOX")
			write := c.send
			if compressed {
				write = c.compress().send
			}
			const n = 2000
			for i := range n {
				write(fmt.Sprintf("t%d UID FETCH 1 (UID BODY.PEEK[])\r\n", i))
			}
			for i := range n {
				c.expect("* 1 FETCH (UID 1 BODY[] …)", fmt.Sprintf("t%d OK Fetch completed.", i))
			}
		})
	}
}

// TestNeverReads: a client that reads nothing loses its session, which keeps little of what it sends.
func TestNeverReads(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.times.patience, s.times.write = 10*time.Millisecond, 500*time.Millisecond
	s.deliver("", "1000000.M1.h", "Subject: x\n\n"+strings.Repeat("0123456789abcdef", 4096)+"\n")
	c := s.connect()
	c.ok("SELECT INBOX")
	sent := 0
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	for {
		n, err := c.conn.Write([]byte(strings.Repeat("t FETCH 1 BODY.PEEK[]\r\n", 1000)))
		if sent += n; err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the session did not end")
			}
			break
		}
	}
	sum := c.ends()
	if !strings.Contains(sum.Reason, errStalled.Error()) {
		t.Error(sum)
	}
	if sum.In > maxAhead+64<<10 || int64(sent) < maxAhead/2 {
		t.Errorf("read %d of %d octets", sum.In, sent)
	}
}

// TestSlowReader: a client that reads slowly but steadily gets everything.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.times.patience, s.times.write = 5*time.Millisecond, 500*time.Millisecond
	text := strings.Repeat("0123456789abcdef", 1<<16)
	s.deliver("", "1000000.M1.h", "Subject: x\n\n"+text+"\n")
	c := s.connect()
	c.ok("SELECT INBOX")
	c.send("a FETCH 1 BODY.PEEK[TEXT]\r\n")
	time.Sleep(10 * time.Millisecond) // lets the write begin to wait
	got := 0
	buf := make([]byte, 32<<10)
	for got < len(text) {
		n, err := c.r.Read(buf[:min(len(buf), len(text)-got)]) // leaves the answer
		if err != nil {
			t.Fatal(got, err)
		}
		got += n
		time.Sleep(5 * time.Millisecond)
	}
	c.collect("a ")
}

// TestStopWhileWriting: a session that cannot write ends soon when it is to end.
func TestStopWhileWriting(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.times.grace, s.times.patience = 50*time.Millisecond, 5*time.Millisecond
	s.deliver("", "1000000.M1.h", "Subject: x\n\n"+strings.Repeat("0123456789abcdef", 1<<17)+"\n")
	c := s.connect()
	c.ok("SELECT INBOX")
	c.send("a FETCH 1 BODY.PEEK[TEXT]\r\n")
	if _, err := c.r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	c.stop()
	if sum := c.ends(); sum.Reason != "Server shutting down" {
		t.Error(sum)
	}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(3)
	for name, test := range map[string]struct{ send, want string }{
		"endless line":    {strings.Repeat("x", 1<<16) + "\r\n", "* BAD …"},
		"huge set":        {"a UID FETCH " + strings.Repeat("1:4294967295,", 4000) + "1 UID\r\n", "* 1 FETCH (UID 1)"},
		"huge literal":    {"a LIST \"\" {99999999999}\r\n", "a BAD [TOOBIG] …"},
		"impatient":       {"a LIST \"\" {9999999}\r\nb NOOP\r\n", "* BYE …"},
		"huge refused":    {"a APPEND INBOX {99999999999+}\r\n", "a NO [TOOBIG] …"},
		"not a command":   {"GET / HTTP/1.1\r\n\r\n", "GET BAD …"},
		"wildcards":       {"a LIST \"\" " + strings.Repeat("%*", 20_000) + "y\r\n", "a OK …"},
		"patterns":        {"a LIST \"\" (" + strings.Repeat("* ", 1000) + "*)\r\n", "a NO [LIMIT] …"},
		"long pattern":    {"a LIST \"\" " + strings.Repeat("%a", 20_000) + "\r\n", "a OK …"},
		"zero":            {"a UID FETCH 0 FLAGS\r\n", "a BAD …"},
		"reversed":        {"a FETCH 3:2 UID\r\n", "* 2 FETCH (UID 2)"},
		"all of nothing":  {"a STORE 4294967295:* +FLAGS (x)\r\n", "a BAD Invalid messageset."},
		"name with a NUL": {"a SELECT {3+}\r\na\x00b\r\n", "a BAD …"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.connectFor(t)
			c.ok("SELECT INBOX")
			c.send(test.send)
			c.expect(test.want)
			c.hangUp()
		})
	}
}

// TestIdleMemory bounds what a session costs that waits, with the test's client, which is the larger part where that compresses.
func TestIdleMemory(t *testing.T) {
	s := newServer(t)
	for _, test := range []struct {
		name  string
		begin func(c *client)
		most  uint64
	}{
		{"for a command", func(c *client) { c.ok("NOOP") }, 24 << 10},
		{"in IDLE", func(c *client) {
			c.ok("SELECT INBOX")
			c.send("a IDLE\r\n")
			c.expect("+ idling")
		}, 28 << 10},
		{"in IDLE, compressed", func(c *client) {
			d := c.compress()
			d.send("a SELECT INBOX\r\nb IDLE\r\n")
			for d.line() != "+ idling" {
			}
		}, 44 << 10},
	} {
		each := memoryOfEach(s, test.begin)
		t.Logf("%s: %d octets", test.name, each)
		if each > test.most {
			t.Errorf("a session that waits %s costs %d octets, more than %d", test.name, each, test.most)
		}
	}
}

// memoryOfEach is what one of many sessions costs.
func memoryOfEach(s *server, begin func(c *client)) uint64 {
	const n = 400
	before := memory()
	var clients []*client
	for range n {
		c := s.connect()
		begin(c)
		clients = append(clients, c)
	}
	cost := memory() - before
	for _, c := range clients {
		c.hangUp()
	}
	return cost / n
}

func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
