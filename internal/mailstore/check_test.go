package mailstore

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// problems are what Check reports, without root.
func problems(t testing.TB, root string) (list []string) {
	t.Helper()
	err := Check(t.Context(), root, true, func(path, problem string) {
		list = append(list, strings.ReplaceAll(path+": "+problem, root+"/", ""))
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func TestCheckGood(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	for _, name := range []string{"A.B", "Entwürfe"} {
		if err := s.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	appendTo(t, s, Inbox, "A: b\r\n\r\nx\r\n", Seen, "work")
	write(t, s.root+"/new/1.a.host", "x\n")
	if err := s.Subscribe(t.Context(), "A.B", true); err != nil {
		t.Fatal(err)
	}
	if got := problems(t, s.root); len(got) > 0 {
		t.Error(strings.Join(got, "\n"))
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	if err := s.Create("Entwürfe"); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-48 * time.Hour)
	wrong := map[string]struct{ path, text, want string }{
		"same":        {"cur/1.a:2,S", "x\n", ""},
		"twice":       {"cur/1.a:2,", "x\n", ""},
		"size":        {"cur/2.a,S=7:2,", "x\n", "cur/2.a,S=7:2,: has 2 octets, its name says 7"},
		"wire size":   {"cur/3.a,S=2,W=7:2,", "x\n", "cur/3.a,S=2,W=7:2,: has 3 octets with CRLF, its name says 7"},
		"empty":       {"cur/4.a:2,", "", "cur/4.a:2,: is empty"},
		"line end":    {"new/5.a\nb", "x\n", "new/5.a\nb: has a name that no mail can have"},
		"letter":      {"cur/6.a:2,Sc", "x\n", `dovecot-keywords: has no name for the keyword 'c' of messages`},
		"keyword":     {"dovecot-keywords", "0 work\n", ""},
		"tmp":         {"tmp/old", "x", "tmp/old: is older than 36 hours, nobody delivers it any more"},
		"lock":        {"dovecot-uidlist.lock", "x", "dovecot-uidlist.lock: is a lock whose holder is gone"},
		"subscribed":  {"subscriptions", "V\t2\n\nA\tB\nEntw&APw-rfe\n", `subscriptions: names a folder that there is not: "A.B"`},
		"list":        {"dovecot-uidlist", "3 V5 N9 Gx\n1 :1.a\n1 :2.b\n2 :1.a\n3 :6.a", "dovecot-uidlist: has lines that are none"},
		"other list":  {".Entw&APw-rfe/dovecot-uidlist", "2\n", ".Entw&APw-rfe/dovecot-uidlist: is none: clients will fetch everything again, under a new UIDVALIDITY"},
		"Courier":     {"courierimapuiddb", "1 5 6\n", "courierimapuiddb: does not count beside dovecot-uidlist"},
		"fresh lock":  {"dovecot-keywords.lock", "", ""},
		"not hostile": {"cur/.hidden", "", ""},
	}
	want := []string{"dovecot-uidlist: ends in the middle of a line", "dovecot-uidlist: has the same message twice, as UID 1 and 2", "cur/7.a:2,: is no mail: a symbolic link", "cur/8.a: is no mail: a directory",
		".Entwürfe: is hidden by .Entw&APw-rfe, which has the same name", "..DOVECOT-TRASHED: is what was left of a folder that was deleted"}
	for _, w := range wrong {
		write(t, s.root+"/"+w.path, w.text)
		if w.want != "" {
			want = append(want, w.want)
		}
	}
	for _, name := range []string{"tmp/old", "dovecot-uidlist.lock"} {
		if err := os.Chtimes(s.root+"/"+name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"cur/8.a", ".Entwürfe", trashDir} {
		if err := os.Mkdir(s.root+"/"+dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", s.root+"/cur/7.a:2,"); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, s.root)
	got := problems(t, s.root)
	got = slices.DeleteFunc(got, func(p string) bool { // either of them may be the first
		return strings.HasPrefix(p, "cur/1.a:2,") && strings.Contains(p, "is the same message as cur/1.a:2,")
	})
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !maps.Equal(snapshot(t, s.root), before) {
		t.Error("something was changed")
	}
}

// snapshot is every file with its mtime.
func snapshot(t testing.TB, root string) map[string]time.Time {
	t.Helper()
	all := make(map[string]time.Time)
	for _, dir := range []string{"", "/cur", "/new", "/tmp", "/.Entw&APw-rfe"} {
		entries, err := os.ReadDir(root + dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			all[dir+"/"+e.Name()] = info.ModTime()
		}
	}
	return all
}

func TestCheckStops(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	write(t, s.root+"/new/1.a.host", "x\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Check(ctx, s.root, false, func(string, string) {}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := Check(t.Context(), s.root+"/none", false, func(string, string) {}); err == nil {
		t.Error("nothing is wrong with what is not there")
	}
}
