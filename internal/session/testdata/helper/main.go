// Helper is authd with users of its own making, for tests of what the kernel promises about session processes: an engine tries what
// its client asks for. It must be built without cgo.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"postrider/internal/auth"
	"postrider/internal/authd"
	"postrider/internal/authd/sessions"
	"postrider/internal/config"
	"postrider/internal/logline"
	"postrider/internal/password"
	"postrider/internal/sandbox"
	"postrider/internal/session"
)

func main() {
	kinds := map[byte][]string{sessions.ProcessKind: {"-session"}}
	if status, ours := sandbox.SpawnerMain(os.Args, kinds); ours {
		os.Exit(status)
	}
	if len(os.Args) == 2 && os.Args[1] == "-session" {
		os.Exit(session.Main(map[string]session.Engine{"imap": try}))
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Setup is what the test says.
type Setup struct {
	Single   bool
	MailRoot string
	Users    map[string]auth.User // each with the password "secret"
}

// Lookup implements authd.Users.
func (s Setup) Lookup(name string) (auth.User, bool, error) {
	u, ok := s.Users[name]
	return u, ok, nil
}

// Kind implements authd.Domains.
func (s Setup) Kind(string) (authd.DomainKind, error) { return authd.Local, nil }

type passwords struct{ secret password.Secret }

func (p passwords) Lookup(name string) ([]password.Entry, error) {
	services, err := password.ParseServices("*")
	return []password.Entry{{Name: name, Services: services, Secrets: []password.Secret{p.secret}}}, err
}
func (passwords) AllSCRAM() (bool, error) { return false, nil }

// serve is authd in its steps: the spawner, the loss of all rights, the socket.
func serve(path, setup string) error {
	var s Setup
	if err := json.Unmarshal([]byte(setup), &s); err != nil {
		return err
	}
	cfg := config.Default()
	cfg.MailRoot, cfg.SingleUID = s.MailRoot, s.Single
	limits := sandbox.Limits{FirstUID: 1000, SingleUID: s.Single, Workers: 20, PerUID: 10}
	spawner, err := sandbox.StartSpawner(context.Background(), limits)
	if err != nil {
		return err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	err = errors.Join(sandbox.DropCapabilities(), sandbox.NoCoreDumps(), sandbox.NoExec(), sandbox.NoNetwork())
	if err != nil {
		return err
	}
	log := logline.NewWriter(os.Stderr, "authd", logline.Text)
	secret, err := password.NewSCRAM("secret", []byte("0123456789abcdef"), 4096)
	if err != nil {
		return err
	}
	manager := sessions.New(sessions.Spawned{Spawner: spawner}, log)
	manager.Configure(sessions.Settings{Config: cfg})
	server := authd.New(authd.Settings{Users: s, Domains: s, Passwords: passwords{secret}, HashMemory: 1, Seed: []byte("x"), Log: log}, manager)
	fmt.Println("ready")
	return server.Serve(context.Background(), log, []net.Listener{l})
}

// try is the service: a line says what to do, the answer is how it went.
func try(context.Context, *session.Request) (session.Serve, error) {
	return func(_ context.Context, conn net.Conn) string {
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			verb, argument, _ := strings.Cut(lines.Text(), " ")
			fmt.Fprintln(conn, result(attempt(verb, argument)))
		}
		return "Logged out"
	}, nil
}

func attempt(verb, argument string) error {
	switch verb {
	case "list":
		_, err := os.ReadDir(argument)
		return err
	case "read":
		_, err := os.ReadFile(argument)
		return err
	case "write":
		return os.WriteFile(argument, []byte("x"), 0o600)
	case "exec":
		_, err := syscall.ForkExec(argument, []string{argument}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}})
		return err
	case "listen", "dial":
		network, address, _ := strings.Cut(argument, " ")
		var c io.Closer
		var err error
		if verb == "listen" {
			c, err = net.Listen(network, address)
		} else {
			c, err = net.Dial(network, address)
		}
		if err == nil {
			c.Close()
		}
		return err
	case "pair": // an end of which could send to any socket that takes datagrams
		_, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
		return err
	case "setuid":
		_, _, errno := unix.RawSyscall(unix.SYS_SETUID, 0, 0, 0)
		return errno
	}
	return nil
}

func result(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil || errors.As(err, &errno) && errno == 0:
		return "ok"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}
