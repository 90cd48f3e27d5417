package authd

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/auth"
	"postrider/internal/listen"
)

func TestPasswords(t *testing.T) {
	t.Parallel()
	var log recorder
	client, _ := run(t, testSettings(t, &log))
	for _, tt := range []struct {
		service, name, password, user string
	}{
		{"smtp", "alice", "wonderland", "alice"},
		{"smtp", "Alice", "wonderland", "alice"},
		{"smtp", "alice@local.test", "wonderland", "alice"},
		{"smtp", "ALICE@LOCAL.TEST", "wonderland", "alice"},
		{"smtp", "alice@example.org", "wonderland", ""},
		{"smtp", "alice@elsewhere.test", "wonderland", ""},
		{"smtp", "alice", "Wonderland", ""},
		{"smtp", "alice", "", ""},
		{"smtp", "alice", strings.Repeat("x", 2000), ""},
		{"imap", "bob", "builder", "bob"},
		{"imap", "bob", "ringring", "bob"},
		{"smtp", "bob", "ringring", ""},
		{"smtp", "bob", "othersalt", "bob"},
		{"smtp", "carol@example.org", "christmas", "carol@example.org"},
		{"smtp", "Carol@Example.ORG", "christmas", "carol@example.org"},
		{"pop3", "carol@example.org", "christmas", ""},
		{"smtp", "carol", "christmas", ""},
		{"smtp", "daemon", "evil", ""},
		{"smtp", "dave", "", ""},
		{"smtp", "erin", "ghost", ""},
		{"smtp", "", "", ""},
		{"smtp", strings.Repeat("a", 1000), "x", ""},
		{"smtp", "../alice", "wonderland", ""},
		{"smtp", "\xff", "x", ""},
	} {
		u, err := plainLogin(t, client, tt.service, tt.name, tt.password)
		if tt.user == "" && !errors.Is(err, auth.ErrRefused) || tt.user != "" && (err != nil || u.Name != tt.user) {
			t.Errorf("%s %.30q %.30q: %v, %v", tt.service, tt.name, tt.password, u, err)
		}
	}
	for _, secret := range []string{"wonderland", "Wonderland", "ringring", "christmas", "evil", "ghost"} {
		if strings.Contains(log.text(), secret) {
			t.Errorf("the log has the password %q", secret)
		}
	}
}

func TestWho(t *testing.T) {
	t.Parallel()
	var log recorder
	s := testSettings(t, &log)
	system := &fakeSystem{users: map[string]auth.User{"frank": {Name: "frank", UID: 2000, GID: 2000, Home: "/home/frank"}}}
	s.Checkpassword = system
	client, server := run(t, s)
	for _, tt := range []struct{ name, user string }{
		{"alice", "alice"}, {"alice@local.test", "alice"}, {"Carol@example.org", "carol@example.org"}, {"frank", "frank"},
		{"frank@local.test", "frank"}, {"daemon", "daemon"}, {"carol", ""}, {"frank@example.org", ""}, {"nobody", ""}, {"", ""}, {"a b", ""},
		{"alice@elsewhere.test", ""}, {"-x", ""},
	} {
		u, err := client.Who(t.Context(), tt.name)
		if tt.user == "" && !errors.Is(err, auth.ErrUnknown) || tt.user != "" && (err != nil || u.Name != tt.user) {
			t.Errorf("%q: %v, %v", tt.name, u, err)
		}
	}
	system.mu.Lock()
	system.broken = errors.New("directory is down")
	system.mu.Unlock()
	if _, err := client.Who(t.Context(), "grace"); !errors.Is(err, auth.ErrLater) {
		t.Errorf("NSS fails: %v", err)
	}
	if u, err := client.Who(t.Context(), "alice"); err != nil {
		t.Errorf("NSS fails, but the table knows: %v, %v", u, err)
	}
	s.Users = &fakeUsers{broken: errors.New("table unavailable")}
	server.Configure(s)
	if _, err := client.Who(t.Context(), "alice"); !errors.Is(err, auth.ErrLater) {
		t.Errorf("no table: %v", err)
	}
}

