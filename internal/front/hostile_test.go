package front

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/internal/config"
	"postrider/internal/sockettest"
)

func TestHostileIMAP(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ send, last string }{
		"endless line":    {"a LOGIN alice " + strings.Repeat("x", 1<<20), "* BYE Input too long."},
		"long line":       {"a LOGIN alice " + strings.Repeat("x", 20<<10) + "\r\nb LOGOUT\r\n", "b OK LOGOUT completed."},
		"large literal":   {"a LOGIN alice {5000}\r\nb LOGOUT\r\n", "* BYE Input too long."}, // sent without waiting
		"larger literal+": {"a LOGIN alice {5000+}\r\n" + strings.Repeat("x", 5000) + "\r\nb LOGOUT\r\n", "b OK LOGOUT completed."},
		"endless literal": {"a LOGIN alice {999999999999+}\r\n", "* BYE Input too long."},
		"deep ID":         {"a ID " + strings.Repeat("(", 10000) + "\r\nb LOGOUT\r\n", "b OK LOGOUT completed."},
		"10,000 commands": {strings.Repeat("a NOOP\r\n", 10000), "* BYE Too many commands without a login."},
		"10,000 refused":  {strings.Repeat("a LOGIN alice wrong\r\n", 10000), "* BYE Too many failed logins."},
		"binary":          {string(make([]byte, 100)) + strings.Repeat("\n", 2*maxBad), "* BYE Too many invalid commands."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newRig(t, IMAP, nil).local()
			go k.Write([]byte(c.send)) // the server may close before it has read all
			answers, _ := io.ReadAll(k)
			lines := strings.Split(strings.TrimSuffix(string(answers), "\r\n"), "\r\n")
			if last := lines[len(lines)-1]; last != c.last {
				t.Errorf("%.100q instead of %q", last, c.last)
			}
		})
	}
}

func TestHostilePOP3(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ send, last string }{
		"endless line":    {"USER " + strings.Repeat("x", 1<<20), "-ERR Input too long."},
		"long line":       {"USER " + strings.Repeat("x", maxLine) + "\r\nQUIT\r\n", "+OK Logging out."},
		"10,000 commands": {strings.Repeat("CAPA\r\n", 10000), "-ERR Too many commands without a login."},
		"10,000 refused":  {strings.Repeat("USER alice\r\nPASS wrong\r\n", 10000), "-ERR Too many failed logins."},
		"binary":          {strings.Repeat("\x00\xff\x16\x03\n", 2*maxBad), "-ERR Too many invalid commands."},
		"long message":    {"AUTH PLAIN\r\n" + strings.Repeat("A", 3000) + "\r\nQUIT\r\n", "+OK Logging out."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newRig(t, POP3, nil).local()
			go k.Write([]byte(c.send))
			answers, _ := io.ReadAll(k)
			lines := strings.Split(strings.TrimSuffix(string(answers), "\r\n"), "\r\n")
			if last := lines[len(lines)-1]; last != c.last {
				t.Errorf("%.100q instead of %q", last, c.last)
			}
		})
	}
}

// A client that sends something again and again, but never logs in, has login_timeout in all.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond
	for name, c := range map[string]struct {
		protocol *Protocol
		tls      bool
		drip     string
		bye, log string
	}{
		"silent":         {IMAP, false, "", "* BYE Disconnected for inactivity.", "Inactivity (no auth attempts in 0 secs)"},
		"slow line":      {IMAP, false, "x", "* BYE Disconnected for inactivity.", "Inactivity (no auth attempts in 0 secs)"},
		"slow commands":  {POP3, false, "CAPA\r\n", "-ERR Disconnected for inactivity.", "Inactivity (no auth attempts in 0 secs)"},
		"slow SASL":      {IMAP, false, "a AUTHENTICATE PLAIN\r\n", "* BYE Disconnected for inactivity.", "Inactivity (client didn't finish SASL auth, waited 0 secs)"},
		"slow handshake": {IMAP, true, "\x16\x03\x01\x02\x00", "", "TLS handshake failed (no auth attempts in 0 secs): user=<>, rip=127.0.0.1, lip=127.0.0.1, TLS handshaking: i/o timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.protocol, func(f *config.Front) { f.LoginTimeout = config.Duration(timeout) })
			s, k := sockettest.TCP(t)
			defer k.Close()
			began := time.Now()
			r.serve(s, c.tls)
			go func() {
				once := strings.HasPrefix(c.drip, "a ") || c.drip == "\x16\x03\x01\x02\x00"
				for i := 0; c.drip != "" && (i == 0 || !once); i++ {
					if _, err := io.WriteString(k, c.drip); err != nil {
						return
					}
					time.Sleep(timeout / 20)
				}
			}()
			answers, _ := io.ReadAll(k)
			if took := time.Since(began); took < timeout || took > timeout+10*time.Second {
				t.Errorf("ended after %v", took)
			}
			if !bytes.HasSuffix(answers, []byte(c.bye+"\r\n")) && c.bye != "" {
				t.Errorf("%q lacks %q", answers, c.bye)
			}
			r.waitLog(c.log)
		})
	}
}

// SIGTERM sends clients away that have not logged in, whatever they are at.
func TestStop(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, nil)
	r.authd.hold = make(chan struct{})
	idle, asking, waiting := r.local(), r.local(), r.local()
	for _, k := range []*client{idle, asking, waiting} {
		k.expect(localGreeting)
	}
	asking.send("a AUTHENTICATE PLAIN\r\n")
	asking.expect("+ ")
	waiting.send("a LOGIN alice secret\r\n")
	r.wait("login", func() bool { return r.authd.asked() == 1 })
	r.stop()
	idle.expect("* BYE Server is shutting down.")
	asking.expect("* BYE Server is shutting down.")
	waiting.expect("a NO [UNAVAILABLE] *", "* BYE Server is shutting down.")
	for _, k := range []*client{idle, asking, waiting} {
		k.expectEnd()
	}
	r.serving.Wait()
	r.waitLog("Disconnected: Shutting down (no auth attempts in 0 secs)")
}

func TestStopHandshake(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, nil)
	s, k := sockettest.TCP(t)
	defer k.Close()
	r.serve(s, true)
	r.stop()
	io.ReadAll(k)
	r.serving.Wait()
}

// A client that does not read does not hold more than its socket.
func TestDeafClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, POP3, func(f *config.Front) { f.LoginTimeout = config.Duration(time.Second) })
	a, b := net.Pipe()
	defer b.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer a.Close()
		r.server.Serve(r.ctx, from{a, stranger, host}, false)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("the server waits for a client that does not read")
	}
}
