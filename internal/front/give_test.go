package front

import (
	"io"
	"net"
	"testing"

	"postrider/internal/control"
)

// givenAway is a client in clear that has logged in, and its session.
func givenAway(t *testing.T) (*rig, *client, *session) {
	t.Helper()
	r := newRig(t, IMAP, nil)
	k := r.local()
	k.expect("* OK *")
	k.send("a LOGIN alice secret\r\n")
	s := r.session()
	if _, ok := s.client.(*net.TCPConn); !ok {
		t.Fatalf("the session reaches its client by %T", s.client)
	}
	return r, k, s
}

// A client in clear and its session speak with each other alone.
func TestGiveAway(t *testing.T) {
	t.Parallel()
	r, k, s := givenAway(t)
	io.WriteString(s.client, "a OK\r\n")
	k.expect("a OK")
	k.send("b NOOP\r\n")
	got := make([]byte, 8)
	if _, err := io.ReadFull(s.client, got); err != nil || string(got) != "b NOOP\r\n" {
		t.Errorf("the session got %q, %v", got, err)
	}
	alice := control.Selection{ID: "alice", UID: 1000}
	if n := len(r.roster.Who(alice)); n != 1 {
		t.Errorf("%d sessions in the roster", n)
	}
	s.client.Close()
	s.Close()
	k.expectEnd()
	r.serving.Wait()
	if n := len(r.roster.Who(alice)); n != 0 {
		t.Errorf("%d sessions in the roster", n)
	}
}

// A session whose client was given away hears of its end by the connection to the front.
func TestKickGivenAway(t *testing.T) {
	t.Parallel()
	r, _, s := givenAway(t)
	alice := control.Selection{ID: "alice", UID: 1000}
	r.wait("place in the roster", func() bool { w := r.roster.Who(alice); return len(w) == 1 && w[0].PID > 0 })
	if n := len(r.roster.Kick(alice)); n != 1 {
		t.Errorf("%d sessions ended", n)
	}
	if got, err := io.ReadAll(s.UnixConn); len(got) > 0 || err != nil {
		t.Errorf("the session got %q, %v", got, err)
	}
	r.serving.Wait()
}

// What a client has sent ahead is not lost: it is relayed.
func TestAhead(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, nil)
	k := r.local()
	k.expect("* OK *")
	k.send("a LOGIN alice secret\r\nb NOOP\r\n")
	s := r.session()
	got := make([]byte, 8)
	if _, err := io.ReadFull(s.client, got); err != nil || string(got) != "b NOOP\r\n" || s.client != s.UnixConn {
		t.Errorf("the session got %q by %T, %v", got, s.client, err)
	}
}