func TestBrokenTablesAreNoRefusal(t *testing.T) {
	t.Parallel()
	var log recorder
	good := testSettings(t, &log)
	client, server := run(t, good)
	for name, breaks := range map[string]func(*Settings){
		"users":         func(s *Settings) { s.Users = &fakeUsers{broken: io.ErrUnexpectedEOF} },
		"passwords":     func(s *Settings) { s.Passwords = &fakePasswords{broken: io.ErrUnexpectedEOF} },
		"checkpassword": func(s *Settings) { s.Checkpassword = &fakeSystem{broken: io.ErrUnexpectedEOF} },
	} {
		s := good
		breaks(&s)
		server.Configure(s)
		if _, err := plainLogin(t, client, "smtp", "alice", "wrong"); !errors.Is(err, auth.ErrLater) {
			t.Errorf("%s: %v", name, err)
		}
	}
	server.Configure(good)
	if _, err := plainLogin(t, client, "smtp", "alice", "wonderland"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestSystemPasswords(t *testing.T) {
	t.Parallel()
	var log recorder
	s := testSettings(t, &log)
	system := &fakeSystem{
		users: map[string]auth.User{"alice": {Name: "alice", UID: 1000, GID: 1000, Home: "/home/alice"},
			"frank": {Name: "frank", UID: 2000, GID: 2000, Home: "/home/frank"}, "daemon": {Name: "daemon", UID: 1, GID: 1, Home: "/"},
			"erin": {Name: "erin", UID: 2001, GID: 2001, Home: "/home/erin"}},
		passwords: map[string]string{"alice": "unix", "frank": "furter", "daemon": "root", "carol@example.org": "x"},
	}
	s.Checkpassword = system
	client, _ := run(t, s)
	for _, tt := range []struct{ name, password, user string }{
		{"alice", "wonderland", "alice"}, {"alice", "unix", "alice"}, {"alice", "neither", ""}, {"frank@local.test", "furter", "frank"},
		{"daemon", "root", ""}, {"carol@example.org", "x", ""}, {"erin", "ghost", "erin"}, {"frank", "", ""},
	} {
		u, err := plainLogin(t, client, "smtp", tt.name, tt.password)
		if tt.user == "" && !errors.Is(err, auth.ErrRefused) || tt.user != "" && (err != nil || u.Name != tt.user) {
			t.Errorf("%q %q: %v, %v", tt.name, tt.password, u, err)
		}
	}
	system.mu.Lock()
	defer system.mu.Unlock()
	for _, name := range system.asked {
		if strings.Contains(name, "@") {
			t.Errorf("PAM was asked about %s", name)
		}
	}
}

func TestMechanismsThatAreOffered(t *testing.T) {
	t.Parallel()
	var log recorder
	s := testSettings(t, &log)
	client, server := run(t, s)
	check := func(want string) {
		t.Helper()
		list, err := client.Mechanisms(t.Context())
		if got := strings.Join(list, " "); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	check("PLAIN LOGIN")
	s.Passwords = &fakePasswords{scram: true}
	server.Configure(s)
	check("SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN")
	s.Checkpassword = &fakeSystem{}
	server.Configure(s)
	check("PLAIN LOGIN")
}

func TestLogin(t *testing.T) {
	t.Parallel()
	var log recorder
	client, _ := run(t, testSettings(t, &log))
	steps := func(initial []byte, answers ...string) (auth.User, error) {
		x := client.Start(t.Context(), auth.Request{Service: "smtp", Mechanism: "login", Initial: initial})
		defer x.Abort()
		_, done, u, err := x.Step(nil)
		for _, a := range answers {
			if done {
				t.Errorf("over before %q: %v", a, err)
				return u, err
			}
			_, done, u, err = x.Step([]byte(a))
		}
		if !done {
			t.Errorf("not over after %q", answers)
		}
		return u, err
	}
	if u, err := steps(nil, "alice", "wonderland"); err != nil || u.Name != "alice" {
		t.Errorf("got %v, %v", u, err)
	}
	if u, err := steps([]byte("alice"), "wonderland"); err != nil || u.Name != "alice" {
		t.Errorf("with an initial response: %v, %v", u, err)
	}
	if _, err := steps(nil, "alice", "wonderland\x00"); !errors.Is(err, auth.ErrRefused) {
		t.Errorf("NUL in the password: %v", err)
	}
	if _, err := steps(nil, "", ""); !errors.Is(err, auth.ErrRefused) {
		t.Errorf("nothing: %v", err)
	}
}

func TestPlainMessages(t *testing.T) {
	t.Parallel()
	var log recorder
	client, _ := run(t, testSettings(t, &log))
	for _, tt := range []struct {
		message string
		holds   bool
	}{
		{"\x00alice\x00wonderland", true}, {"alice\x00alice\x00wonderland", true}, {"alice@local.test\x00alice\x00wonderland", true},
		{"bob\x00alice\x00wonderland", false}, {"alice\x00wonderland", false}, {"\x00alice\x00wonderland\x00", false}, {"", false}, {"x", false},
	} {
		x := client.Start(t.Context(), auth.Request{Service: "smtp", Mechanism: "PLAIN"})
		if challenge, done, _, err := x.Step(nil); len(challenge) > 0 || done {
			t.Fatalf("first answer: %q, %v", challenge, err)
		}
		_, done, _, err := x.Step([]byte(tt.message))
		if !done || (err == nil) != tt.holds {
			t.Errorf("%q: %v, %v", tt.message, done, err)
		}
	}
}

func TestLogLines(t *testing.T) {
	t.Parallel()
	var log recorder
	s := testSettings(t, &log)
	s.Checkpassword = &fakeSystem{}
	client, _ := run(t, s)
	for _, tt := range []struct{ service, name, password, want string }{
		{"imap", "bob", "ringring", "auth: Login: user=<bob>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, TLS, service=imap, label=phone, front=UID"},
		{"smtp", "alice", "wrong", "auth: checkpassword(alice,192.0.2.1): password mismatch (method=PLAIN, service=smtp, front=UID, delay=0s)"},
		{"smtp", "carol@example.org", "wrong", "auth: passwd-file(carol@example.org,192.0.2.1): password mismatch (method=PLAIN, service=smtp, front=UID, delay=0s)"},
		{"pop3", "carol@example.org", "christmas", "auth: passwd-file(carol@example.org,192.0.2.1): invalid credentials: no password for this service (method=PLAIN, service=pop3, front=UID, delay=0s)"},
		{"smtp", "mistyped@example.org", "x", "auth: passwd-file(mistyped@example.org,192.0.2.1): unknown user (method=PLAIN, service=smtp, front=UID, delay=0s)"},
		{"smtp", "MyS3cret", "x", "auth: checkpassword(-,192.0.2.1): password mismatch (method=PLAIN, service=smtp, front=UID, delay=0s)"},
		{"smtp", "x,203.0.113.1):@example.org", "x", "auth: passwd-file(-,192.0.2.1): unknown user (method=PLAIN, service=smtp, front=UID, delay=0s)"},
		{"smtp", "\"a,203.0.113.1): unknown user\"@example.org", "x", "auth: passwd-file(?a?203.0.113.1???unknown?user?@example.org,192.0.2.1): unknown user (method=PLAIN, service=smtp, front=UID, delay=0s)"},
		{"smtp", "daemon", "evil", "auth: passwd-file(daemon,192.0.2.1): invalid credentials: uid 1 is below first_valid_uid (method=PLAIN, service=smtp, front=UID, delay=0s)"},
	} {
		plainLogin(t, client, tt.service, tt.name, tt.password)
		log.mu.Lock()
		want := strings.Replace(tt.want, "UID", strconv.Itoa(os.Getuid()), 1)
		if got := log.lines[len(log.lines)-1]; got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, want)
		}
		log.mu.Unlock()
	}
}

// dial opens a raw connection to the server of a client.
func dial(t *testing.T, c *auth.Client) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", c.Path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func TestBadQuestionsEndConnection(t *testing.T) {
	t.Parallel()
	var log recorder
	client, _ := run(t, testSettings(t, &log))
	for _, s := range []string{"\n", "hello\n", "who\n", "ok\n", "cont =\n", "abort\n", "check smtp = alice wonderland\n", "auth ftp PLAIN\n",
		"auth smtp PLAIN rip=x\n", "auth smtp PLAIN lip=1\n", "auth smtp PLAIN cb=a: cb=b: cb=c: cb=d: cb=e:\n", "auth smtp PLAIN\nwho alice\n",
		strings.Repeat("x", auth.MaxLine+1)} {
		conn := dial(t, client)
		if _, err := io.WriteString(conn, s); err != nil && !strings.Contains(err.Error(), "pipe") {
			t.Fatal(err)
		}
		b, err := io.ReadAll(conn)
		if answer := strings.TrimPrefix(string(b), "cont =\n"); answer != "" || err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%.40q is answered %q, %v", s, b, err)
		}
	}
	conn := dial(t, client)
	io.WriteString(conn, "auth smtp CRAM-MD5\nwho alice\n")
	r := auth.NewReader(conn)
	for _, want := range []auth.Verb{auth.No, auth.OK} {
		if l, err := auth.ReadLine(r); err != nil || l.Verb != want {
			t.Errorf("unknown mechanism: %v, %v, want %s", l, err, want)
		}
	}
}

