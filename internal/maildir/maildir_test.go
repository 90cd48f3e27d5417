package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/usertest"
)

const unique = "1760000000.0b1c2d3f4g5h6j7k.mail.example.org"

// deliver puts one message into the Maildir below home and returns its final name.
func deliver(t *testing.T, home, unique, text string, again bool) (string, error) {
	t.Helper()
	b := NewBatch()
	defer b.Close()
	m, err := b.Create(Place{home, filepath.Join(home, "Maildir")}, unique, again)
	if err != nil {
		return "", err
	}
	if _, err := m.Write([]byte(text)); err != nil {
		return "", err
	}
	if err := m.Close(); err != nil {
		return "", err
	}
	b.Commit()
	return m.Name(), m.Err()
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func wantFile(t *testing.T, path, text string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Errorf("%s: %d octets, want %d", path, len(got), len(text))
	}
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*bufferSize)
	for _, test := range []struct{ name, wire, file, sizes string }{
		{"empty", "", "", "S=0,W=0"},
		{"small", "A: b\r\n\r\ntext\r\n", "A: b\n\ntext\n", "S=11,W=14"},
		{"no line end", "A: b\r\n\r\ntext", "A: b\n\ntext", "S=10,W=12"},
		{"large", "A: b\r\n\r\n" + long + "\r\n", "A: b\n\n" + long + "\n", fmt.Sprintf("S=%d,W=%d", len(long)+7, len(long)+10)},
		{"bare", "a\rb\nc\r", "a\rb\nc\r", "S=6,W=7"},
		{"two CR", "a\r\r\nb", "a\r\nb", "S=4,W=4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			name, err := deliver(t, home, unique, test.wire, false)
			if err != nil {
				t.Fatal(err)
			}
			if want := unique + "," + test.sizes; name != want {
				t.Errorf("name %s, want %s", name, want)
			}
			wantFile(t, filepath.Join(home, "Maildir/new", name), test.file)
			if left := names(t, filepath.Join(home, "Maildir/tmp")); left != nil {
				t.Errorf("left in tmp: %v", left)
			}
			info, err := os.Stat(filepath.Join(home, "Maildir"))
			if err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("Maildir: %v, %v", info.Mode(), err)
			}
		})
	}
}

func TestMakeWay(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(root, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		place Place
		want  error
	}{
		{Place{root, root + "/example.org/alice/Maildir"}, nil},
		{Place{root + "/missing", root + "/missing/Maildir"}, fs.ErrNotExist},
		{Place{root + "/other", root + "/outside"}, nil}, // its parent exists
		{Place{root + "/other", root + "/not/there/Maildir"}, fs.ErrNotExist},
		{Place{root, file}, ErrNoMaildir},
		{Place{root, file + "/Maildir"}, ErrNoMaildir},
		{Place{root, root + "/link"}, ErrNoMaildir},
	} {
		b := NewBatch()
		_, err := b.Create(test.place, unique, false)
		b.Close()
		if !errors.Is(err, test.want) {
			t.Errorf("%v: %v, want %v", test.place, err, test.want)
		}
	}
}

