package listen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds everything that these tests wait for.
const patience = 20 * time.Second

var asNobody = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}

// testLog collects warnings.
type testLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *testLog) Warn(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *testLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// running is a server in a test.
type running struct {
	server *Server
	log    *testLog
	stop   context.CancelFunc
	result chan error
}

// start runs a server of services until the test ends.
func start(t *testing.T, limits Limits, drain time.Duration, services ...Service) running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := running{log: &testLog{}, stop: cancel, result: make(chan error, 1)}
	r.server = NewServer(r.log, limits, drain)
	go func() { r.result <- r.server.Serve(ctx, services) }()
	t.Cleanup(cancel)
	return r
}

func (r running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.result:
		return err
	case <-time.After(patience):
		t.Fatal("the server does not end")
		return nil
	}
}

func tcpListener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// says reads all up to a line's end or the end.
func says(t *testing.T, c net.Conn) string {
	t.Helper()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	return line
}

// greet says whom it takes the client for, and holds the connection until it or the drain ends.
func greet(ctx context.Context, c net.Conn) {
	fmt.Fprintf(c, "hello %v\n", c.RemoteAddr().String())
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	io.Copy(io.Discard, c)
}

func refusal(r Refusal) []byte { return fmt.Appendf(nil, "421 4.7.0 %v\r\n", r) }

func TestLimits(t *testing.T) {
	t.Parallel()
	l, other := tcpListener(t), tcpListener(t)
	r := start(t, Limits{Connections: 3, PerClient: 2, PerService: map[string]int{"other": -1}}, 0,
		Service{Name: "smtp", Listeners: []net.Listener{l}, Handle: greet, Refusal: refusal},
		Service{Name: "other", Listeners: []net.Listener{other}, Handle: greet})
	first, second := dial(t, l), dial(t, l)
	for _, c := range []net.Conn{first, second} {
		if got := says(t, c); !strings.HasPrefix(got, "hello 127.0.0.1") {
			t.Fatalf("within the limits: %q", got)
		}
	}
	if got := says(t, dial(t, l)); got != "421 4.7.0 too many connections of this client\r\n" {
		t.Errorf("third of one client: %q", got)
	}
	third := dial(t, other)
	if got := says(t, third); !strings.HasPrefix(got, "hello") {
		t.Errorf("first of the other service: %q", got)
	}
	if got := says(t, dial(t, l)); got != "421 4.7.0 too many connections\r\n" {
		t.Errorf("fourth of all: %q", got)
	}
	if got := says(t, dial(t, other)); got != "" {
		t.Errorf("where nothing can be said: %q", got)
	}
	if !strings.Contains(r.log.String(), "smtp: 127.0.0.1 refused: too many connections of this client") {
		t.Errorf("log: %s", r.log)
	}
	first.Close()
	within(t, "a slot given back", func() bool { return strings.HasPrefix(says(t, dial(t, l)), "hello") })
	r.server.SetLimits(Limits{Connections: 100, PerClient: 100})
	for range 5 {
		if got := says(t, dial(t, l)); !strings.HasPrefix(got, "hello") {
			t.Errorf("after the limits were raised: %q", got)
		}
	}
}

// within polls for a state.
// Webmail on this host has as many connections as there are, others have theirs, and the log says where more can be allowed.
func TestLoopbackFree(t *testing.T) {
	t.Parallel()
	l, other := tcpListener(t), tcpListener(t)
	r := start(t, Limits{Connections: 4, PerClient: 1, LoopbackFree: true, Table: "imapd"}, 0,
		Service{Name: "imap", Listeners: []net.Listener{l}, Handle: greet},
		Service{Name: "imaps", Listeners: []net.Listener{other}, Handle: greet})
	for range 3 {
		if got := says(t, dial(t, l)); !strings.HasPrefix(got, "hello") {
			t.Errorf("from loopback: %q", got)
		}
	}
	if got := says(t, dial(t, l)); got != "" {
		t.Errorf("more than there are in all: %q", got)
	}
	within(t, "warning", func() bool {
		return strings.Contains(r.log.String(), "imap: 127.0.0.1 refused: too many connections (imapd.max_connections)")
	})
	limits := Limits{PerClient: 1, LoopbackFree: true}
	for address, free := range map[string]bool{"127.0.0.1": true, "127.1.2.3": true, "::1": true, "192.0.2.1": false, "2001:db8::1": false} {
		c := connFrom{addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 1))}
		if n := limits.perClient(slot{client: clientOf(c)}); (n < 0) != free {
			t.Errorf("%s may have %d", address, n)
		}
	}
	if got := TooManyOfClient.setting("imapd"); got != " (imapd.max_per_client)" {
		t.Error(got)
	}
}

