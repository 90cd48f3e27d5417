package authd

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/auth"
	"postrider/internal/password"
)

// fakeUsers are users by name; broken is answered to every question if set.
type fakeUsers struct {
	users  map[string]auth.User
	broken error
}

func (f *fakeUsers) Lookup(name string) (auth.User, bool, error) {
	u, ok := f.users[strings.ToLower(name)]
	return u, ok, f.broken
}

type fakeDomains map[string]DomainKind

func (f fakeDomains) Kind(domain string) (DomainKind, error) { return f[domain], nil }

// fakePasswords is a parsed table.
type fakePasswords struct {
	entries map[string][]password.Entry
	broken  error
	scram   bool
}

func (f *fakePasswords) Lookup(name string) ([]password.Entry, error) {
	return f.entries[name], f.broken
}
func (f *fakePasswords) AllSCRAM() (bool, error) { return f.scram, f.broken }

// fakeSystem is PAM: users with passwords in the clear.
type fakeSystem struct {
	mu        sync.Mutex
	users     map[string]auth.User
	passwords map[string]string
	broken    error
	asked     []string
}

func (f *fakeSystem) Check(_ context.Context, _ bool, _, _, name, pw string) (auth.User, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, name)
	return f.users[name], f.passwords[name] != "" && f.passwords[name] == pw, f.broken
}

func (f *fakeSystem) Who(_ context.Context, name string) (auth.User, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u, ok := f.users[name]
	return u, ok, f.broken
}

// recorder keeps log lines.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) add(format string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}
func (r *recorder) Info(format string, args ...any)  { r.add(format, args) }
func (r *recorder) Warn(format string, args ...any)  { r.add("warning: "+format, args) }
func (r *recorder) Error(format string, args ...any) { r.add("error: "+format, args) }
func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// testSecrets are cheap hashes: SCRAM keys of the least iterations.
func testEntry(t *testing.T, name, label, services, pw, salt string) password.Entry {
	t.Helper()
	keys, err := password.NewSCRAM(pw, []byte(salt), 4096)
	if err != nil {
		t.Fatal(err)
	}
	list, err := password.ParseServices(services)
	if err != nil {
		t.Fatal(err)
	}
	return password.Entry{Name: name, Label: label, Services: list, Secrets: []password.Secret{keys}}
}

const testSalt = "0123456789abcdef"

// testSettings knows alice (one password), bob (two, one of them for imap only), carol@example.org (virtual), daemon
// (uid 1), dave (no password) and erin (a password, no user).
func testSettings(t *testing.T, log Logger) Settings {
	t.Helper()
	person := func(name string, uid uint32) auth.User {
		return auth.User{Name: name, UID: uid, GID: uid, Home: "/home/" + name}
	}
	users := &fakeUsers{users: map[string]auth.User{
		"alice": person("alice", 1000), "bob": person("bob", 1001), "daemon": person("daemon", 1), "dave": person("dave", 1003),
		"carol@example.org": person("carol@example.org", 5000),
	}}
	passwords := &fakePasswords{entries: make(map[string][]password.Entry)}
	for _, e := range []password.Entry{
		testEntry(t, "alice", "", "*", "wonderland", testSalt),
		testEntry(t, "bob", "", "*", "builder", testSalt),
		testEntry(t, "bob", "phone", "imap", "ringring", testSalt),
		testEntry(t, "bob", "old", "*", "othersalt", "fedcba9876543210"),
		testEntry(t, "carol@example.org", "", "smtp,imap", "christmas", testSalt),
		testEntry(t, "daemon", "", "*", "evil", testSalt),
		testEntry(t, "erin", "", "*", "ghost", testSalt),
	} {
		passwords.entries[e.Name] = append(passwords.entries[e.Name], e)
	}
	return Settings{
		ChannelBinding: true,
		Users:          users, Passwords: passwords,
		Domains:       fakeDomains{"local.test": Local, "example.org": Virtual},
		FirstValidUID: 1000, HashMemory: 1, Seed: []byte("seed"), Log: log,
	}
}

// run starts a server and returns a client of it. The server ends with the test.
func run(t *testing.T, s Settings) (*auth.Client, *Server) {
	t.Helper()
	return runWith(t, s, nil)
}

func runWith(t *testing.T, s Settings, sessions Sessions) (*auth.Client, *Server) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "auth")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := New(s, sessions)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, s.Log, []net.Listener{l}) }()
	client := &auth.Client{Path: path, Timeout: 20 * time.Second}
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the server does not end")
		}
	})
	return client, server
}

// plainLogin logs in by PLAIN with an initial response.
func plainLogin(t *testing.T, c *auth.Client, service, name, pw string) (auth.User, error) {
	t.Helper()
	x := c.Start(t.Context(), auth.Request{Service: service, Mechanism: "PLAIN", RemoteIP: "192.0.2.1", LocalIP: "192.0.2.2", TLS: "TLSv1.3",
		Initial: []byte("\x00" + name + "\x00" + pw)})
	defer x.Abort()
	challenge, done, u, err := x.Step(nil)
	if !done {
		t.Fatalf("PLAIN goes on with %q", challenge)
	}
	return u, err
}
