package listen

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestInheritedNames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pid, fds, names string
		want            int
		err             string
	}{
		{"", "", "", 0, ""},
		{"", "1", "smtp", 0, ""},
		{"7", "", "", 0, ""},
		{"8", "1", "smtp", 0, ""},
		{"7", "0", "", 0, ""},
		{"7", "1", "smtp", 1, ""},
		{"7", "3", "smtp:smtp:submit.int", 3, ""},
		{"x", "1", "smtp", 0, "LISTEN_PID"},
		{"7", "x", "smtp", 0, "LISTEN_FDS"},
		{"7", "-1", "smtp", 0, "LISTEN_FDS"},
		{"7", "257", "smtp", 0, "LISTEN_FDS"},
		{"7", "1", "", 0, "LISTEN_FDNAMES is missing"},
		{"7", "2", "smtp", 0, "1 names for 2"},
		{"7", "2", "smtp:", 0, "empty name"},
	}
	for _, test := range tests {
		env := map[string]string{"LISTEN_PID": test.pid, "LISTEN_FDS": test.fds, "LISTEN_FDNAMES": test.names}
		names, err := inheritedNames(func(name string) string { return env[name] }, 7)
		if len(names) != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%v: %q, %v", env, names, err)
		}
	}
}

// inherit has the helper inherit files, and returns its report.
func inherit(t *testing.T, names string, files ...*os.File) report {
	t.Helper()
	command := exec.Command(helper, "pid")
	command.ExtraFiles = files
	command.Env = append(os.Environ(), "LISTEN_FDS="+string(rune('0'+len(files))), "LISTEN_FDNAMES="+names)
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestInheritedRefusesOtherDescriptors(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	good, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	connected, err := c.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	packet, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer packet.Close()
	udp, err := packet.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()

	tests := []struct {
		file *os.File
		says string
	}{
		{null, "bad (descriptor 4): not a socket"},
		{connected, "bad (descriptor 4): not listening"},
		{udp, "bad (descriptor 4): not a stream socket"},
	}
	for _, test := range tests {
		if r := inherit(t, "good:bad", good, test.file); !strings.Contains(r.Err, test.says) || len(r.Names) != 0 {
			t.Errorf("%q, sockets %v; want %q", r.Err, r.Names, test.says)
		}
	}
	if r := inherit(t, "good", good, null); !strings.Contains(r.Err, "1 names for 2") {
		t.Errorf("missing name: %q", r.Err)
	}
	r := inherit(t, "good", good)
	if r.Err != "" || len(r.Names["good"]) != 1 || r.Names["good"][0] != l.Addr().String() || len(r.Left) != 0 {
		t.Errorf("good: %+v", r)
	}
}

// Not parallel: the environment is the process's.
func TestNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Notify("READY=1"); err != nil {
		t.Errorf("without NOTIFY_SOCKET: %v", err)
	}
	dir := shortDir(t)
	deep := filepath.Join(dir, strings.Repeat("deep/", 40))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir + "/n", "@" + dir + "/n", deep + "/n"} {
		addr := path
		if path == deep+"/n" {
			t.Chdir(deep)
			addr = "n"
		}
		l, err := net.ListenPacket("unixgram", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		t.Setenv("NOTIFY_SOCKET", path)
		if err := Notify("READY=1\nSTATUS=x"); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		l.SetDeadline(time.Now().Add(patience))
		b := make([]byte, 100)
		n, _, err := l.ReadFrom(b)
		if err != nil || string(b[:n]) != "READY=1\nSTATUS=x" {
			t.Errorf("%s: %q, %v", path, b[:n], err)
		}
	}
	for _, bad := range []string{"vsock:2:1", "relative", dir + "/missing"} {
		t.Setenv("NOTIFY_SOCKET", bad)
		if err := Notify("READY=1"); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func TestDialUnix(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	deep := filepath.Join(dir, strings.Repeat("deep/", 60))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir + "/s", deep + "/s"} {
		command := exec.Command(helper, "listen", "-socket", "s=unix:"+path+",mode=666", "--", helper, "serve")
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		defer command.Wait()
		defer command.Process.Kill()
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		c, err := DialUnix(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()

		other := exec.Command(helper, "dial", path) // without privilege, and not dumpable
		if os.Getuid() == 0 {
			other.SysProcAttr = asNobody
		}
		if said, err := other.CombinedOutput(); err != nil || string(said) != "connected\n" {
			t.Errorf("unprivileged: %q, %v", said, err)
		}
		if _, err := DialUnix(ctx, path+"missing"); err == nil {
			t.Error("connected to nothing")
		}
	}
}