func TestAbort(t *testing.T) {
	t.Parallel()
	var log recorder
	client, server := run(t, testSettings(t, &log))
	for range 3 {
		x := client.Start(t.Context(), auth.Request{Service: "smtp", Mechanism: "LOGIN"})
		x.Step(nil)
		x.Step([]byte("alice"))
		x.Abort()
	}
	conn := dial(t, client)
	io.WriteString(conn, "auth smtp LOGIN ir=YWxpY2U=\n")
	auth.ReadLine(auth.NewReader(conn))
	conn.Close()
	if _, err := plainLogin(t, client, "smtp", "alice", "wonderland"); err != nil {
		t.Error(err)
	}
	server.turns.mu.Lock()
	defer server.turns.mu.Unlock()
	if turns := server.turns; len(turns.records) > 0 || len(turns.pending) > 0 {
		t.Errorf("left behind: %v, %v", turns.records, turns.pending)
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	l, err := auth.ParseLine(strings.TrimSuffix(string(refusal(listen.TooManyConnections)), "\n"))
	if err != nil || l.Verb != auth.Later {
		t.Errorf("got %v, %v", l, err)
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	var log recorder
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "auth"))
	if err != nil {
		t.Fatal(err)
	}
	server := New(testSettings(t, &log), nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, &log, []net.Listener{l}) }()
	client := &auth.Client{Path: filepath.Join(dir, "auth"), Timeout: 10 * time.Second}
	if _, err := client.Who(ctx, "alice"); err != nil { // leaves an idle connection
		t.Fatal(err)
	}
	x := client.Start(context.Background(), auth.Request{Service: "smtp", Mechanism: "LOGIN"})
	if _, _, _, err := x.Step(nil); err != nil {
		t.Fatal(err)
	}
	cancel()
	x.Step([]byte("alice"))
	if _, _, u, err := x.Step([]byte("wonderland")); err != nil || u.Name != "alice" {
		t.Errorf("an exchange in progress ends with %v, %v", u, err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(drainTimeout / 2):
		t.Error("idle connections hold up the end")
	}
}
