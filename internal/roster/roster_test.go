package roster

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/control"
)

var home, work = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")

// enter gives a session a place and returns what hears of its end.
func enter(t *testing.T, r *Roster, id, user string, uid uint32, since int64) (p *Place, ended chan struct{}) {
	t.Helper()
	p, ok := r.Admit(control.Session{ID: id, Service: "imap", User: user, UID: uid, Address: home.String(), TLS: true, Since: time.Unix(since, 0)}, home, 10)
	if !ok {
		t.Fatal("no place")
	}
	ended = make(chan struct{}, 10)
	p.Enter(7, func() { ended <- struct{}{} })
	return p, ended
}

func ids(list []control.Session) (ids []string) {
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}

// admit asks for a place of a user.
func admit(r *Roster, user string, from netip.Addr, max int) (*Place, bool) {
	return r.Admit(control.Session{User: user}, from, max)
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	var r Roster
	var first *Place
	for range 3 {
		p, ok := admit(&r, "alice", home, 3)
		if !ok {
			t.Fatal("no place")
		}
		first = p
		if _, ok := admit(&r, "carol", work, 3); !ok {
			t.Fatal("no place")
		}
	}
	for _, c := range []struct {
		user    string
		address netip.Addr
		max     int
		ok      bool
	}{
		{"alice", home, 3, false},
		{"alice", home, 4, true},
		{"alice", work, 3, true},
		{"alice", netip.Addr{}, 1, true},
		{"bob", home, 1, true},
		{"bob", home, 0, false},
		{"carol", netip.MustParseAddr("2001:db8::2:3:4:5"), 3, false},
		{"carol", netip.MustParseAddr("2001:db8:0:1::1"), 3, true},
	} {
		p, ok := admit(&r, c.user, c.address, c.max)
		if ok != c.ok {
			t.Errorf("%+v: %v", c, ok)
		}
		p.Leave()
	}
	first.Leave()
	first.Leave()
	if _, ok := admit(&r, "alice", home, 3); !ok {
		t.Error("a place that was left is not free")
	}
	if _, ok := admit(&r, "alice", home, 3); ok {
		t.Error("a place that was left twice is free twice")
	}
	if len(r.origins) != 2 || len(r.users) != 2 {
		t.Errorf("counts of those who left: %v, %v", r.origins, r.users)
	}
}

// A user who comes from everywhere has a limit, too.
func TestAdmitInAll(t *testing.T) {
	t.Parallel()
	var r Roster
	address := home
	for i := range 2 * manyAddresses {
		if address = address.Next(); i%2 == 0 {
			address = netip.AddrFrom16([16]byte{0x20, 1, 7: byte(i)})
		}
		if _, ok := admit(&r, "alice", address, 2); !ok {
			t.Fatalf("no place for session %d", i)
		}
	}
	if _, ok := admit(&r, "alice", work, 2); ok {
		t.Error("one user may have any number of sessions")
	}
	if _, ok := admit(&r, "bob", work, 2); !ok {
		t.Error("nobody else may")
	}
}

// A session that is to be over before it has begun is so when it begins.
func TestKickBeforeEnter(t *testing.T) {
	t.Parallel()
	var r Roster
	p, _ := r.Admit(control.Session{ID: "A", User: "alice", UID: 1001}, home, 1)
	if got := ids(r.Who(control.Selection{UID: 1001})); !slices.Equal(got, []string{"A"}) {
		t.Errorf("listed are %v", got)
	}
	if got := ids(r.Kick(control.Selection{ID: "alice", UID: 1002})); got != nil {
		t.Errorf("another user ended %v", got)
	}
	if got := ids(r.Kick(control.Selection{ID: "alice", UID: 1001})); !slices.Equal(got, []string{"A"}) {
		t.Errorf("kicked %v", got)
	}
	ended := false
	p.Enter(7, func() { ended = true })
	if !ended {
		t.Error("the session goes on")
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	var r Roster
	_, endA := enter(t, &r, "A", "alice", 1001, 30)
	_, endB := enter(t, &r, "B", "bob", 1002, 10)
	left, endC := enter(t, &r, "C", "alice", 1001, 20)
	for _, c := range []struct {
		s    control.Selection
		want []string
	}{
		{control.Selection{Anyone: true}, []string{"B", "C", "A"}},
		{control.Selection{UID: 1001}, []string{"C", "A"}},
		{control.Selection{UID: 1003}, nil},
		{control.Selection{ID: "alice", Anyone: true}, []string{"C", "A"}},
		{control.Selection{ID: "A", Anyone: true}, []string{"A"}},
		{control.Selection{ID: "A", UID: 1002}, nil},
		{control.Selection{ID: "nobody", Anyone: true}, nil},
	} {
		if got := ids(r.Who(c.s)); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v", c.s, got)
		}
	}
	if got := ids(r.Kick(control.Selection{ID: "alice", Anyone: true})); !slices.Equal(got, []string{"C", "A"}) {
		t.Errorf("kicked %v", got)
	}
	for _, end := range []chan struct{}{endA, endC} {
		select {
		case <-end:
		case <-time.After(10 * time.Second):
			t.Fatal("a session goes on")
		}
	}
	left.Leave()
	if got := ids(r.Who(control.Selection{Anyone: true})); !slices.Equal(got, []string{"B", "A"}) {
		t.Errorf("after one left: %v", got)
	}
	if len(endB) > 0 {
		t.Error("bob was kicked")
	}
}

