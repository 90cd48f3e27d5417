package handover

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"postrider/internal/auth"
)

func reread(t *testing.T, l auth.Line) auth.Line {
	t.Helper()
	got, err := auth.ParseLine(strings.TrimSuffix(string(l.With("new", "x").Append(nil)), "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestHello(t *testing.T) {
	t.Parallel()
	for _, want := range []Hello{
		{Roots: []string{"/"}},
		{Roots: []string{"/srv/mail", "/var/a b"}, Log: "json", Remote: true, Mount: "mail 1", MessageSize: 1 << 40, IMAPIdle: 30 * time.Minute,
			POP3Idle: time.Second, Folders: []Folder{{"Sent", "Sent: Items+=é"}, {"Trash", "Trash"}}},
	} {
		if got, err := ParseHello(reread(t, want.Line())); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v is read as %+v, %v", want, got, err)
		}
	}
}

func TestSession(t *testing.T) {
	t.Parallel()
	for _, want := range []Session{
		{Number: 1, ID: "x", Service: "imap", User: "a", Home: "/h", Maildir: "/h/Maildir"},
		{Number: 1 << 62, ID: "x/+=", Service: "pop3", User: "a b@c", Home: "/h h", Maildir: "/m", Quota: 1 << 40, Tag: "a]="},
	} {
		if got, err := ParseSession(reread(t, want.Line())); err != nil || got != want {
			t.Errorf("%+v is read as %+v, %v", want, got, err)
		}
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	for _, want := range []Answer{{auth.OK, 1, ""}, {auth.No, 2, ""}, {auth.End, 3, ""}, {auth.Later, 4, "no space: x=\n"}, {auth.Later, 4, ""}} {
		if got, err := ParseAnswer(reread(t, want.Line())); err != nil || got != want {
			t.Errorf("%+v is read as %+v, %v", want, got, err)
		}
	}
	long := Answer{auth.Later, 1, strings.Repeat("\n", 20_000)}
	if got, err := ParseAnswer(reread(t, long.Line())); err != nil || len(got.Reason) != maxReason {
		t.Errorf("a long reason: %d octets, %v", len(got.Reason), err)
	}
}

func FuzzLines(f *testing.F) {
	f.Add("hello version=1 log= size=1 imapidle=1 popidle=1 root=/a special=Sent:b")
	f.Add("session id=1 session=x service=imap name=a home=/h maildir=/m tag=a")
	f.Add("ok id=1")
	f.Add("later = id=-1")
	f.Add("end id=9223372036854775808")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := auth.ParseLine(s)
		if err != nil {
			return
		}
		if h, err := ParseHello(l); err == nil {
			if again, err := ParseHello(reread(t, h.Line())); err != nil || !reflect.DeepEqual(h, again) {
				t.Errorf("%q: %+v, then %+v, %v", s, h, again, err)
			}
		} else if !errors.Is(err, auth.ErrSyntax) {
			t.Errorf("%q: %v", s, err)
		}
		if v, err := ParseSession(l); err == nil {
			if again, err := ParseSession(reread(t, v.Line())); err != nil || v != again {
				t.Errorf("%q: %+v, then %+v, %v", s, v, again, err)
			}
		}
		if v, err := ParseAnswer(l); err == nil {
			if again, err := ParseAnswer(reread(t, v.Line())); err != nil || v != again {
				t.Errorf("%q: %+v, then %+v, %v", s, v, again, err)
			}
		}
	})
}