func TestAgain(t *testing.T) {
	t.Parallel()
	const wire, file = "A: b\r\n\r\ntext\r\n", "A: b\n\ntext\n"
	name := unique + ",S=11,W=14"
	for _, test := range []struct {
		name, dir, as, contents string // what an earlier delivery left
		again                   bool
		want                    string // the name answered
		files                   int    // in new and cur afterwards
	}{
		{"nothing there", "new", "", "", true, name, 1},
		{"in new", "new", name, file, true, name, 1},
		{"read", "cur", name + ":2,S", file, true, name + ":2,S", 1},
		{"sizes gone", "cur", unique + ":2,RS", file, true, unique + ":2,RS", 1},
		{"torn in new", "new", name, "", true, name, 1},
		{"torn in cur", "cur", name + ":2,S", "A: b\n", true, name, 2},
		{"other bytes", "cur", name + ":2,S", "A: b\n\nTEXT\n", true, name, 2},
		{"not asked", "cur", name + ":2,S", file, false, name, 2},
		{"another recipient", "cur", strings.Replace(name, ".mail", ".2.mail", 1), file, true, name, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			box := filepath.Join(home, "Maildir")
			if _, err := deliver(t, home, "1.other.host", wire, false); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(box, "new/1.other.host,S=11,W=14")); err != nil {
				t.Fatal(err)
			}
			if test.as != "" {
				if err := os.WriteFile(filepath.Join(box, test.dir, test.as), []byte(test.contents), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := deliver(t, home, unique, wire, test.again)
			if err != nil || got != test.want {
				t.Errorf("name %q, %v, want %q", got, err, test.want)
			}
			all := append(names(t, box+"/new"), names(t, box+"/cur")...)
			if len(all) != test.files {
				t.Errorf("files %v, want %d", all, test.files)
			}
			path, err := find(box, unique)
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, path, file)
			if left := names(t, box+"/tmp"); left != nil {
				t.Errorf("left in tmp: %v", left)
			}
		})
	}
}

func TestStaleTmp(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	box := filepath.Join(home, "Maildir")
	if err := os.MkdirAll(box+"/tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(home, "precious")
	if err := os.WriteFile(precious, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, filepath.Join(box, "tmp", unique+".EARLIER")); err != nil {
		t.Fatal(err)
	}
	if _, err := deliver(t, home, unique, "text\r\n", true); err != nil {
		t.Fatal(err)
	}
	wantFile(t, precious, "keep")
	if left := names(t, box+"/tmp"); left != nil {
		t.Errorf("left in tmp: %v", left)
	}
	if path, err := find(box, unique); err != nil {
		t.Errorf("%s: %v", path, err)
	}
}

// TestTwoWriters has a writer that hung come back while another writes the same message: it publishes no file but its own.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	place := Place{home, home + "/Maildir"}
	start := func(again bool, text string) (*Batch, *Message) {
		b := NewBatch()
		t.Cleanup(b.Close)
		m, err := b.Create(place, unique, again)
		if err != nil {
			t.Fatal(err)
		}
		m.Write([]byte(text))
		return b, m
	}
	old, first := start(false, "text\r\n")
	first.Close()
	late, second := start(true, "te") // not all of it yet
	if old.Commit(); first.Err() == nil {
		t.Error("the first writer published what the second has not finished")
	}
	if got := names(t, home+"/Maildir/new"); got != nil {
		t.Errorf("published: %v", got)
	}
	second.Write([]byte("xt\r\n"))
	second.Close()
	if late.Commit(); second.Err() != nil {
		t.Error(second.Err())
	}
	wantFile(t, home+"/Maildir/new/"+second.Name(), "text\n")
}

