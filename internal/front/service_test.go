package front

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/daemon"
	"postrider/internal/listen"
)

// at is a listener with an address.
type at struct {
	net.Listener
	addr net.Addr
}

func (a at) Addr() net.Addr { return a.addr }

func TestCheckSockets(t *testing.T) {
	t.Parallel()
	unix, tcp := at{addr: &net.UnixAddr{Name: "/x", Net: "unix"}}, at{addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 143}}
	for _, c := range []struct {
		protocol *Protocol
		sockets  map[string]net.Listener
		err      string
	}{
		{IMAP, map[string]net.Listener{"imap": tcp, "imaps": tcp, "imap.ctl": unix}, ""},
		{IMAP, map[string]net.Listener{"imap": unix}, ""},
		{POP3, map[string]net.Listener{"pop3s": tcp, "pop3.ctl": unix}, ""},
		{POP3, map[string]net.Listener{"imap": tcp}, `socket "imap" in LISTEN_FDNAMES is none of pop3, pop3s, pop3.ctl`},
		{IMAP, map[string]net.Listener{"imap.ctl": unix}, "no sockets"},
		{IMAP, nil, "no sockets"},
		{IMAP, map[string]net.Listener{"imap": tcp, "imap.ctl": tcp}, `socket "imap.ctl" is 127.0.0.1:143: it must be a Unix socket`},
	} {
		inherited := make(map[string][]net.Listener)
		for name, l := range c.sockets {
			inherited[name] = []net.Listener{l}
		}
		err := c.protocol.checkSockets(inherited)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%v: %v, want %q", c.sockets, err, c.err)
		}
	}
}

func TestNeedRestart(t *testing.T) {
	t.Parallel()
	s := &service{protocol: POP3, started: config.Default()}
	now := config.Default()
	now.IMAPD.DrainTimeout = 1
	now.POP3D.MaxPerUser = 1
	if keys := s.needRestart(now).Differing(); keys != nil {
		t.Error(keys)
	}
	now.POP3D.DrainTimeout, now.RunDir = 1, "/elsewhere"
	if keys := s.needRestart(now).Differing(); !slices.Equal(keys, []string{"run_dir", "pop3d.drain_timeout"}) {
		t.Error(keys)
	}
}

// While sessions go on after SIGTERM they can be seen and ended.
func TestControlWhileDraining(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, nil)
	server := listen.NewServer(r.server.deps.Log, IMAP.limits(r.conf), patience)
	s := &service{Daemon: &daemon.Daemon{Log: r.server.deps.Log}, protocol: IMAP, listen: server, front: r.server,
		control: &control.Server{Sessions: r.roster, Rights: func(uint32) control.Rights { return control.Rights{Steer: true} }, Log: r.server.deps.Log}}
	clients, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ctl")
	steering, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.serve(r.ctx, map[string][]net.Listener{"imap": {clients}, "imap.ctl": {steering}}) }()

	conn, err := net.Dial("tcp", clients.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	k := newClient(t, conn)
	k.expect("* OK *")
	k.send("a LOGIN alice secret\r\n")
	session := r.session()
	r.stop()
	r.wait("end of the listener", func() bool {
		c, err := net.Dial("tcp", clients.Addr().String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := control.NewClient(c).Kick(context.Background(), "alice"); n != 1 || err != nil {
		t.Fatalf("%d sessions ended, %v", n, err)
	}
	if rest, err := io.ReadAll(session); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
