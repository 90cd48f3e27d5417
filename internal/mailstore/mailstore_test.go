package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/usertest"
)

func newStore(t testing.TB, opts Options) *Store {
	t.Helper()
	if opts.LockTimeout == 0 {
		opts.LockTimeout = 20 * time.Second
	}
	s, err := Open(t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func openBox(t testing.TB, s *Store, name string) *Mailbox {
	t.Helper()
	b, err := s.Open(t.Context(), name, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func syncBox(t testing.TB, b *Mailbox) Changes {
	t.Helper()
	c, err := b.Sync(t.Context(), All)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func appendTo(t testing.TB, s *Store, folder, text string, flags Flags, keywords ...string) uint32 {
	t.Helper()
	a, err := s.Append(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	m, err := a.Create(flags, keywords, time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(m, text)
	_, uids, err := a.Commit(t.Context())
	if err != nil || len(uids) != 1 {
		t.Fatal(uids, err)
	}
	return uids[0]
}

// show is a view as text: "1:S[kw] 2:".
func show(b *Mailbox) string {
	var parts []string
	for _, m := range b.Messages() {
		_, info, _ := strings.Cut(withInfo("x", m.Flags, 0), ",")
		if k := b.KeywordNames(m.Keywords); k != nil {
			info += fmt.Sprint(k)
		}
		parts = append(parts, fmt.Sprint(m.UID, ":", info))
	}
	return strings.Join(parts, " ")
}

func wantView(t testing.TB, b *Mailbox, want string) {
	t.Helper()
	if got := show(b); got != want {
		t.Errorf("view %q, want %q", got, want)
	}
}

// age makes directories look as if they had been at rest for a while.
func age(t testing.TB, b *Mailbox) {
	t.Helper()
	old := time.Now().Add(-time.Minute)
	for _, d := range []string{"new", "cur"} {
		if err := os.Chtimes(b.folder.path(d), old, old); err != nil {
			t.Fatal(err)
		}
	}
	tick()
	tick()
}

// tick waits for the next one of the kernel's clock, some milliseconds at most.
func tick() {
	for now := kernelTime(); kernelTime() == now; {
	}
}

func TestFolderLife(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	write(t, s.root+"/new/2.b.host", "A: b\n\nx\n")
	write(t, s.root+"/new/1.a.host", "A: b\n\nx\n")
	write(t, s.root+"/cur/3.c.host,S=8,W=11:2,FSP", "A: b\n\nx\n")
	write(t, s.root+"/cur/.hidden", "")
	ro, err := s.Open(t.Context(), "inbox", true)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	wantView(t, ro, "1: 2: 3:FS")
	if !ro.Recent(1) || !ro.Recent(2) || ro.Recent(3) {
		t.Error("read-only: what is in new is recent")
	}
	b := openBox(t, s, "INBOX")
	wantView(t, b, "1: 2: 3:FS")
	if !b.Recent(1) || !b.Recent(2) || b.Recent(3) {
		t.Error("what was moved is recent")
	}
	if _, err := os.Stat(s.root + "/cur/1.a.host:2,"); err != nil {
		t.Error(err)
	}
	if uid := appendTo(t, s, "INBOX", "A: b\r\n\r\ntext\r\n", Seen, "$Label1"); uid != 4 {
		t.Error("appended as", uid)
	}
	c := syncBox(t, b)
	if c.New != 1 || c.Exists != 4 || len(c.Flags) != 0 || c.Recent != 3 {
		t.Errorf("%+v", c)
	}
	m := b.Messages()
	if info, err := b.Info(t.Context(), m[3]); err != nil || info.Size != 11 || info.Wire != 14 || info.Date.Unix() != 1_700_000_000 {
		t.Error(info, err)
	}
	if info, err := b.Info(t.Context(), m[0]); err != nil || info.Size != 8 || info.Wire != 11 {
		t.Error(info, err)
	}
	got, err := b.StoreFlags(t.Context(), []*Message{m[0], m[2]}, AddFlags, Answered, []string{"Junk"})
	if err != nil || len(got) != 2 {
		t.Error(got, err)
	}
	wantView(t, b, "1:R[Junk] 2: 3:FRS[Junk] 4:S[$Label1]")
	if _, err := os.Stat(s.root + "/cur/3.c.host,S=8,W=11:2,FPRSb"); err != nil {
		t.Error(err)
	}
	if c := syncBox(t, b); len(c.Flags) != 0 || c.New != 0 {
		t.Errorf("own change told: %+v", c)
	}
	if c := syncBox(t, ro); len(c.Flags) != 2 || c.New != 1 {
		t.Errorf("other session: %+v", c)
	}
	if err := b.Expunge(t.Context(), []*Message{m[1]}); err != nil {
		t.Error(err)
	}
	if c, _ := ro.Sync(t.Context(), NoExpunges); len(c.Expunged) != 0 || c.Exists != 4 {
		t.Errorf("no expunges: %+v", c)
	}
	for _, box := range []*Mailbox{ro, b} {
		if c := syncBox(t, box); !slices.Equal(c.Expunged, []int{2}) || !slices.Equal(c.UIDs, []uint32{2}) || c.Exists != 3 {
			t.Errorf("%+v", c)
		}
	}
	wantUnlocked(t, s)
}

func wantUnlocked(t testing.TB, s *Store) {
	t.Helper()
	if left, _ := filepath.Glob(s.root + "/*.lock"); len(left) > 1 || len(left) == 1 && filepath.Base(left[0]) != ownLockFile {
		t.Error("left:", left)
	}
	if left, _ := filepath.Glob(s.root + "/tmp/*"); left != nil {
		t.Error("left:", left)
	}
}

// TestForeign is what other programs do to an open folder.
func TestForeign(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	for i := range 5 {
		write(t, fmt.Sprintf("%s/new/%d.x.host", s.root, i+1), "x\n")
	}
	b := openBox(t, s, "INBOX")
	wantView(t, b, "1: 2: 3: 4: 5:")
	m := b.Messages()
	os.Rename(s.root+"/cur/2.x.host:2,", s.root+"/cur/2.x.host:2,S")
	os.Remove(s.root + "/cur/4.x.host:2,")
	write(t, s.root+"/cur/9.y.host:2,F", "y\n")
	f, err := b.OpenMessage(t.Context(), m[1])
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := b.OpenMessage(t.Context(), m[3]); !errors.Is(err, ErrExpunged) {
		t.Error(err)
	}
	c := syncBox(t, b)
	wantView(t, b, "1: 2:S 3: 5: 6:F")
	if !slices.Equal(c.Expunged, []int{4}) || len(c.Flags) != 1 || c.New != 1 {
		t.Errorf("%+v", c)
	}
	write(t, s.root+"/cur/4.x.host:2,", "x\n") // back: it was told as gone
	syncBox(t, b)
	wantView(t, b, "1: 2:S 3: 5: 6:F 7:")
	os.Link(s.root+"/cur/1.x.host:2,", s.root+"/new/1.x.host") // one file twice
	write(t, s.root+"/new/3.x.host", "another\n")              // another of the same name
	syncBox(t, b)
	wantView(t, b, "1: 2:S 3: 5: 6:F 7: 8:")
	if _, err := os.Lstat(s.root + "/new/1.x.host"); err == nil {
		t.Error("one file still has two names")
	}
	if text := read(t, b.folder.filePath(b.Messages()[6])); text != "another\n" {
		t.Error(text)
	}
	os.Rename(s.root+"/cur/5.x.host:2,", s.root+"/cur/5.x.host:2,FS")
	if _, err := b.StoreFlags(t.Context(), b.Messages()[3:4], RemoveFlags, Flagged, nil); err != nil {
		t.Error(err)
	}
	wantView(t, b, "1: 2:S 3: 5:S 6:F 7: 8:")
	again := openBox(t, newStoreAt(s.root, s.opts), "INBOX")
	wantView(t, again, show(b))
}

// TestTwoFiles: of two files with one base name the message's own keeps it, in whatever order they are listed, also for the next process.
func TestTwoFiles(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	var want []string
	for i := range 20 {
		write(t, fmt.Sprintf("%s/cur/%d.x.host:2,S", s.root, i), "own\n")
		want = append(want, fmt.Sprint(i+1, ":S"))
	}
	openBox(t, s, "INBOX").Close()
	for i := range 20 {
		write(t, fmt.Sprintf("%s/cur/%d.x.host:2,F", s.root, i), "another\n")
		want = append(want, fmt.Sprint(i+21, ":F"))
	}
	b := openBox(t, anotherProcess(s), "INBOX")
	wantView(t, b, strings.Join(want, " "))
	for i, m := range b.Messages() {
		if text := read(t, b.folder.filePath(m)); (text == "own\n") != (i < 20) {
			t.Errorf("UID %d is now %q", m.UID, text)
		}
	}
}

func TestLostUidlist(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(string){
		"gone":  func(p string) { os.Remove(p) },
		"empty": func(p string) { os.Truncate(p, 0) },
		"NULs":  func(p string) { os.WriteFile(p, make([]byte, 200), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, Options{})
			appendTo(t, s, "INBOX", "a\r\n", 0)
			b := openBox(t, s, "INBOX")
			spoil(s.root + "/" + uidlistFile)
			if _, err := b.Sync(t.Context(), All); !errors.Is(err, ErrReset) {
				t.Error("reset not told:", err)
			}
			if _, err := b.Sync(t.Context(), All); !errors.Is(err, ErrReset) {
				t.Error("reset not told again:", err)
			}
			if _, err := b.StoreFlags(t.Context(), b.Messages(), AddFlags, Seen, nil); !errors.Is(err, ErrReset) {
				t.Error("store:", err)
			}
			again := openBox(t, s, "INBOX")
			wantView(t, again, "1:")
			if again.UIDValidity() <= b.UIDValidity() {
				t.Error(again.UIDValidity(), "after", b.UIDValidity())
			}
		})
	}
}

func TestTornUidlist(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	write(t, s.root+"/"+uidlistFile, "3 V77 N1 Gabc Pfmt Zq\n5 S3 W9 :1.a\n3 :1.b\njunk\n9 :1.c\n12 :1.to")
	for _, n := range []string{"1.a", "1.b", "1.c", "1.torn"} {
		write(t, s.root+"/cur/"+n+":2,", "x\n")
	}
	b := openBox(t, s, "INBOX")
	wantView(t, b, "5: 9: 10: 11:")
	if b.UIDValidity() != 77 || b.UIDNext() != 12 {
		t.Error(b.UIDValidity(), b.UIDNext())
	}
	const want = "3 V77 N12 Gabc Pfmt Zq\n5 S3 W9 :1.a\n9 :1.c\n10 :1.b\n11 :1.torn\n"
	if got := read(t, s.root+"/"+uidlistFile); got != want {
		t.Errorf("%q", got)
	}
}

// TestTornTail has nothing wrong but a line that somebody did not finish.
func TestTornTail(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	write(t, s.root+"/"+uidlistFile, "3 V77 N1 Gabc\n5 :1.a\n6 :1.to")
	write(t, s.root+"/cur/1.a:2,", "x\n")
	if uid := appendTo(t, s, "INBOX", "y\r\n", 0); uid != 6 {
		t.Error("appended as", uid)
	}
	fresh := newStoreAt(s.root, s.opts)
	wantView(t, openBox(t, fresh, "INBOX"), "5: 6:")
	if text := read(t, s.root+"/"+uidlistFile); !strings.HasPrefix(text, "3 V77 N7 Gabc\n5 :1.a\n6 :") || strings.Contains(text, "1.to") {
		t.Errorf("%q", text)
	}
}

func TestCourierUidlist(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	write(t, s.root+"/"+uidlistFile, "1 1234 20\n7 1.a host\n11 1.b\n")
	write(t, s.root+"/cur/1.a host:2,S", "x\n")
	write(t, s.root+"/cur/1.b:2,", "x\n")
	b := openBox(t, s, "INBOX")
	wantView(t, b, "7:S 11:")
	if b.UIDValidity() != 1234 || b.UIDNext() != 20 {
		t.Error(b.UIDValidity(), b.UIDNext())
	}
	if got := read(t, s.root+"/"+uidlistFile); !strings.HasPrefix(got, "3 V1234 N20 G") || !strings.HasSuffix(got, "\n7 :1.a host\n11 :1.b\n") {
		t.Errorf("%q", got)
	}
}

func TestKeywordLimit(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	appendTo(t, s, "INBOX", "a\r\n", 0)
	b := openBox(t, s, "INBOX")
	for i := range MaxKeywords {
		if _, err := b.StoreFlags(t.Context(), b.Messages(), AddFlags, 0, []string{fmt.Sprint("k", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.StoreFlags(t.Context(), b.Messages(), AddFlags, 0, []string{"more"}); !errors.Is(err, ErrKeywordLimit) {
		t.Error(err)
	}
	if names, room := b.AllKeywords(); len(names) != MaxKeywords || room {
		t.Error("there is said to be room for one more")
	}
	if _, err := b.StoreFlags(t.Context(), b.Messages(), RemoveFlags, 0, []string{"K7"}); err != nil {
		t.Error(err)
	}
	if names, room := b.AllKeywords(); len(names) != MaxKeywords || !room {
		t.Error("there is said to be no room, with a letter that no message uses")
	}
	if _, err := b.StoreFlags(t.Context(), b.Messages(), ReplaceFlags, Seen, []string{"more", "k3"}); err != nil {
		t.Error(err)
	}
	wantView(t, b, "1:S[k3 more]")
	if got := read(t, s.root+"/"+keywordsFile); !strings.Contains(got, "7 more\n") || strings.Contains(got, "k7") {
		t.Error(got)
	}
	if _, err := b.StoreFlags(t.Context(), b.Messages(), AddFlags, 0, []string{"a b"}); !errors.Is(err, ErrKeyword) {
		t.Error(err)
	}
}

func TestCopyMove(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	for i := range 4 {
		appendTo(t, s, "INBOX", fmt.Sprintf("%d\r\n", i), Seen, fmt.Sprint("k", i))
	}
	if err := s.Create("Über.x"); err != nil {
		t.Fatal(err)
	}
	b := openBox(t, s, "INBOX")
	dst := openBox(t, s, "Über.x")
	c, err := b.Copy(t.Context(), b.Messages()[2:], "Über.x")
	if err != nil || !slices.Equal(c.From, []uint32{3, 4}) || !slices.Equal(c.To, []uint32{1, 2}) || c.UIDValidity != dst.UIDValidity() {
		t.Error(c, err)
	}
	c, err = b.Move(t.Context(), b.Messages()[:1], "Über.x")
	if err != nil || !slices.Equal(c.To, []uint32{3}) {
		t.Error(c, err)
	}
	syncBox(t, b)
	syncBox(t, dst)
	wantView(t, b, "2:S[k1] 3:S[k2] 4:S[k3]")
	wantView(t, dst, "1:S[k2] 2:S[k3] 3:S[k0]")
	if info, err := dst.Info(t.Context(), dst.Messages()[2]); err != nil || info.Date.Unix() != 1_700_000_000 {
		t.Error(info, err)
	}
	if _, err := b.Copy(t.Context(), b.Messages(), "none"); !errors.Is(err, ErrNoFolder) {
		t.Error(err)
	}
}

func folderNames(t testing.TB, s *Store) (names []string) {
	t.Helper()
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		name := f.Name
		if f.NoSelect {
			name = "(" + name + ")"
		}
		if f.Children {
			name += "+"
		}
		names = append(names, name)
	}
	return names
}

func TestFolders(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	for _, name := range []string{"Foo.Bar", "Foo.Bar.Baz", "A&B", "Entwürfe"} {
		if err := s.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	os.MkdirAll(s.root+"/.Gesendet-ü/cur", 0o700) // Courier's
	os.MkdirAll(s.root+"/..DOVECOT-TRASHED/cur", 0o700)
	write(t, s.root+"/.file", "")
	want := "INBOX A&B Entwürfe (Foo)+ Foo.Bar+ Foo.Bar.Baz Gesendet-ü"
	if got := strings.Join(folderNames(t, s), " "); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, name := range []string{"", ".", "a..b", "a/b", ".a", "a.", "a\nb", strings.Repeat("ü", 120), "\xff", "INBOX"} {
		if err := s.Create(name); !errors.Is(err, ErrName) && !errors.Is(err, ErrExists) {
			t.Errorf("%q: %v", name, err)
		}
	}
	b := openBox(t, s, "Gesendet-ü")
	old := openBox(t, s, "Foo.Bar").UIDValidity()
	if err := s.Rename(t.Context(), "Foo", "Neu.Ü"); err != nil {
		t.Fatal(err)
	}
	if err := s.Rename(t.Context(), "Entwürfe", "A&B"); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if err := s.Rename(t.Context(), "A&B", "A&B.c"); !errors.Is(err, ErrName) {
		t.Error(err)
	}
	if v := openBox(t, s, "Neu.Ü.Bar").UIDValidity(); v != old {
		t.Error("renamed, UIDVALIDITY", v, "was", old)
	}
	if err := s.Delete("Gesendet-ü"); err != nil {
		t.Error(err)
	}
	if _, err := b.Sync(t.Context(), All); !errors.Is(err, ErrNoFolder) {
		t.Error(err)
	}
	if err := s.Delete("INBOX"); err == nil {
		t.Error("INBOX deleted")
	}
	if err := s.Delete("Neu.Ü.Bar"); err != nil {
		t.Error(err)
	}
	if err := s.Create("Neu.Ü.Bar"); err != nil {
		t.Error(err)
	}
	if v := openBox(t, s, "Neu.Ü.Bar").UIDValidity(); v <= old {
		t.Error("made again, UIDVALIDITY", v, "was", old)
	}
	appendTo(t, s, "INBOX", "x\r\n", 0)
	if err := s.Rename(t.Context(), "INBOX", "old"); err != nil {
		t.Error(err)
	}
	wantView(t, openBox(t, s, "old"), "1:")
	wantView(t, openBox(t, s, "INBOX"), "")
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"V\t2\n\nINBOX\nFoo\tBar\nEntw&APw-rfe\n": "INBOX Foo.Bar Entwürfe",
		"INBOX\nFoo.Bar\n\nFoo.Bar\nEntwürfe\n":   "INBOX Foo.Bar Entwürfe",
	} {
		s := newStore(t, Options{})
		write(t, s.root+"/subscriptions", text)
		names, err := s.Subscriptions()
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Error(got, err)
		}
		for _, err := range []error{s.Subscribe(t.Context(), "Foo.Bar", false), s.Subscribe(t.Context(), "A&B.Ü", true),
			s.Subscribe(t.Context(), "A&B.Ü", true), s.Subscribe(t.Context(), "none", false)} {
			if err != nil {
				t.Error(err)
			}
		}
		if got := read(t, s.root+"/subscriptions"); got != "V\t2\n\nINBOX\nEntw&APw-rfe\nA&-B\t&ANw-\n" {
			t.Errorf("%q", got)
		}
	}
}

func TestInfoLetters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		flags    Flags
		keywords Keywords
		want     string
	}{
		{"1.a", Seen, 0, "1.a:2,S"},
		{"1.a:2,", 0, 0, "1.a:2,"},
		{"1.a:2,FPXSab", Answered | Deleted, 5, "1.a:2,PRTXac"},
		{"1.a:2,S,ext", Flagged, 0, "1.a:2,F,ext"},
		{"1.a:1,S", Flagged, 0, "1.a:2,F"},
		{"1.a,S=3,W=4:2,SSS", Draft, 0, "1.a,S=3,W=4:2,D"},
	} {
		if got := withInfo(test.name, test.flags, test.keywords); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// anotherProcess is a Store that knows nothing yet.
func anotherProcess(s *Store) *Store {
	return newStoreAt(s.root, s.opts)
}

func TestIndex(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	appendTo(t, s, "INBOX", "x\r\n", Seen)
	b := openBox(t, s, "INBOX")
	age(t, b)
	syncBox(t, b)
	warm := openBox(t, anotherProcess(s), "INBOX")
	wantView(t, warm, "1:S")
	if warm.HighestModSeq() != b.HighestModSeq() || warm.Messages()[0].ModSeq != b.Messages()[0].ModSeq {
		t.Error("another process has other mod-sequences")
	}
	if warm.folder.whole != nil || warm.folder.cur.names != nil {
		t.Error("a warm folder was read")
	}
	write(t, s.root+"/new/2.x", "y\n")
	syncBox(t, warm)
	wantView(t, warm, "1:S 2:")
	fresh := openBox(t, anotherProcess(s), "INBOX")
	wantView(t, fresh, "1:S 2:")
	if _, err := fresh.StoreFlags(t.Context(), warm.Messages(), ReplaceFlags, Flagged, nil); err != nil {
		t.Error(err)
	}
	syncBox(t, warm)
	wantView(t, warm, "1:F 2:F")
	for i, m := range warm.Messages() {
		if m.ModSeq != fresh.Messages()[i].ModSeq || m.ModSeq > warm.HighestModSeq() {
			t.Error("mod-sequences", m.ModSeq, fresh.Messages()[i].ModSeq, warm.HighestModSeq())
		}
	}
}

func TestLocks(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{LockTimeout: 50 * time.Millisecond})
	b := openBox(t, s, "INBOX")
	lock := s.root + "/" + uidlistLock
	write(t, lock, "1:elsewhere.example")
	write(t, s.root+"/new/1.a", "x\n")
	if _, err := b.Sync(t.Context(), All); !errors.Is(err, ErrLocked) {
		t.Error("locked by another:", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Sync(ctx, All); err == nil {
		t.Error("cancelled")
	}
	host, _ := os.Hostname()
	write(t, lock, "2147483646:"+host) // no process has this id
	syncBox(t, b)
	wantView(t, b, "1:")
	wantUnlocked(t, s)
}

// TestUnwritable has a folder in which no lock can be made: what is there is read and deleted, and new mail waits.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	if !usertest.Run(t) {
		return
	}
	s := newStore(t, Options{})
	appendTo(t, s, "INBOX", "x\r\n", 0)
	appendTo(t, s, "INBOX", "y\r\n", 0)
	os.Remove(s.root + "/" + ownLockFile)
	write(t, s.root+"/new/1.a", "x\n")
	os.Chmod(s.root, 0o500)
	defer os.Chmod(s.root, 0o700)
	b, err := s.Open(t.Context(), "INBOX", false)
	if b == nil || !errors.Is(err, ErrUnwritable) {
		t.Fatal(err)
	}
	defer b.Close()
	wantView(t, b, "1: 2:")
	if err := b.Expunge(t.Context(), b.Messages()[:1]); err != nil {
		t.Error(err)
	}
	if c, err := b.Sync(t.Context(), All); !errors.Is(err, ErrUnwritable) || len(c.Expunged) != 1 {
		t.Error(c, err)
	}
	os.Chmod(s.root, 0o700)
	syncBox(t, b)
	wantView(t, b, "2: 3:")
}

func TestNoRoom(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		&os.PathError{Op: "open", Path: "x", Err: unix.ENOSPC}: true,
		&os.PathError{Op: "open", Path: "x", Err: unix.EACCES}: true,
		unix.EROFS: true, unix.EDQUOT: true, ErrLocked: false, unix.EMFILE: false, nil: false,
	} {
		if noRoom(err) != want {
			t.Error(err, want)
		}
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	w := NewWatcher()
	defer w.Close()
	s := newStore(t, Options{Watcher: w})
	b := openBox(t, s, "INBOX")
	woken := make(chan struct{}, 1)
	b.Watch(func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	syncBox(t, b)
	if b.Hinted() {
		t.Error("a hint of nothing")
	}
	write(t, s.root+"/new/1.a", "x\n")
	select {
	case <-woken:
	case <-time.After(10 * time.Second):
		t.Fatal("no hint")
	}
	if !b.Hinted() || b.Hinted() {
		t.Error("not one hint")
	}
	if c := syncBox(t, b); c.New != 1 {
		t.Errorf("%+v", c)
	}
}

// TestHintsRemote: what other hosts write is no event here.
func TestHintsRemote(t *testing.T) {
	t.Parallel()
	w := NewWatcher()
	defer w.Close()
	b := openBox(t, newStore(t, Options{Watcher: w, Remote: true}), "INBOX")
	b.Watch(func() {})
	if h := b.hints; h.watched || time.Until(h.due) > pollUnwatched {
		t.Errorf("looks again only in %v", time.Until(h.due))
	}
}

// TestRecent: what is appended is \Recent to the first session that writes, and to those that only read until then.
func TestRecent(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	appendTo(t, s, "INBOX", "x\r\n", Seen)
	if st, err := s.Status(t.Context(), "INBOX"); st.Recent != 1 || err != nil {
		t.Errorf("status %+v, %v", st, err)
	}
	reader, err := s.Open(t.Context(), "INBOX", true)
	if err != nil || !reader.Recent(1) {
		t.Errorf("not recent to a reader, %v", err)
	}
	defer reader.Close()
	if writer := openBox(t, s, "INBOX"); writer.RecentCount() != 1 {
		t.Error("not recent to the first that writes")
	}
	if second := openBox(t, s, "INBOX"); second.RecentCount() != 0 {
		t.Error("recent to a second one")
	}
	if st, err := s.Status(t.Context(), "INBOX"); st.Recent != 0 || err != nil {
		t.Errorf("status %+v, %v", st, err)
	}
}
