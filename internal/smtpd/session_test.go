package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/internal/envelope"
	"postrider/internal/listen"
	"postrider/internal/logline"
	"postrider/internal/resolver"
	"postrider/test/fakedns"
)

// script is a connection whose client sends all at once and ends.
type script struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)         { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)        { return s.out.Write(p) }
func (s *script) Close() error                       { return nil }
func (s *script) LocalAddr() net.Addr                { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 25), Port: 25} }
func (s *script) RemoteAddr() net.Addr               { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4000} }
func (s *script) SetDeadline(time.Time) error        { return nil }
func (s *script) SetReadDeadline(t time.Time) error  { return nil }
func (s *script) SetWriteDeadline(t time.Time) error { return nil }

// FuzzSession sends anything and checks that the session ends, that every message was begun by a DATA or BDAT that was
// allowed and was taken only if it had come to its end, and that nothing is left over.
func FuzzSession(f *testing.F) {
	hello := "EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<alice@example.test>\r\n"
	f.Add([]byte(hello+"DATA\r\nA: b\r\n\r\ntext\r\n.\r\nQUIT\r\n"), uint8(0))
	f.Add([]byte(hello+"BDAT 6\r\nA: b\r\nBDAT 2 LAST\r\n\r\nRSET\r\nVRFY x\r\n"), uint8(0))
	f.Add([]byte("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test> NOTIFY=NEVER\r\nDATA\r\n\n.\n\r\n.\r\n"), uint8(1))
	f.Add([]byte("EHLO x\r\nMAIL FROM:<> XPARENT=0123456789bcdfgh XUID=1\r\nRCPT TO:<x@y>\r\nDATA\r\nTo: a, b\r\n.\r\n"), uint8(2))
	f.Add([]byte("EHLO x\r\nXCLIENT ADDR=198.51.100.1\r\nEHLO x\r\nSTARTTLS\r\nAUTH PLAIN =\r\n"), uint8(3))
	f.Fuzz(func(t *testing.T, in []byte, which uint8) {
		service := []string{"smtp", "lmtp", "submit.int", "submit"}[which%4]
		c := testConfig()
		c.SMTPD.XClientNetworks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		m := &memory{}
		s := New(c, tables{}, Deps{Spool: m, Log: logline.NewWriter(io.Discard, "smtpd", logline.Text)})
		conn := &script{in: bytes.NewReader(in)}
		s.Serve(context.Background(), conn, service, 1000)
		taken, open := m.state()
		if open != 0 {
			t.Fatalf("%q: %d messages left open", in, open)
		}
		if ends := bytes.Count(in, []byte("\r\n.\r\n")) + bytes.Count(bytes.ToUpper(in), []byte("LAST")); taken > ends {
			t.Fatalf("%q: %d messages, %d ends", in, taken, ends)
		}
		if n := strings.Count(conn.out.String(), "Ok: queued as"); n < taken {
			t.Fatalf("%q: %d messages, %d answers", in, taken, n)
		}
		for _, stored := range m.messages {
			checkStored(t, in, stored)
		}
		for l := range strings.SplitSeq(strings.TrimSuffix(conn.out.String(), "\r\n"), "\r\n") {
			if len(l) < 4 || l[3] != ' ' && l[3] != '-' || strings.ContainsAny(l, "\r\n\x00") {
				t.Fatalf("%q: bad reply %q", in, l)
			}
		}
	})
}

func checkStored(t *testing.T, in []byte, s *stored) {
	t.Helper()
	body := s.body.String()
	if strings.Contains(strings.ReplaceAll(body, "\r\n", ""), "\n") || strings.Contains(strings.ReplaceAll(body, "\r\n", ""), "\r") {
		t.Fatalf("%q: bare CR or LF in %q", in, body)
	}
	if !strings.HasPrefix(body, "Received: ") || !strings.HasSuffix(body, "\r\n") {
		t.Fatalf("%q: %q", in, body)
	}
	if _, err := envelope.Parse("0123456789bcdfgh", s.envelope.Append(nil)); err != nil {
		t.Fatalf("%q: %v", in, err)
	}
	for _, to := range s.envelope.To {
		if to.Via == envelope.Remote && s.envelope.Origin == envelope.OriginMX && s.envelope.Parent == "" && to.Orig.IsNull() {
			t.Fatalf("%q: relayed to %v", in, to.Addr)
		}
	}
}

