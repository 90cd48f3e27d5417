package quota

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// newMaildir makes one with a folder and the Trash, and messages of 100 octets whose names say so.
func newMaildir(t *testing.T, messages int) string {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range []string{"", ".Trash", ".a.b"} {
		for _, sub := range []string{"new", "cur", "tmp"} {
			if err := os.MkdirAll(filepath.Join(dir, folder, sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range messages {
		deliver(t, filepath.Join(dir, []string{"", ".Trash", ".a.b"}[i%3], []string{"new", "cur"}[i%2]), fmt.Sprintf("%d.M1P1.h,S=100:2,", i), 0)
	}
	return dir
}

func deliver(t testing.TB, dir, name string, size int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

func usage(t *testing.T, r *Root, used, limit Amount) {
	t.Helper()
	u, l, err := r.Usage(t.Context())
	if err != nil || u != used || l != limit {
		t.Errorf("used %v of %v (%v), want %v of %v", u, l, err, used, limit)
	}
}

func file(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, sizeFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCount(t *testing.T) {
	t.Parallel()
	dir := newMaildir(t, 6)
	deliver(t, dir+"/cur", "nameless:2,S", 50)
	deliver(t, dir+"/cur", "liar,S=x:2,", 7)
	deliver(t, dir+"/cur", "W,S=30,W=33:2,", 0)
	deliver(t, dir+"/cur", ".hidden,S=1000", 0)
	deliver(t, dir+"/tmp", "tmp,S=1000", 0)
	os.Symlink("/etc/passwd", dir+"/cur/link")
	os.Symlink(dir+"/.a.b", dir+"/.loop")
	os.Mkdir(dir+"/cur/directory", 0o700)
	os.Mkdir(dir+"/..DOVECOT-TRASHED", 0o700)
	usage(t, New(dir, 5000), Amount{687, 9}, Amount{5000, 0})
	if got := file(t, dir); got != "5000S\n687 9\n" {
		t.Errorf("maildirsize: %q", got)
	}
	if left, _ := filepath.Glob(dir + "/*.tmp"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("1 0\n", maxFile/4)
	for _, c := range []struct {
		name, text  string
		octets      int64 // of the user database
		used, limit Amount
		after       string // "" = as before
	}{
		{"limits of the file", "10000S,50C\n300 3\n-100 -1\n", 0, Amount{200, 2}, Amount{10000, 50}, ""},
		{"Courier's padding", "1000C\n         300            3\n", 0, Amount{300, 3}, Amount{0, 1000}, ""},
		{"no limit", "0S\n7 1\n", 0, Amount{7, 1}, Amount{}, ""},
		{"unknown resources", "5X,10S,c,C,-1C,\n7 1\n", 0, Amount{7, 1}, Amount{10, 0}, ""},
		{"another limit", "10000S\n300 3\n", 5000, Amount{600, 6}, Amount{5000, 0}, "5000S\n600 6\n"},
		{"torn end", "10000S,9C\n300 3\n50", 0, Amount{600, 6}, Amount{10000, 9}, "10000S,9C\n600 6\n"},
		{"no sum", "10000S\n", 0, Amount{600, 6}, Amount{10000, 0}, "10000S\n600 6\n"},
		{"negative", "10000S\n300 3\n-301 -1\n", 0, Amount{600, 6}, Amount{10000, 0}, "10000S\n600 6\n"},
		{"nonsense", "10000S\n300 3\nx y\n", 0, Amount{600, 6}, Amount{10000, 0}, "10000S\n600 6\n"},
		{"too large", "10000S\n9223372036854775807 3\n9223372036854775807 3\n", 0, Amount{600, 6}, Amount{10000, 0}, "10000S\n600 6\n"},
		{"too long", "10000S\n" + long, 0, Amount{600, 6}, Amount{10000, 0}, "10000S\n600 6\n"},
		{"over by several lines", "10000S\n9000 3\n9000 3\n", 0, Amount{600, 6}, Amount{10000, 0}, "10000S\n600 6\n"},
		{"over by a fresh sum", "10S\n9000 3\n", 0, Amount{9000, 3}, Amount{10, 0}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := newMaildir(t, 6)
			if err := os.WriteFile(filepath.Join(dir, sizeFile), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			usage(t, New(dir, c.octets), c.used, c.limit)
			if c.after == "" {
				c.after = c.text
			}
			if got := file(t, dir); got != c.after {
				t.Errorf("maildirsize: %q, want %q", got, c.after)
			}
		})
	}
}

func TestOldSumOverLimit(t *testing.T) {
	t.Parallel()
	dir := newMaildir(t, 6)
	path := filepath.Join(dir, sizeFile)
	os.WriteFile(path, []byte("1000S\n9000 3\n"), 0o600)
	old := time.Now().Add(-trusted - time.Minute)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	usage(t, New(dir, 0), Amount{600, 6}, Amount{1000, 0})
}

// TestHostileFile has something else in the file's place.
func TestHostileFile(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink("/etc/passwd", path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		dir := newMaildir(t, 3)
		if err := put(filepath.Join(dir, sizeFile)); err != nil {
			t.Fatal(err)
		}
		if r := New(dir, 0); r.Active() {
			t.Errorf("%s: is a quota", name)
		}
		_, err := New(dir, 1000).Reserve(t.Context(), Amount{100, 1})
		if want := name == "directory"; (err != nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text, err := os.ReadFile("/etc/passwd"); err != nil || len(text) == 0 {
		t.Errorf("/etc/passwd: %v", err)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	dir := newMaildir(t, 6)
	r := New(dir, 1000)
	c, err := r.Reserve(t.Context(), Amount{350, 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Room(t.Context(), Amount{100, 1}); !errors.Is(err, ErrExceeded) {
		t.Errorf("room: %v", err)
	}
	c.Done(t.Context(), Amount{300, 1})
	usage(t, r, Amount{900, 7}, Amount{1000, 0})
	if _, err := r.Reserve(t.Context(), Amount{1<<63 - 1, 1}); !errors.Is(err, ErrExceeded) {
		t.Errorf("the largest message: %v", err)
	}
	c = r.Begin()
	c.Done(t.Context(), Amount{-300, -1})
	usage(t, r, Amount{600, 6}, Amount{1000, 0})
	if c, err := r.Reserve(t.Context(), Amount{1, 1}); err != nil {
		t.Error(err)
	} else {
		c.Done(t.Context(), Amount{})
	}
	if got, want := file(t, dir), "1000S\n600 6\n350 1\n-50 0\n-300 -1\n1 1\n-1 -1\n"; got != want {
		t.Errorf("maildirsize: %q, want %q", got, want)
	}
}

// TestReplaced has the file written anew while mail is on its way: by then it may be counted or not.
func TestReplaced(t *testing.T) {
	t.Parallel()
	dir := newMaildir(t, 6)
	r := New(dir, 1000)
	c, err := r.Reserve(t.Context(), Amount{100, 1})
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, dir+"/new", "7.M1P1.h,S=100", 0)
	os.Remove(filepath.Join(dir, sizeFile))
	usage(t, r, Amount{700, 7}, Amount{1000, 0})
	c.Done(t.Context(), Amount{100, 1})
	usage(t, r, Amount{700, 7}, Amount{1000, 0})
}

// TestLength says that the file is summed up before it is longer than others read.
func TestLength(t *testing.T) {
	t.Parallel()
	dir := newMaildir(t, 0)
	r := New(dir, 1<<40)
	for i := range 1000 {
		c, err := r.Reserve(t.Context(), Amount{1000, 1})
		if err != nil {
			t.Fatal(err)
		}
		c.Done(t.Context(), Amount{1000, 1})
		if info, err := os.Stat(filepath.Join(dir, sizeFile)); err != nil || info.Size() > maxFile {
			t.Fatalf("round %d: %v, %v", i, info.Size(), err)
		}
	}
	usage(t, r, Amount{1000000, 1000}, Amount{1 << 40, 0})
}

// TestRace has many write at once; no more comes than there is room for.
func TestRace(t *testing.T) {
	t.Parallel()
	dir := newMaildir(t, 0)
	var wait sync.WaitGroup
	var mu sync.Mutex
	came := 0
	for i := range 8 {
		wait.Go(func() {
			r := New(dir, 2000)
			for n := range 10 {
				c, err := r.Reserve(t.Context(), Amount{100, 1})
				if errors.Is(err, ErrExceeded) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				deliver(t, dir+"/new", fmt.Sprintf("%d.%d.h,S=100", n, i), 0)
				c.Done(t.Context(), Amount{100, 1})
				mu.Lock()
				came++
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if came != 20 {
		t.Errorf("%d messages of 100 octets came where 2000 were allowed", came)
	}
	usage(t, New(dir, 2000), Amount{2000, 20}, Amount{2000, 0})
}

func TestNone(t *testing.T) {
	t.Parallel()
	dir := newMaildir(t, 3)
	r := New(dir, 0)
	c, err := r.Reserve(t.Context(), Amount{1 << 40, 1})
	if err != nil {
		t.Fatal(err)
	}
	c.Done(t.Context(), Amount{1 << 40, 1})
	r.Begin().Done(t.Context(), Amount{-1, -1})
	usage(t, r, Amount{}, Amount{})
	if names, _ := filepath.Glob(dir + "/[mp]*"); len(names) > 0 {
		t.Errorf("files without a quota: %q", names)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1000S,5C\n10 1\n-10 -1\n", "0S\n", "", "\n\n", "9223372036854775807S\n1125899906842624 1\n", "10S\n1 1", "S,C,1\n 1  1 \n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parse(text[:min(len(text), maxFile+1)])
		if s.limit.Octets < 0 || s.limit.Messages < 0 {
			t.Errorf("limit %v", s.limit)
		}
		if err != nil {
			return
		}
		if s.used.Octets < 0 || s.used.Messages < 0 || s.lines == 0 {
			t.Errorf("%+v", s)
		}
		again, err := parse([]byte(limitLine(s.limit) + line(s.used)))
		if err != nil && s.used.Octets <= maxSum && s.used.Messages <= maxSum || err == nil && (again.used != s.used || again.limit != s.limit) {
			t.Errorf("%+v: written %+v, %v", s, again, err)
		}
	})
}
