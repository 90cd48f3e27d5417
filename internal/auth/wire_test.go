package auth

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

var lines = []struct {
	line Line
	wire string
}{
	{NewLine(Who, "alice@example.org"), "who alice@example.org"},
	{NewLine(Who, ""), "who ="},
	{NewLine(Who, "a b+c=d\n"), "who a+20b+2Bc+3Dd+0A"},
	{NewLine(Who, "андрей"), "who андрей"},
	{NewLine(Auth, "smtp", "PLAIN").With("rip", "192.0.2.1").With("ir", "\x00alice\x00pass word"), "auth smtp PLAIN rip=192.0.2.1 ir=AGFsaWNlAHBhc3Mgd29yZA=="},
	{NewLine(Auth, "imap", "LOGIN").With("rip", "").With("ir", ""), "auth imap LOGIN rip= ir="},
	{NewLine(Auth, "smtp", "X").With("cb", "tls-exporter:\x00\xff:"), "auth smtp X cb=tls-exporter:AP86"},
	{NewLine(Cont, ""), "cont ="},
	{NewLine(Cont, "abc"), "cont YWJj"},
	{NewLine(Check, "imap", "", "alice", "geheim "), "check imap = alice geheim+20"},
	{NewLine(No), "no"},
	{NewLine(Abort), "abort"},
	{NewLine(Mechanisms), "mechanisms"},
	{NewLine(Later, "too many"), "later too+20many"},
	{NewLine(Begin).With("id", "7").With("tls", "1"), "session id=7 tls=1"},
	{NewLine(Hello).With("root", "/a b"), "hello root=/a+20b"},
	{NewLine(End).With("id", "7"), "end id=7"},
	{User{Name: "a", UID: 1000, GID: 4294967294, Home: "/home/a"}.Line(), "ok name=a uid=1000 gid=4294967294 home=/home/a"},
	{User{Name: "a", Home: "/h x", Maildir: "/m", Quota: 7}.Line(), "ok name=a uid=0 gid=0 home=/h+20x maildir=/m quota=7"},
}

func TestLines(t *testing.T) {
	t.Parallel()
	for _, tt := range lines {
		if got := string(tt.line.Append(nil)); got != tt.wire+"\n" {
			t.Errorf("%v is written as %q, want %q", tt.line, got, tt.wire)
		}
		got, err := ParseLine(tt.wire)
		if err != nil {
			t.Errorf("%q: %v", tt.wire, err)
			continue
		}
		if got.Verb != tt.line.Verb || strings.Join(got.Words, "|") != strings.Join(tt.line.Words, "|") || !reflect.DeepEqual(got.Pairs, tt.line.Pairs) {
			t.Errorf("%q is read as %v, want %v", tt.wire, got, tt.line)
		}
	}
}

func TestBadLines(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", " ", "WHO a", "who", "who  a", "who a ", " who a", "who a b", "who a b=c=d", "who a B=c", "who a =c", "who a+2", "who a+2b",
		"who a\r", "who a\tb", "cont", "cont x", "cont YWJj=", "cont YW\rJj", "auth smtp", "auth smtp PLAIN ir=*", "auth smtp PLAIN cb=x",
		"auth smtp PLAIN cb=a+41:YWJj", "auth smtp PLAIN cb=a:*", "no no", "root", "check imap = alice",
		"who a" + strings.Repeat(" k=v", maxAttributes+1),
	} {
		if l, err := ParseLine(s); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q is read as %v, %v", s, l, err)
		}
	}
}

// A value that cannot be read may be a password.
func TestErrorsKeepSecrets(t *testing.T) {
	t.Parallel()
	const secret = "Tr0ub4dor"
	for _, s := range []string{"check smtp = alice " + secret + "=", "cont " + secret + "*", "auth smtp PLAIN ir=" + secret + "*", "auth smtp PLAIN cb=" + secret} {
		if _, err := ParseLine(s); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestReadLine(t *testing.T) {
	t.Parallel()
	long := "who " + strings.Repeat("a", MaxLine-5) + "\n"
	r := NewReader(strings.NewReader("no\nabort\n" + long))
	for _, want := range []Verb{No, Abort, Who} {
		if l, err := ReadLine(r); err != nil || l.Verb != want {
			t.Errorf("got %v, %v, want %s", l.Verb, err, want)
		}
	}
	if _, err := ReadLine(r); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if _, err := ReadLine(NewReader(strings.NewReader("no"))); err != io.ErrUnexpectedEOF {
		t.Errorf("torn line: %v", err)
	}
	if _, err := ReadLine(NewReader(strings.NewReader("x" + long))); !errors.Is(err, ErrSyntax) {
		t.Errorf("long line: %v", err)
	}
	if err := WriteLine(io.Discard, NewLine(Who, strings.Repeat("a", MaxLine))); !errors.Is(err, ErrSyntax) {
		t.Errorf("a line longer than the other side reads is written: %v", err)
	}
}

func TestParseUser(t *testing.T) {
	t.Parallel()
	want := User{Name: "alice@example.org", UID: 5000, GID: 5001, Home: "/var/mail/x", Maildir: "/y", Quota: 1 << 40}
	l, err := ParseLine(strings.TrimSuffix(string(want.Line().With("new", "x").Append(nil)), "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseUser(l); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	for _, s := range []string{"no", "ok", "ok uid=1 gid=1 home=/h", "ok name=a uid=1 gid=1", "ok name=a uid=1 gid=1 home=h", "ok name=a gid=1 home=/h",
		"ok name=a uid=-1 gid=1 home=/h", "ok name=a uid=4294967295 gid=1 home=/h", "ok name=a uid=1 gid=4294967296 home=/h",
		"ok name=a uid=1 gid=1 home=/h quota=x", "ok name=a uid=1 gid=1 home=/h quota=-1"} {
		l, err := ParseLine(s)
		if err != nil {
			t.Fatal(err)
		}
		if u, err := ParseUser(l); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q is read as %v, %v", s, u, err)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for _, l := range lines {
		f.Add(l.wire)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLine(s)
		if err != nil {
			return
		}
		written := string(l.Append(nil))
		if strings.Count(written, "\n") != 1 {
			t.Fatalf("%q is written as %q", s, written)
		}
		again, err := ParseLine(strings.TrimSuffix(written, "\n"))
		if err != nil || !reflect.DeepEqual(again, l) {
			t.Fatalf("%q: %v is written as %q and read as %v, %v", s, l, written, again, err)
		}
	})
}