// host is a directory with a configuration and the control sockets of some daemons.
type host struct {
	*testing.T
	dir string
}

func newHost(t *testing.T, daemons map[string]*Roster) *host {
	t.Helper()
	h := &host{T: t, dir: t.TempDir()}
	text := fmt.Sprintf("run_dir = %q\nspool_dir = %q\n", h.dir, h.dir)
	if err := os.WriteFile(filepath.Join(h.dir, "postrider.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	for name, r := range daemons {
		l, err := net.Listen("unix", filepath.Join(h.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		s := &control.Server{Sessions: r, Rights: func(uint32) control.Rights { return control.Rights{List: true, Steer: true} }}
		go s.Serve(ctx, l)
	}
	return h
}

func (h *host) run(name string, args ...string) (status int, out, errs string) {
	h.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"-c", filepath.Join(h.dir, "postrider.toml")}, args...)
	status = run(context.Background(), name, args, &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func TestWhoAndKick(t *testing.T) {
	t.Parallel()
	var imap, pop3 Roster
	enter(t, &imap, "AAAA", "alice", 1001, time.Date(2026, 11, 21, 10, 0, 0, 0, time.Local).Unix())
	enter(t, &imap, "BBBB", "bob@example.org\x1b[2J\nx", 1002, 0)
	enter(t, &pop3, "CCCC", "alice", 1001, 0)
	h := newHost(t, map[string]*Roster{"imap.ctl": &imap, "pop3.ctl": &pop3})

	status, out, errs := h.run("who")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	want := regexp.MustCompile(`^alice +imap +192\.0\.2\.1 +yes +2026-11-21 10:00:00 +7 +AAAA$`)
	if status != exitOK || errs != "" || len(lines) != 4 || !strings.HasPrefix(lines[0], "USER ") || !slices.ContainsFunc(lines, want.MatchString) {
		t.Errorf("status %d, %s\n%s", status, errs, out)
	}
	if strings.Contains(out, "\x1b") {
		t.Errorf("%q", out)
	}
	if status, out, _ := h.run("who", "BBBB"); status != exitOK || strings.Count(out, "\n") != 2 || !strings.Contains(out, "BBBB") {
		t.Errorf("status %d\n%s", status, out)
	}
	if status, out, errs := h.run("who", "carol"); status != exitOK || out+errs != "" {
		t.Errorf("status %d, %s%s", status, out, errs)
	}
	for _, c := range []struct {
		args   []string
		status int
		out    string
	}{
		{[]string{"carol"}, exitNone, "0 sessions ended\n"},
		{[]string{"BBBB"}, exitOK, "1 session ended\n"},
		{[]string{"alice", "DDDD"}, exitOK, "2 sessions ended\n"},
	} {
		if status, out, errs := h.run("kick", c.args...); status != c.status || out != c.out || errs != "" {
			t.Errorf("kick %v: status %d, %s%s", c.args, status, out, errs)
		}
	}
}

func TestDaemonAway(t *testing.T) {
	t.Parallel()
	var imap Roster
	enter(t, &imap, "AAAA", "alice", 1001, 0)
	h := newHost(t, map[string]*Roster{"imap.ctl": &imap})
	for _, c := range []string{"who", "kick"} {
		status, out, errs := h.run(c, "alice")
		if status != exitOK || out == "" || errs != "postrider "+c+": pop3d is not running\n" {
			t.Errorf("%s: status %d, %s%s", c, status, out, errs)
		}
	}
	status, _, errs := newHost(t, nil).run("who")
	if status != exitUnavailable || errs != "postrider who: imapd is not running\npostrider who: pop3d is not running\n" {
		t.Errorf("status %d, %s", status, errs)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	for _, c := range [][]string{{"who", "a", "b"}, {"who", "-x"}, {"kick"}, {"kick", "a", ""}} {
		status, out, errs := h.run(c[0], c[1:]...)
		if status != exitUsage || out != "" || !strings.Contains(errs, "usage: postrider "+c[0]) {
			t.Errorf("%v: status %d, %s%s", c, status, out, errs)
		}
	}
	if status, _, _ := h.run("who", "-c", filepath.Join(h.dir, "missing")); status != exitConfig {
		t.Errorf("without a configuration: status %d", status)
	}
}