// TestUnused has a Maildir without mail: who made it may have died before it was durable.
func TestUnused(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(home, "Maildir", sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{3, 1} { // itself and its parent at first, new/ each time
		syncs := 0
		d := newBadDisk(func(call string) error {
			if call == "syncDir" {
				syncs++
			}
			return nil
		})
		if ok, _ := runBatch(t, d, home, 1, false); ok != 1 || syncs != want {
			t.Errorf("%d delivered, %d directories synced, want %d", ok, syncs, want)
		}
	}
}

// TestPrivate checks that a Maildir which its owner may not write to defers and is left alone.
func TestPrivate(t *testing.T) {
	t.Parallel()
	if !usertest.Run(t) {
		return
	}
	home := t.TempDir()
	if err := os.Chmod(home, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := deliver(t, home, unique, "text\r\n", false); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("error %v", err)
	}
}

func TestUnique(t *testing.T) {
	t.Parallel()
	at := time.Unix(1760000000, 5)
	for _, test := range []struct {
		n          int
		host, want string
	}{
		{1, "mail.example.org", "1760000000.ID.mail.example.org"},
		{2, "a/b:c", `1760000000.ID.2.a\057b\072c`},
	} {
		if got := Unique(at, "ID", test.n, test.host); got != test.want || !ValidUnique(got) {
			t.Errorf("%d %s: %s, want %s", test.n, test.host, got, test.want)
		}
	}
	for _, bad := range []string{"", ".", "..", "a/b", "a:2,S", "a,S=1", strings.Repeat("x", 201)} {
		if ValidUnique(bad) {
			t.Errorf("%.20q is valid", bad)
		}
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	box := t.TempDir()
	now := time.Now()
	if err := os.Mkdir(box+"/tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"old": 37 * time.Hour, "young": 35 * time.Hour} {
		path := filepath.Join(box, "tmp", name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(box+"/tmp/dir", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Clean(box, now); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(names(t, box+"/tmp")); got != "[dir young]" {
		t.Errorf("left: %s", got)
	}
	if err := os.RemoveAll(box + "/tmp"); err != nil {
		t.Fatal(err)
	}
	if err := Clean(box, now); !errors.Is(err, unix.ENOENT) {
		t.Errorf("missing tmp: %v", err)
	}
}

// fromStore is what a reader who turns LF into CRLF sees.
var bareLF = regexp.MustCompile(`\r?\n`)

func FuzzConverter(f *testing.F) {
	f.Add([]byte("a\r\nb\r\n"), uint8(3))
	f.Add([]byte("\r\r\n\n\r"), uint8(1))
	f.Fuzz(func(t *testing.T, src []byte, step uint8) {
		var c Converter
		var got []byte
		for rest := src; len(rest) > 0; {
			n := min(int(step)+1, len(rest))
			before := len(got)
			got = c.Convert(got, rest[:n])
			if len(got)-before > n+1 {
				t.Fatalf("%d octets grew to %d", n, len(got)-before)
			}
			rest = rest[n:]
		}
		got = c.End(got)
		if want := bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n")); !bytes.Equal(got, want) {
			t.Fatalf("%q became %q, want %q", src, got, want)
		}
		if int64(len(got)) != c.size {
			t.Fatalf("size %d of %d octets", c.size, len(got))
		}
		if want := len(bareLF.ReplaceAll(got, []byte("\r\n"))); int64(want) != c.wire {
			t.Fatalf("wire size %d, want %d: %q", c.wire, want, got)
		}
	})
}

// find looks for a delivery by its unique part and returns its path, or fs.ErrNotExist.
func find(path, unique string) (string, error) {
	for _, sub := range []string{"new", "cur"} {
		list, err := os.Open(path + "/" + sub)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		name, err := findIn(list, unique)
		list.Close()
		if err != nil {
			return "", err
		}
		if name != "" {
			return path + "/" + sub + "/" + name, nil
		}
	}
	return "", fs.ErrNotExist
}

func findIn(list *os.File, unique string) (string, error) {
	for {
		names, err := list.Readdirnames(1024)
		for _, name := range names {
			if rest, ok := strings.CutPrefix(name, unique); ok && (rest == "" || rest[0] == ',' || rest[0] == ':') {
				return name, nil
			}
		}
		if err == io.EOF {
			return "", nil
		}
		if err != nil {
			return "", err
		}
	}
}

func TestNameSize(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int64{
		"1.a.h,S=12,W=14:2,S": 12, "1.a.h,W=14,S=12": 12, "1.a.h,S=12:2,": 12, "1.a.h,S=0": 0,
		"1.a.h": -1, "1.a.h,S=": -1, "1.a.h,S=-1": -1, "1.a.h,S=+1": -1, "1.a.h,S=1x": -1, "1.a.h,S=99999999999999999999": -1,
	} {
		if got, ok := NameSize(name, SizeField); ok && got != want || ok != (want >= 0) {
			t.Errorf("%s: %d, %v, want %d", name, got, ok, want)
		}
	}
}
