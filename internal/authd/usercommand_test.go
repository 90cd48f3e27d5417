package authd

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/password"
)

// site is a configuration with empty tables.
type site struct {
	t                        *testing.T
	config, users, passwords string
}

func newSite(t *testing.T, single bool) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, config: filepath.Join(dir, "postrider.toml"), users: filepath.Join(dir, "users"), passwords: filepath.Join(dir, "passwords")}
	passwd := filepath.Join(dir, "passwd")
	s.write(passwd, "root:x:0:0::/root:/bin/sh\nunix:x:1500:1500::/home/unix:/bin/sh\n")
	domains := filepath.Join(dir, "domains")
	s.write(domains, "example.org virtual\n")
	s.write(s.config, fmt.Sprintf(`version = 1
hostname = "mail.example.test"
origin = "example.test"
mail_root = "/var/mail/v"
single_uid = %v
first_valid_uid = 1000
[tables]
users = %q
passwords = %q
passwd = %q
domains = %q
virtual = "/nonexistent/virtual"
aliases = []
[authd]
hash_memory = "8M"
`, single, s.users, s.passwords, passwd, domains))
	return s
}

func (s *site) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) read(path string) string {
	s.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return string(b)
}

// run runs `postrider user verb -c config args...`.
func (s *site) run(stdin, verb string, args ...string) (status int, out, errors string) {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	status = runUser(append([]string{verb, "-c", s.config}, args...), terminal{strings.NewReader(stdin), &stdout, &stderr})
	return status, stdout.String(), stderr.String()
}

func (s *site) must(stdin, verb string, args ...string) string {
	s.t.Helper()
	status, out, errors := s.run(stdin, verb, args...)
	if status != exitOK || errors != "" {
		s.t.Fatalf("%s %q: status %d, %s", verb, args, status, errors)
	}
	return out
}

func (s *site) entries(name string) []password.Entry {
	s.t.Helper()
	all, problems := password.Parse(s.passwords, s.read(s.passwords))
	if len(problems) > 0 {
		s.t.Fatal(problems)
	}
	return all[name]
}