func within(t *testing.T, what string, state func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if state() {
			return
		}
	}
	t.Fatalf("%s: not within %v", what, patience)
}

// Everything that was counted is given back, whatever way connections end.
func TestCountsReturnToZero(t *testing.T) {
	t.Parallel()
	l := tcpListener(t)
	service := Service{Name: "smtp", Listeners: []net.Listener{l}, Refusal: refusal,
		Handle: func(_ context.Context, c net.Conn) {
			if b, _ := bufio.NewReader(c).ReadByte(); b == 'f' {
				panic("a fault")
			}
		}}
	r := start(t, Limits{Connections: 5, PerClient: 3}, 0, service)
	for i := range 40 {
		c := dial(t, l)
		fmt.Fprint(c, string("fx"[i%2]))
		c.Close()
	}
	within(t, "all given back", func() bool {
		r.server.living.mu.Lock()
		defer r.server.living.mu.Unlock()
		return r.server.living.total == 0 && len(r.server.living.slots) == 0
	})
	r.stop()
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
	if log := r.log.String(); !strings.Contains(log, "ended by a fault: a fault") {
		t.Errorf("log: %s", log)
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	l := tcpListener(t)
	r := start(t, Limits{Connections: 10, PerClient: 10}, patience,
		Service{Name: "smtp", Listeners: []net.Listener{l}, Handle: func(ctx context.Context, c net.Conn) {
			fmt.Fprintln(c, "hello")
			<-ctx.Done()
			fmt.Fprintln(c, "goodbye")
		}})
	c := dial(t, l)
	in := bufio.NewReader(c)
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	r.stop()
	if line, err := in.ReadString('\n'); err != nil || line != "goodbye\n" {
		t.Errorf("%q, %v", line, err)
	}
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
	if late, err := net.Dial("tcp", l.Addr().String()); err == nil {
		late.Close()
		t.Error("connections are still accepted")
	}
}

func TestDrainClosesTheRest(t *testing.T) {
	t.Parallel()
	l := tcpListener(t)
	r := start(t, Limits{Connections: 10, PerClient: 10}, time.Millisecond,
		Service{Name: "smtp", Listeners: []net.Listener{l}, Handle: func(_ context.Context, c net.Conn) {
			fmt.Fprintln(c, "hello")
			io.Copy(io.Discard, c) // deaf to the context
		}})
	c := dial(t, l)
	says(t, c)
	r.stop()
	if err := r.wait(t); err != nil {
		t.Error(err)
	}
}

// brokenListener fails a number of times before it works.
type brokenListener struct {
	net.Listener
	mu    sync.Mutex
	fails []error
	tries []time.Time
}

func (b *brokenListener) Accept() (net.Conn, error) {
	b.mu.Lock()
	b.tries = append(b.tries, time.Now())
	if len(b.fails) > 0 {
		err := b.fails[0]
		b.fails = b.fails[1:]
		b.mu.Unlock()
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
	}
	b.mu.Unlock()
	return b.Listener.Accept()
}

func TestAcceptErrors(t *testing.T) {
	t.Parallel()
	l := &brokenListener{Listener: tcpListener(t), fails: []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOMEM, syscall.EPERM,
	}}
	r := start(t, Limits{Connections: 10, PerClient: 10}, 0,
		Service{Name: "smtp", Listeners: []net.Listener{l}, Handle: greet})
	if got := says(t, dial(t, l)); !strings.HasPrefix(got, "hello") {
		t.Errorf("after errors: %q", got)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if pause := l.tries[5].Sub(l.tries[0]); pause < 31*minPause { // 5+10+20+40+80
		t.Errorf("five errors within %v", pause)
	}
	if log := r.log.String(); strings.Contains(log, "\n") || !strings.Contains(log, "too many open files") {
		t.Errorf("log, want one line: %s", log)
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	v2 := func(command byte, family byte, block ...byte) string {
		header := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20|command, family, 0, byte(len(block)))
		return string(append(header, block...))
	}
	ip4 := []byte{192, 0, 2, 7, 127, 0, 0, 1, 0x30, 0x39, 0, 25}
	tests := []struct{ name, header, want string }{
		{"v1", "PROXY TCP4 192.0.2.7 127.0.0.1 12345 25\r\n", "hello 192.0.2.7:12345\n"},
		{"v1 of IPv6", "PROXY TCP6 2001:db8::7 ::1 12345 25\r\n", "hello [2001:db8::7]:12345\n"},
		{"v2", v2(1, 0x11, ip4...), "hello 192.0.2.7:12345\n"},
		{"v2 of the proxy's own", v2(0, 0), "hello 127.0.0.1"},
		{"v1 unknown", "PROXY UNKNOWN\r\n", "hello 127.0.0.1"},
		{"v2 of datagrams", v2(1, 0x12, ip4...), ""},
		{"v2 of a Unix socket", v2(1, 0x31, make([]byte, 216)...), ""},
		{"none", "EHLO client.example\r\n", ""},
		{"none at all", "", ""},
		{"broken", "PROXY TCP4 192.0.2.7\r\n", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := tcpListener(t)
			r := start(t, Limits{Connections: 10, PerClient: 10, ProxyTimeout: 200 * time.Millisecond,
				ProxyNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, 0,
				Service{Name: "smtp", Listeners: []net.Listener{l}, Handle: greet})
			c := dial(t, l)
			if _, err := io.WriteString(c, test.header); err != nil {
				t.Fatal(err)
			}
			got := says(t, c)
			if got != test.want && (test.want == "" || !strings.HasPrefix(got, test.want)) {
				t.Errorf("%q, want %q", got, test.want)
			}
			if test.want == "" && !strings.Contains(r.log.String(), "PROXY header from 127.0.0.1") {
				t.Errorf("log: %s", r.log)
			}
		})
	}
}

// Clients behind a proxy are counted one by one, and what they send behind the header is theirs.
func TestProxyCountsClients(t *testing.T) {
	t.Parallel()
	l := tcpListener(t)
	start(t, Limits{Connections: 10, PerClient: 1, ProxyNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, 0,
		Service{Name: "smtp", Listeners: []net.Listener{l}, Refusal: refusal, Handle: func(_ context.Context, c net.Conn) {
			if Base(c) == c {
				t.Error("the wrapper hides what is under it")
			}
			line, _ := bufio.NewReader(c).ReadString('\n')
			io.WriteString(c, line)
			io.Copy(io.Discard, c)
		}})
	for i, want := range []string{"EHLO\n", "421", "EHLO\n"} {
		c := dial(t, l)
		fmt.Fprintf(c, "PROXY TCP6 2001:db8:0:%d::%d ::1 12345 25\r\nEHLO\n", i/2, i+1)
		if got := says(t, c); !strings.HasPrefix(got, want) {
			t.Errorf("client %d: %q, want %q", i, got, want)
		}
	}
}

// Where no proxy is configured, its header is the client's own babble.
func TestNoProxy(t *testing.T) {
	t.Parallel()
	l := tcpListener(t)
	start(t, Limits{Connections: 10, PerClient: 10, ProxyNetworks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, 0,
		Service{Name: "smtp", Listeners: []net.Listener{l}, Handle: greet})
	c := dial(t, l)
	fmt.Fprint(c, "PROXY TCP4 192.0.2.7 127.0.0.1 12345 25\r\n")
	if got := says(t, c); !strings.HasPrefix(got, "hello 127.0.0.1") {
		t.Errorf("%q", got)
	}
}

func TestPeerCred(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("unix", shortDir(t)+"/s")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	start(t, Limits{Connections: 10, PerClient: 1}, 0,
		Service{Name: "submit", Listeners: []net.Listener{l}, Refusal: refusal, Handle: func(_ context.Context, c net.Conn) {
			cred, err := PeerCred(c)
			want := Cred{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), PID: int32(os.Getpid())}
			if err == nil && cred != want {
				err = fmt.Errorf("%+v, want %+v", cred, want)
			}
			got <- err
			io.Copy(io.Discard, c)
		}})
	dial(t, l)
	if err := <-got; err != nil {
		t.Error(err)
	}
	if refused := says(t, dial(t, l)); !strings.HasPrefix(refused, "421") {
		t.Errorf("second of one uid: %q", refused)
	}
	tcp := tcpListener(t)
	if _, err := PeerCred(dial(t, tcp)); err == nil {
		t.Error("credentials of a TCP connection")
	}
}

func TestClients(t *testing.T) {
	t.Parallel()
	tests := []struct{ addr, want string }{
		{"192.0.2.7:25", "192.0.2.7"},
		{"[::ffff:192.0.2.7]:25", "192.0.2.7"},
		{"[2001:db8:1:2:3:4:5:6]:25", "2001:db8:1:2::/64"},
		{"[fe80::1%lo]:25", "fe80::/64"},
	}
	for _, test := range tests {
		addr := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(test.addr))
		if got := clientOf(connFrom{addr: addr}).String(); got != test.want {
			t.Errorf("%s: %s, want %s", test.addr, got, test.want)
		}
	}
	if got := clientOf(connFrom{addr: &net.IPAddr{}}); got != (client{uid: -1}) {
		t.Errorf("unknown: %+v", got)
	}
}

// connFrom is a connection that has an address only.
type connFrom struct {
	net.Conn
	addr net.Addr
}

func (c connFrom) RemoteAddr() net.Addr { return c.addr }
