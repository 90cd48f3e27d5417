package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"postrider/internal/address"
	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/logline"
	"postrider/internal/route"
)

// beginTLS begins a session on port 465.
func beginTLS(t *testing.T, s *Server) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, ended := connect(t, s, context.Background(), "submissions", clientIP)
	c.SetDeadline(time.Now().Add(testTimeout))
	t.Cleanup(func() {
		c.Close()
		<-ended
	})
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	r := bufio.NewReader(tc)
	if l, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(l, "220 ") {
		t.Fatal(l, err)
	}
	talk(t, tc, r, "EHLO x")
	return tc, r
}

// Logins in progress are bounded; who keeps silent is not in progress.
func TestExchangesAreBounded(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, &memory{})
	s.places = auth.NewPlaces(1, time.Millisecond)
	silent, r1 := beginTLS(t, s)
	c, r2 := beginTLS(t, s)
	for _, begin := range []string{"AUTH PLAIN", "AUTH LOGIN", "AUTH LOGIN YWxpY2U="} {
		if l := talk(t, silent, r1, begin); !strings.HasPrefix(l, "334") {
			t.Fatal(l)
		}
		if l := talk(t, c, r2, "AUTH PLAIN AGFsaWNlAHdyb25n"); !strings.HasPrefix(l, "535") {
			t.Errorf("beside a silent %s: %s", begin, l)
		}
		talk(t, silent, r1, "*")
	}
	place, ok := s.places.Take(context.Background(), clientIP)
	if !ok {
		t.Fatal("no place")
	}
	if l := talk(t, c, r2, "AUTH PLAIN AGFsaWNlAHNlY3JldA=="); !strings.HasPrefix(l, "454 4.7.0 ") {
		t.Error(l)
	}
	place.Leave()
	if l := talk(t, c, r2, "AUTH PLAIN AGFsaWNlAHNlY3JldA=="); !strings.HasPrefix(l, "235 ") {
		t.Error(l)
	}
}

// A login is not waited for as long as a command.
func TestLoginTimeout(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, &memory{})
	conf := s.settings.Load()
	if conf.commandTimeout() <= maxLoginTimeout || conf.loginTimeout != maxLoginTimeout {
		t.Errorf("%v for a response in a login, %v for a command", conf.loginTimeout, conf.commandTimeout())
	}
	conf.loginTimeout = 10 * time.Millisecond
	c, r := beginTLS(t, s)
	if l := talk(t, c, r, "AUTH LOGIN"); !strings.HasPrefix(l, "334") {
		t.Fatal(l)
	}
	if l, err := r.ReadString('\n'); !strings.HasPrefix(l, "421 4.4.2 ") {
		t.Error(l, err)
	}
}

// countingTables counts what it is asked to resolve.
type countingTables struct {
	tables
	asked *atomic.Int32
}

func (c countingTables) Resolve(ctx context.Context, a address.Address) (route.Result, error) {
	c.asked.Add(1)
	return c.tables.Resolve(ctx, a)
}

// What was accepted once is not looked up again for the same message.
func TestResolvesOnce(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	m := &memory{}
	s := newTestServer(t, m)
	s.Configure(testConfig(), countingTables{asked: &asked})
	c, r, _ := begin(t, s, context.Background())
	defer c.Close()
	talk(t, c, r, "EHLO x", "MAIL FROM:<a@example.org>", "RCPT TO:<team@example.test>", "RCPT TO:<team@EXAMPLE.test>", "RCPT TO:<alice@example.test>")
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times about two addresses", n)
	}
	talk(t, c, r, "DATA")
	if l := talk(t, c, r, "."); !strings.HasPrefix(l, "250") || len(m.last().envelope.To) != 2 {
		t.Error(l, m.last())
	}
	talk(t, c, r, "MAIL FROM:<a@example.org>", "RCPT TO:<team@example.test>")
	if n := asked.Load(); n != 3 {
		t.Errorf("not asked again for the next message: %d", n)
	}
}

// The addresses of a message are bounded in octets, too.
func TestEnvelopeIsBounded(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.SMTPD.MaxRecipients = 10_000
	c.SMTPD.RelayNetworks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	var in bytes.Buffer
	in.WriteString("EHLO x\r\nMAIL FROM:<a@example.org>\r\n")
	domain, orcpt := strings.Repeat("d23456789.", 22)+"example", "rfc822;"+strings.Repeat("o", 490)
	for i := range 5000 {
		fmt.Fprintf(&in, "RCPT TO:<%0200d@%s> ORCPT=%s\r\n", i, domain, orcpt)
	}
	in.WriteString("DATA\r\n.\r\nQUIT\r\n")
	m := &memory{}
	s := New(c, tables{}, Deps{Spool: m, Log: logline.NewWriter(io.Discard, "smtpd", logline.Text)})
	conn := &script{in: bytes.NewReader(in.Bytes())}
	s.Serve(context.Background(), conn, "smtp", envelope.NoUID)
	last := m.last()
	if last == nil {
		t.Fatalf("no message: %.2000s", conn.out.String())
	}
	octets := 0
	for _, to := range last.envelope.To {
		octets += len(to.Addr.String()) + len(to.ORcpt)
	}
	if len(last.envelope.To) < 1000 || octets > maxEnvelope {
		t.Errorf("%d recipients, %d octets", len(last.envelope.To), octets)
	}
	if !strings.Contains(conn.out.String(), "452 4.5.3 ") {
		t.Error("no 452")
	}
}

// No configuration lets a message have more recipients than an envelope.
func TestMaxExpanded(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{4: 40, 1000: 10_000, 10_000: envelope.MaxRecipients} {
		c := config.Default()
		c.SMTPD.MaxRecipients = n
		if got := newService(c, "smtp", config.Service{}).maxExpanded; got != want {
			t.Errorf("max_recipients %d: %d, want %d", n, got, want)
		}
		if s := newService(c, serviceSubmit, config.Service{}); s.maxExpanded > envelope.MaxRecipients || s.maxRcpts > envelope.MaxRecipients {
			t.Errorf("max_recipients %d: %d named, %d expanded from this host", n, s.maxRcpts, s.maxExpanded)
		}
	}
}

// A recipient does not keep the line that it came in.
func TestPathIsCopied(t *testing.T) {
	t.Parallel()
	arg := "TO:<alice@example.test> " + strings.Repeat(" ", maxLine)
	p, _, _, err := cutPath(arg, "TO:")
	if err != nil {
		t.Fatal(err)
	}
	from := uintptr(unsafe.Pointer(unsafe.StringData(arg)))
	for _, s := range []string{p.Local, p.Domain} {
		if at := uintptr(unsafe.Pointer(unsafe.StringData(s))); at >= from && at < from+uintptr(len(arg)) {
			t.Errorf("%q is a part of the line", s)
		}
	}
}