func TestUserLife(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	s.write(s.users, "# people\nold:2000:2000:/home/old\n")
	s.must("first\n", "add", "-stdin", "Alice", "-quota", "1G")
	if got := s.read(s.users); got != "# people\nold:2000:2000:/home/old\nalice::::1G\n" {
		t.Errorf("users: %q", got)
	}
	list := s.entries("alice")
	if len(list) != 1 || !list[0].Verify("first") || list[0].Verify("second") || list[0].Services != nil {
		t.Fatalf("passwords: %v", list)
	}
	keys, ok := list[0].SCRAM()
	if !ok || !keys.Verify("first") {
		t.Error("no SCRAM keys")
	}

	s.must("phone1\n", "passwd", "-label", "phone", "-services", "imap,smtp", "-stdin", "alice")
	s.must("second", "passwd", "-stdin", "alice")
	list = s.entries("alice")
	if len(list) != 2 || !list[0].Verify("second") || !list[1].Verify("phone1") || list[1].Label != "phone" || list[1].Allows("pop3") {
		t.Errorf("passwords: %v", list)
	}
	first, _ := list[0].SCRAM()
	second, _ := list[1].SCRAM()
	if string(first.Salt) != string(second.Salt) {
		t.Error("the passwords of one user have different SCRAM salts")
	}

	made := strings.TrimSpace(s.must("", "add", "carol@example.org", "-generate", "-noscram"))
	list = s.entries("carol@example.org")
	if len(list) != 1 || len(made) < 20 || !list[0].Verify(made) || len(list[0].Secrets) != 1 {
		t.Errorf("generated %q: %v", made, list)
	}
	s.must("", "add", "-nopassword", "dave")

	out := s.must("", "list")
	for _, want := range []string{"alice", "password(all) phone(imap,smtp)", "carol@example.org", "/var/mail/v/example.org/carol", "dave", "no password"} {
		if !strings.Contains(out, want) {
			t.Errorf("the list lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "argon2id") {
		t.Error("the list shows hashes")
	}
	if out := s.must("", "list", "dave"); strings.Contains(out, "alice") || !strings.Contains(out, "dave") {
		t.Errorf("list of one: %q", out)
	}

	s.must("", "del", "-label", "phone", "alice")
	if list := s.entries("alice"); len(list) != 1 || list[0].Label != "" {
		t.Errorf("after the removal of a label: %v", list)
	}
	s.must("", "del", "alice")
	if strings.Contains(s.read(s.users), "alice") || len(s.entries("alice")) != 0 || !strings.HasPrefix(s.read(s.users), "# people\nold:") {
		t.Errorf("after the removal: %q", s.read(s.users))
	}
}

func TestUserErrors(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	const before = "alice:1000:1000:/home/alice\nnonsense line\n"
	s.write(s.users, before)
	for _, tt := range []struct {
		stdin string
		args  []string
		want  string
	}{
		{"x\n", []string{"add", "-stdin", "alice"}, "already"},
		{"x\n", []string{"add", "-stdin", "ALICE@example.test"}, "already"},
		{"x\n", []string{"add", "-stdin", "x@elsewhere.test"}, "of a domain that is not in"},
		{"x\n", []string{"add", "-stdin", "../x"}, "no user name"},
		{"x\n", []string{"add", "-stdin", "unix"}, "user of the system"},
		{"x\n", []string{"add", "-stdin", "-uid", "33", "-gid", "33", "www"}, "below first_valid_uid"},
		{"x\n", []string{"add", "-stdin", "-uid", "0", "-gid", "0", "toor"}, "below first_valid_uid"},
		{"x\n", []string{"add", "-stdin", "-uid", "2000", "bob"}, "needs a gid"},
		{"x\n", []string{"add", "-stdin", "-uid", "2000", "-gid", "2000", "-home", "relative", "bob"}, "not an absolute path"},
		{"x\n", []string{"add", "-stdin", "-uid", "2000", "-gid", "2000", "-quota", "lots", "bob"}, "quota"},
		{"\n", []string{"passwd", "-stdin", "alice"}, "empty"},
		{strings.Repeat("x", 2000), []string{"passwd", "-stdin", "alice"}, "longer than"},
		{"x\n", []string{"passwd", "-stdin", "nobody-here"}, "no user"},
		{"", []string{"del", "nobody-here"}, "no user"},
		{"", []string{"del", "-label", "phone", "alice"}, "no password with the label"},
	} {
		status, out, errors := s.run(tt.stdin, tt.args[0], tt.args[1:]...)
		if status != exitFailed || out != "" || !strings.Contains(errors, tt.want) {
			t.Errorf("%q: status %d, %q, %q", tt.args, status, out, errors)
		}
	}
	if s.read(s.users) != before || s.read(s.passwords) != "" {
		t.Errorf("changed: %q, %q", s.read(s.users), s.read(s.passwords))
	}
	s.must("x\n", "passwd", "-stdin", "alice") // the bad line was there before
	s.must("x\n", "passwd", "-stdin", "unix")
	if s.read(s.users) != before || len(s.entries("alice")) != 1 || len(s.entries("unix")) != 1 {
		t.Errorf("got %q, %q", s.read(s.users), s.read(s.passwords))
	}
}

func TestUserUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		nil, {"frob"}, {"add"}, {"passwd"}, {"del"}, {"add", "a", "b"}, {"add", "-stdin", "-generate", "a"}, {"add", "-services", "ftp", "a"},
		{"add", "-label", "a b", "a"}, {"add", "-home", "/a:b", "a"}, {"add", "a:b"}, {"add", "-nosuch", "a"}, {"list", "-stdin"}, {"del", "-uid", "1", "a"},
		{"add", "-h"},
	} {
		var out, errors bytes.Buffer
		if status := runUser(args, terminal{strings.NewReader(""), &out, &errors}); status != exitUsage || !strings.Contains(errors.String(), "usage:") {
			t.Errorf("%q: status %d, %q", args, status, errors.String())
		}
	}
}

// slowTypist is a terminal at which something happens before the password comes.
type slowTypist struct {
	meanwhile func()
	line      io.Reader
}

func (s *slowTypist) Read(p []byte) (int, error) {
	if s.meanwhile != nil {
		s.meanwhile()
		s.meanwhile = nil
	}
	return s.line.Read(p)
}

// While one administrator types a password, another may change the tables. Nothing of that is lost.
func TestUserChangedWhileTyping(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	s.must("first\n", "add", "-stdin", "alice")
	in := &slowTypist{line: strings.NewReader("second\n"), meanwhile: func() {
		s.must("other\n", "add", "-stdin", "bob") // waits for no lock
		s.write(s.users, s.read(s.users)+"carol::::1G\n")
	}}
	var out, errors bytes.Buffer
	if status := runUser([]string{"add", "-c", s.config, "-stdin", "dave"}, terminal{in, &out, &errors}); status != exitOK {
		t.Fatalf("status %d, %s", status, errors.String())
	}
	if got := s.read(s.users); got != "alice\nbob\ncarol::::1G\ndave\n" {
		t.Errorf("users: %q", got)
	}
	for name, pw := range map[string]string{"alice": "first", "bob": "other", "dave": "second"} {
		if list := s.entries(name); len(list) != 1 || !list[0].Verify(pw) {
			t.Errorf("passwords of %s: %v", name, list)
		}
	}
}
