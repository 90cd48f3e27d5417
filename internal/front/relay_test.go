package front

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"postrider/internal/control"
	"postrider/internal/sockettest"
)

// kinds are the ways in which a client may be connected whose octets are relayed.
var kinds = map[string]func(*rig) *client{
	"TLS": (*rig).secure,
	"layered": func(r *rig) *client {
		s, c := sockettest.TCP(r)
		r.serve(from{s, host, host}, false)
		return newClient(r.T, c)
	},
}

// eachKind runs a test with a client of each kind that has logged in.
func eachKind(t *testing.T, test func(r *rig, k *client, s *session)) {
	t.Parallel()
	for name, connect := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, IMAP, nil)
			k := connect(r)
			k.expect("* OK *")
			k.send("a LOGIN alice secret\r\n")
			test(r, k, r.session())
		})
	}
}

func closeWrite(t *testing.T, c net.Conn) {
	t.Helper()
	if err := halfClose(c); err != nil {
		t.Fatal(err)
	}
}

func TestRelayBulk(t *testing.T) {
	eachKind(t, func(r *rig, k *client, s *session) {
		up, down := make([]byte, 3<<20), make([]byte, 5<<20)
		random := rand.NewChaCha8([32]byte{1})
		random.Read(up)
		random.Read(down)
		var all sync.WaitGroup
		all.Go(func() { k.Write(up); closeWrite(t, k.Conn) })
		all.Go(func() { s.Write(down); s.CloseWrite() })
		all.Go(func() {
			if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, up) {
				t.Errorf("the session got %d octets, %v", len(got), err)
			}
		})
		if got, err := io.ReadAll(k.in); err != nil || !bytes.Equal(got, down) {
			t.Errorf("the client got %d octets, %v", len(got), err)
		}
		all.Wait()
		r.serving.Wait()
	})
}

// A client that has said all it wants to say hears the rest.
func TestRelayClientEnds(t *testing.T) {
	eachKind(t, func(r *rig, k *client, s *session) {
		k.send("b LOGOUT\r\n")
		closeWrite(t, k.Conn)
		if got, err := io.ReadAll(s); string(got) != "b LOGOUT\r\n" || err != nil {
			t.Errorf("the session got %q, %v", got, err)
		}
		io.WriteString(s, "* BYE\r\nb OK\r\n")
		s.Close()
		if got, err := io.ReadAll(k.in); string(got) != "* BYE\r\nb OK\r\n" || err != nil {
			t.Errorf("the client got %q, %v", got, err)
		}
		r.serving.Wait()
	})
}

// A session that ends is the end for the client, also where that listens to TCP only.
func TestRelaySessionEnds(t *testing.T) {
	eachKind(t, func(r *rig, k *client, s *session) {
		io.WriteString(s, "* BYE\r\n")
		s.Close()
		if got, err := io.ReadAll(k.in); string(got) != "* BYE\r\n" || err != nil {
			t.Errorf("the client got %q, %v", got, err)
		}
		if conn, ok := k.Conn.(*tls.Conn); ok {
			if n, err := conn.NetConn().Read(make([]byte, 1)); n > 0 || err != io.EOF {
				t.Errorf("below TLS: %d, %v", n, err)
			}
		}
		k.Close()
		r.serving.Wait()
	})
}