var clientIP = netip.MustParseAddr("192.0.2.1")

func newTestServer(t testing.TB, m *memory) *Server {
	t.Helper()
	return New(testConfig(), tables{}, Deps{Spool: m, Auth: &logins{}, Log: logline.NewWriter(io.Discard, "smtpd", logline.Text), Identity: testIdentity})
}

// talk sends lines and returns the last reply line to each.
func talk(t *testing.T, c net.Conn, r *bufio.Reader, lines ...string) (last string) {
	t.Helper()
	for _, l := range lines {
		if _, err := io.WriteString(c, l+"\r\n"); err != nil {
			t.Fatal(err)
		}
		for {
			got, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("%s: %v", l, err)
			}
			if last = strings.TrimSpace(got); len(last) < 4 || last[3] != '-' {
				break
			}
		}
	}
	return last
}

// begin connects and reads the greeting.
func begin(t *testing.T, s *Server, ctx context.Context) (net.Conn, *bufio.Reader, chan struct{}) {
	t.Helper()
	c, ended := connect(t, s, ctx, "smtp", clientIP)
	c.SetDeadline(time.Now().Add(testTimeout))
	r := bufio.NewReader(c)
	if l, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(l, "220 ") {
		t.Fatal(l, err)
	}
	return c, r, ended
}

func TestDrainIdle(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	c, r, ended := begin(t, newTestServer(t, &memory{}), ctx)
	defer c.Close()
	talk(t, c, r, "EHLO x", "MAIL FROM:<a@example.org>")
	cancel()
	if l, err := r.ReadString('\n'); !strings.HasPrefix(l, "421 4.3.2 ") {
		t.Error(l, err)
	}
	<-ended
}

func TestDrainInMessage(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	m := &memory{}
	c, r, ended := begin(t, newTestServer(t, m), ctx)
	defer c.Close()
	talk(t, c, r, "EHLO x", "MAIL FROM:<a@example.org>", "RCPT TO:<alice@example.test>", "DATA")
	cancel()
	if l := talk(t, c, r, "A: b\r\n\r\ntext\r\n."); !strings.HasPrefix(l, "250 2.0.0 Ok: queued") {
		t.Error(l)
	}
	if l, err := r.ReadString('\n'); !strings.HasPrefix(l, "421 4.3.2 ") {
		t.Error(l, err)
	}
	<-ended
	if taken, open := m.state(); taken != 1 || open != 0 {
		t.Error(taken, open)
	}
}

func TestReconfigure(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, &memory{})
	c, r, _ := begin(t, s, context.Background())
	defer c.Close()
	next := testConfig()
	next.MessageSize = 10
	s.Configure(next, tables{})
	if l := talk(t, c, r, "EHLO x", "MAIL FROM:<a@example.org> SIZE=11"); !strings.HasPrefix(l, "250") {
		t.Error("a running session changed:", l)
	}
	c2, r2, _ := begin(t, s, context.Background())
	defer c2.Close()
	if l := talk(t, c2, r2, "EHLO x", "MAIL FROM:<a@example.org> SIZE=11"); !strings.HasPrefix(l, "552") {
		t.Error("a new session did not change:", l)
	}
}

// TestProxy runs the server behind the listener that reads PROXY headers.
func TestProxy(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{}
	s := newTestServer(t, m)
	ls := listen.NewServer(logline.NewWriter(io.Discard, "smtpd", logline.Text), listen.Limits{
		Connections: 10, PerClient: 10, ProxyNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, time.Second)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- ls.Serve(ctx, []listen.Service{{Name: "smtp", Listeners: []net.Listener{l},
			Handle: func(ctx context.Context, c net.Conn) { s.Serve(ctx, c, "smtp", envelope.NoUID) }}})
	}()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(testTimeout))
	fmt.Fprintf(c, "PROXY TCP4 198.51.100.7 192.0.2.25 4000 25\r\n")
	r := bufio.NewReader(c)
	if l, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(l, "220 ") {
		t.Fatal(l, err)
	}
	if l := talk(t, c, r, "EHLO x", "MAIL FROM:<a@example.org>", "RCPT TO:<x@elsewhere.example>", "DATA", "."); !strings.HasPrefix(l, "250") {
		t.Fatal(l)
	}
	if e := m.last().envelope; e.Origin != envelope.OriginNet || e.Client.IP != netip.MustParseAddr("198.51.100.7") {
		t.Errorf("%+v", e)
	}
}

