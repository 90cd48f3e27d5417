package main

import (
	"net"
	"strings"
	"testing"

	"postrider/internal/config"
)

// at is a listener with an address.
type at struct {
	net.Listener
	addr net.Addr
}

func (a at) Addr() net.Addr { return a.addr }

func TestCheckSockets(t *testing.T) {
	t.Parallel()
	unix := at{addr: &net.UnixAddr{Name: "/x", Net: "unix"}}
	tcp := at{addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 25}}
	for _, c := range []struct {
		name      string
		listeners []net.Listener
		err       string
	}{
		{"smtp", []net.Listener{tcp}, ""},
		{"lmtp", []net.Listener{unix, tcp}, ""},
		{"submit", []net.Listener{unix}, ""},
		{"submit.int", []net.Listener{unix}, ""},
		{"submit", []net.Listener{unix, tcp}, `socket "submit" is 127.0.0.1:25: it must be a Unix socket`},
		{"submit.int", []net.Listener{tcp}, `socket "submit.int" is 127.0.0.1:25: it must be a Unix socket`},
		{"auth", []net.Listener{unix}, "no service"},
	} {
		err := checkSockets(config.Default(), map[string][]net.Listener{c.name: c.listeners})
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
	}
	if err := checkSockets(config.Default(), nil); err == nil {
		t.Error("no sockets, and no error")
	}
}

func TestNeedRestart(t *testing.T) {
	t.Parallel()
	started, now := config.Default(), config.Default()
	now.Hostname = "other.example.org"
	if keys := needRestart(started, now).Differing(); keys != nil {
		t.Error(keys)
	}
	now.Resolver, now.LogFormat = "192.0.2.1:53", "json"
	if keys := strings.Join(needRestart(started, now).Differing(), " "); keys != "log_format resolver" {
		t.Error(keys)
	}
}