// The last words of a session reach a client that goes on talking.
func TestRelayLastWords(t *testing.T) {
	eachKind(t, func(r *rig, k *client, s *session) {
		k.send("b NOOP\r\n")
		if _, err := io.ReadFull(s, make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		io.WriteString(s, "* BYE\r\n")
		s.Close()
		for range 1000 {
			k.send("c NOOP\r\n")
		}
		if got, err := io.ReadAll(k.in); string(got) != "* BYE\r\n" || err != nil {
			t.Errorf("the client got %q, %v", got, err)
		}
		k.Close()
		r.serving.Wait()
	})
}

// A client that is gone without a word takes its session with it.
func TestRelayReset(t *testing.T) {
	eachKind(t, func(r *rig, k *client, s *session) {
		below := k.Conn
		if conn, ok := below.(*tls.Conn); ok {
			below = conn.NetConn()
		}
		below.(*net.TCPConn).SetLinger(0)
		below.Close()
		if _, err := io.ReadAll(s); err != nil {
			t.Error(err)
		}
		r.serving.Wait()
	})
}

// What a client does not read stops its session, and is not lost.
func TestRelaySlowReader(t *testing.T) {
	eachKind(t, func(r *rig, k *client, s *session) {
		chunk := make([]byte, 64<<10)
		sent, most := 0, 64<<20
		for sent < most {
			s.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := s.Write(chunk)
			sent += n
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if sent >= most {
			t.Fatalf("%d octets went nowhere", sent)
		}
		s.CloseWrite()
		if n, err := io.Copy(io.Discard, k.in); n != int64(sent) || err != nil {
			t.Errorf("the client got %d of %d octets, %v", n, sent, err)
		}
		k.Close()
		r.serving.Wait()
	})
}

func TestKick(t *testing.T) {
	eachKind(t, func(r *rig, k *client, s *session) {
		all := control.Selection{Anyone: true}
		r.wait("entry in the roster", func() bool { w := r.roster.Who(all); return len(w) == 1 && w[0].PID > 0 })
		e := r.roster.Who(all)[0]
		_, encrypted := k.Conn.(*tls.Conn)
		if e.ID != s.ID || e.User != "alice" || e.Service != "imap" || e.UID != 1000 || e.PID != 4711 || e.TLS != encrypted {
			t.Errorf("entry %+v", e)
		}
		if n := len(r.roster.Kick(control.Selection{ID: "alice", UID: 1001})); n != 0 {
			t.Errorf("another user ended %d sessions", n)
		}
		if n := len(r.roster.Kick(control.Selection{ID: "alice", UID: 1000})); n != 1 {
			t.Errorf("%d sessions ended", n)
		}
		if got, err := io.ReadAll(s); len(got) > 0 || err != nil {
			t.Errorf("the session got %q, %v", got, err)
		}
		if got, err := io.ReadAll(k.in); len(got) > 0 || err != nil {
			t.Errorf("the client got %q, %v", got, err)
		}
		r.serving.Wait()
		if n := len(r.roster.Who(all)); n != 0 {
			t.Errorf("%d sessions in the roster", n)
		}
	})
}

// Sessions outlive SIGTERM until internal/listen closes their connections.
func TestRelayDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, nil)
	server, c := sockettest.TCP(t)
	r.serve(from{server, host, host}, false)
	k := newClient(t, c)
	k.expect("* OK *")
	k.send("a LOGIN alice secret\r\n")
	s := r.session()
	r.stop()
	k.send("b NOOP\r\n")
	got := make([]byte, 8)
	if _, err := io.ReadFull(s, got); err != nil || string(got) != "b NOOP\r\n" {
		t.Errorf("after SIGTERM the session got %q, %v", got, err)
	}
	io.WriteString(s, "b OK\r\n")
	k.expect("b OK")
	server.Close()
	if got, err := io.ReadAll(s); len(got) > 0 || err != nil {
		t.Errorf("the session got %q, %v", got, err)
	}
	r.serving.Wait()
}

// An end of the session is one for the client, also if that does not close its side; the place is free at once. A session that has
// lost its client has a while.
func TestSessionIsOver(t *testing.T) {
	eachKind(t, func(r *rig, k *client, s *session) {
		io.WriteString(s, "* BYE\r\n")
		s.Close()
		k.expect("* BYE")
		k.expectEnd()
		if n := len(r.roster.Who(control.Selection{Anyone: true})); n > 0 {
			t.Errorf("%d sessions in the roster", n)
		}
		began := time.Now()
		r.serving.Wait()
		if took := time.Since(began); took > halfOpen/4 {
			t.Errorf("the connection was there for another %v", took)
		}
	})
}

// A session that is ended while it is being opened does not begin.
func TestKickWhileOpening(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, nil)
	r.authd.opening = make(chan struct{})
	k := r.local()
	k.expect("* OK *")
	k.send("a LOGIN alice secret\r\n")
	alice := control.Selection{ID: "alice", UID: 1000}
	r.wait("entry in the roster", func() bool { return len(r.roster.Who(alice)) == 1 })
	if n := len(r.roster.Kick(alice)); n != 1 {
		t.Errorf("%d sessions ended", n)
	}
	close(r.authd.opening)
	s := r.session()
	if got, err := io.ReadAll(s); len(got) > 0 || err != nil {
		t.Errorf("the session got %q, %v", got, err)
	}
	k.expectEnd()
	r.serving.Wait()
	if n := len(r.roster.Who(alice)); n != 0 {
		t.Errorf("%d sessions in the roster", n)
	}
}

// ends are those of a relay, and what is at them.
func ends(t *testing.T) (client, far net.Conn, r *relay) {
	t.Helper()
	server, k := sockettest.TCP(t)
	near, file, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if far, err = net.FileConn(file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close(); far.Close() })
	return k, far, &relay{client: server, session: near, halfOpen: 50 * time.Millisecond, over: func() {}}
}

// goes runs a relay to its end.
func goes(t *testing.T, r *relay, end func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run()
	}()
	end()
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("the other direction goes on")
	}
}

// A direction does not outlive the other for long.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	client, _, r := ends(t)
	goes(t, r, func() { closeWrite(t, client) })
	_, far, r := ends(t)
	goes(t, r, func() { closeWrite(t, far) })
}

// faulty is a connection whose code has a fault.
type faulty struct{ net.Conn }

func (faulty) Write([]byte) (int, error) { panic("a fault") }

// A fault ends its session and nothing else.
func TestRelayFault(t *testing.T) {
	t.Parallel()
	_, far, r := ends(t)
	faults := make(chan any, 1)
	r.client, r.fault = faulty{r.client}, func(fault any) { faults <- fault }
	goes(t, r, func() { io.WriteString(far, "* BYE\r\n") })
	if fault := <-faults; fault != "a fault" {
		t.Error(fault)
	}
}