// namesZone: .1 is right, .2 claims a name that is another's, .3 has a name that is none, .4 has nothing, .5 has too many, for .6
// the DNS fails.
const namesZone = `
1.2.0.192.in-addr.arpa. PTR good.example.org.
2.2.0.192.in-addr.arpa. PTR good.example.org.
3.2.0.192.in-addr.arpa. PTR a\032b\040c\041.example.org.
5.2.0.192.in-addr.arpa. PTR a.example.org.
5.2.0.192.in-addr.arpa. PTR b.example.org.
5.2.0.192.in-addr.arpa. PTR c.example.org.
5.2.0.192.in-addr.arpa. PTR d.example.org.
5.2.0.192.in-addr.arpa. PTR e.example.org.
5.2.0.192.in-addr.arpa. PTR five.example.org.
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR good.example.org.
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR six.example.org.
good.example.org. A 192.0.2.1
five.example.org. A 192.0.2.5
six.example.org. AAAA 2001:db8::1
`

func TestNames(t *testing.T) {
	t.Parallel()
	dns := fakedns.Start(t, namesZone)
	dns.SetFault("6.2.0.192.in-addr.arpa", fakedns.Refused)
	n := NewNames(resolver.New(resolver.Options{Server: dns.Addr}))
	for ip, want := range map[string]string{
		"192.0.2.1": "good.example.org", "192.0.2.2": unknown, "192.0.2.3": unknown, "192.0.2.4": unknown, "192.0.2.5": unknown,
		"192.0.2.6": unknown, "2001:db8::1": "six.example.org",
	} {
		for range 2 {
			if got := n.Name(context.Background(), netip.MustParseAddr(ip)); got != want {
				t.Errorf("%s: %s, want %s", ip, got, want)
			}
		}
	}
	if len(n.nameless) != 5 {
		t.Errorf("%d clients without a name are kept", len(n.nameless))
	}
}

// A client without a name is not asked for again at once.
func TestNameless(t *testing.T) {
	t.Parallel()
	l := &countingLookup{}
	n := NewNames(l)
	for i := range 2*maxNameless + 1 {
		ip := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		for range 2 {
			if got := n.Name(t.Context(), ip); got != unknown {
				t.Fatal(got)
			}
		}
	}
	if l.lookups != 2*maxNameless+1 || len(n.nameless) > maxNameless {
		t.Errorf("%d lookups, %d clients kept", l.lookups, len(n.nameless))
	}
}

// countingLookup finds nothing.
type countingLookup struct{ lookups int }

func (l *countingLookup) Names(context.Context, netip.Addr) ([]string, error) {
	l.lookups++
	return nil, nil
}

func (l *countingLookup) Addresses(context.Context, string) ([]netip.Addr, bool, error) {
	return nil, false, nil
}

// BenchmarkSession is a session with one message of 4 KiB; ns/op is to be far below what the disk takes.
func BenchmarkSession(b *testing.B) {
	body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 57)
	in := []byte("EHLO relay.example.org\r\nMAIL FROM:<a@example.org> SIZE=4100\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n" +
		"From: a@example.org\r\nTo: alice@example.test\r\nSubject: bench\r\nMessage-ID: <1@example.org>\r\nDate: Sat, 21 Nov 2026 20:00:00 +0000\r\n\r\n" + body + ".\r\nQUIT\r\n")
	c := testConfig()
	c.MessageSize = 1 << 20
	s := New(c, tables{}, Deps{Spool: discard{}, Log: logline.NewWriter(io.Discard, "smtpd", logline.Text)})
	b.ReportAllocs()
	for b.Loop() {
		conn := &script{in: bytes.NewReader(in)}
		s.Serve(context.Background(), conn, "smtp", envelope.NoUID)
		if !bytes.Contains(conn.out.Bytes(), []byte("queued as")) {
			b.Fatal(conn.out.String())
		}
	}
}

// discard is a spool that keeps nothing.
type discard struct{}

func (discard) Create(*envelope.Envelope, bool) (Message, error) { return discard{}, nil }
func (discard) ID() string                                       { return "0123456789bcdfgh" }
func (discard) Write(p []byte) (int, error)                      { return len(p), nil }
func (discard) Commit() error                                    { return nil }
func (discard) Abort()                                           {}
