package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/auth"
	"postrider/internal/logline"
)

// TestMain lets this binary be the server and its children.
func TestMain(m *testing.M) {
	if os.Getenv("CHECKPASSWORD_SERVER") != "" {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		main()
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "-child" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	users := map[string]*user.User{
		"alice":  {Uid: "1000", Gid: "100", Username: "alice", HomeDir: "/home/alice"},
		"root":   {Uid: "0", Gid: "0", Username: "root", HomeDir: "/root"},
		"homely": {Uid: "1001", Gid: "100", Username: "homely"},
	}
	a := answerer{
		firstValidUID: 1000,
		lookup: func(name string) (*user.User, error) {
			if name == "slow" {
				return nil, errors.New("sssd is down")
			}
			if u := users[name]; u != nil {
				return u, nil
			}
			return nil, user.UnknownUserError(name)
		},
		verify: func(name, pw, rip string) (string, error) {
			switch {
			case rip != "" && rip != "192.0.2.1":
				t.Errorf("rhost is %q", rip)
			case name == "broken":
				return "", errors.New("module is missing")
			case pw != "right":
				return "", errRefused
			}
			return strings.ToLower(name), nil
		},
		log: logline.NewWriter(io.Discard, "checkpassword", logline.Text),
	}
	const alice = "ok name=alice uid=1000 gid=100 home=/home/alice"
	check := func(name, pw string) auth.Line { return auth.NewLine(auth.Check, "imap", "192.0.2.1", name, pw) }
	for _, tt := range []struct {
		question auth.Line
		want     string
	}{
		{auth.NewLine(auth.Who, "alice"), alice},
		{auth.NewLine(auth.Who, "root"), "ok name=root uid=0 gid=0 home=/root"},
		{auth.NewLine(auth.Who, "nobody-here"), "no"},
		{auth.NewLine(auth.Who, ""), "no"}, {auth.NewLine(auth.Who, "-x"), "no"}, {auth.NewLine(auth.Who, "a:b"), "no"},
		{auth.NewLine(auth.Who, "a/../b"), "no"}, {auth.NewLine(auth.Who, "a\nb"), "no"}, {auth.NewLine(auth.Who, "\xff"), "no"},
		{auth.NewLine(auth.Who, strings.Repeat("a", 300)), "no"},
		{auth.NewLine(auth.Who, "slow"), "later user+20lookup+20failed"},
		{auth.NewLine(auth.Who, "homely"), "later user+20cannot+20be+20used"},
		{check("alice", "right"), alice}, {check("Alice", "right"), alice}, {check("alice", "wrong"), "no"}, {check("alice", ""), "no"},
		{check("alice", "right\x00"), "no"}, {check("alice", strings.Repeat("x", 2000)), "no"},
		{check("root", "right"), "no"}, {check("ghost", "right"), "no"}, {check("", "right"), "no"},
		{check("broken", "right"), "later PAM+20cannot+20tell"}, {check("slow", "right"), "later user+20lookup+20failed"},
		{auth.NewLine(auth.Check, "imap", "not an address", "alice", "right"), alice},
		{auth.NewLine(auth.Mechanisms), "later unknown+20question"},
	} {
		if got := strings.TrimSuffix(string(a.answer(tt.question).Append(nil)), "\n"); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.question, got, tt.want)
		}
	}
}

// startServer runs this binary as the server and returns its socket.
func startServer(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := filepath.Join(dir, "postrider.toml")
	if err := os.WriteFile(config, []byte("version = 1\nhostname = \"host.example.test\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "checkpassword")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-c", config)
	cmd.Env = []string{"CHECKPASSWORD_SERVER=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=" + socketName}
	cmd.ExtraFiles = []*os.File{f}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("server: %v", err)
		}
	})
	return path
}

func TestServer(t *testing.T) {
	t.Parallel()
	path := startServer(t)
	me, err := user.Current()
	if err != nil {
		t.Skipf("this uid has no name: %v", err)
	}
	for _, tt := range []struct {
		question string
		want     auth.Verb
	}{
		{fmt.Sprintf("who %s\n", me.Username), auth.OK},
		{"who no-such-user-here\n", auth.No},
		{"check imap = = =\n", auth.No},
		{"mechanisms\n", auth.Later},
	} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, tt.question)
		if l, err := auth.ReadLine(auth.NewReader(conn)); err != nil || l.Verb != tt.want {
			t.Errorf("%q: %v, %v", tt.question, l, err)
		}
		conn.Close()
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, "garbage\n")
	if b, err := io.ReadAll(conn); len(b) > 0 || err != nil {
		t.Errorf("garbage is answered %q, %v", b, err)
	}
}

// A server whose children are all busy says so at once.
func TestBusy(t *testing.T) {
	t.Parallel()
	path := startServer(t)
	for range maxChildren { // their children wait for a question
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(questionTimeout / 2))
	if l, err := auth.ReadLine(auth.NewReader(conn)); err != nil || l.Verb != auth.Later {
		t.Errorf("got %v, %v", l, err)
	}
}
