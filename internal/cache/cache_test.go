package cache

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/internal/filelock"
	"postrider/internal/mime"
)

func builder() *Builder {
	lines := bufio.NewReaderSize(nil, mime.BufferSize)
	return NewBuilder(lines, mime.NewReader(lines))
}

const mail = "From: a@example.org\nDate: 12 Mar 2020 10:00 +0100\nSubject: %s\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\nContent-Type: text/html\n\ntwo\n--x--\n"

var arrived = time.Unix(1700000000, 123456789)

// build makes the record of a small message.
func build(t testing.TB, base string, whole bool) *Record {
	t.Helper()
	text := fmt.Sprintf(mail, base)
	r, err := builder().Build(base, Info{Size: int64(len(text)), Wire: -1, Date: arrived}, strings.NewReader(text), whole)
	if err != nil || r == nil {
		t.Fatalf("build: %v, %v", r, err)
	}
	return r
}

// TestHeaderBuilder: the record of a header is that which Build makes, but for ENVELOPE.
func TestHeaderBuilder(t *testing.T) {
	t.Parallel()
	want := build(t, "a", false)
	text := fmt.Sprintf(mail, "a")
	b := NewHeaderBuilder()
	for range 2 {
		got := b.Build("a", want.Info, []byte(text)[:mime.HeaderLen([]byte(text))]).Clone()
		got.Envelope = want.Envelope
		if !reflect.DeepEqual(got, want.Clone()) {
			t.Errorf("%+v, not %+v", got, want)
		}
	}
}

// add appends records under names.
func add(t testing.TB, dir string, names ...string) {
	t.Helper()
	var b Batch
	for _, name := range names {
		b.Add(build(t, name, true))
	}
	if err := Append(in(dir), &b); err != nil {
		t.Fatal(err)
	}
}

// have says which of the names a cache has, in order.
func have(c *Cache, names ...string) (found []string) {
	var w Window
	c.Refresh()
	for _, name := range names {
		if r := c.Get(&w, name, -1); r != nil {
			found = append(found, r.Base)
		}
	}
	return found
}

func expect(t *testing.T, c *Cache, names []string, want ...string) {
	t.Helper()
	if got := have(c, names...); !reflect.DeepEqual(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := Open(in(dir))
	defer c.Close()
	if have(c, "a") != nil {
		t.Fatal("found in no file")
	}
	want := build(t, "a", true)
	var b Batch
	b.Add(want)
	if err := Append(in(dir), &b); err != nil || !b.Empty() {
		t.Fatal(err)
	}
	c.Refresh()
	var w, keys Window
	got := c.Get(&w, "a", want.Size)
	if key, sent, ok := c.Key(&keys, "a", want.Size); !ok || !bytes.Equal(key, want.Key) || sent != want.Sent || len(key) == 0 || !sent.Known {
		t.Errorf("key %q, sent %v, %v", key, sent, ok)
	}
	if sent, ok := c.Sent("a", want.Size); !ok || sent != want.Sent {
		t.Error(sent, ok)
	}
	want.Key = nil
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	_, sentOther := c.Sent("a", want.Size+1)
	_, _, keyOther := c.Key(&keys, "b", -1)
	if c.Get(&w, "a", want.Size+1) != nil || c.Get(&w, "b", -1) != nil || sentOther || keyOther {
		t.Error("found a message of another size, or another name")
	}
	info, whole, ok := c.Find("a", -1)
	if text := fmt.Sprintf(mail, "a"); !ok || !whole || info.Wire != int64(len(text)+strings.Count(text, "\n")) || !info.Date.Equal(arrived) {
		t.Errorf("%+v %v %v", info, whole, ok)
	}
	p := c.Get(&w, "a", -1).Part()
	if p == nil || len(p.Parts) != 2 || p.Parts[1].Body.Size() != 3 {
		t.Errorf("places %+v", p)
	}
	if header := string(c.Get(&w, "a", -1).Header); !strings.HasSuffix(header, "\r\n\r\n") || strings.Count(header, "\n") != 5 {
		t.Errorf("header %q", header)
	}
}

func TestLaterRecordCounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := Open(in(dir))
	defer c.Close()
	for _, whole := range []bool{false, true} {
		var b Batch
		b.Add(build(t, "a", whole))
		if err := Append(in(dir), &b); err != nil {
			t.Fatal(err)
		}
		c.Refresh()
		var w Window
		if r := c.Get(&w, "a", -1); r == nil || r.Whole() != whole || (r.Wire >= 0) != whole || len(r.Header) == 0 {
			t.Fatalf("whole %v: %+v", whole, r)
		}
	}
}

func TestOutsized(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"Subject: x\n" + strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\n", 70) + "\n",
		"To: " + strings.Repeat("a <a@example.org>, ", 4000) + "\n\n",
		"Content-Type: multipart/mixed; boundary=x\n\n" + strings.Repeat("--x\n\n", 1000),
	} {
		r, err := builder().Build("a", Info{Size: int64(len(text))}, strings.NewReader(text), true)
		if r != nil || err != nil {
			t.Errorf("%.30q: %v %v", text, r, err)
		}
	}
}

// TestDamage cuts and garbles the file at every octet: what is whole is found, and appending goes on.
func TestDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	names := []string{"a", "b", "c", "d"}
	add(t, dir, "a")
	add(t, dir, "b", "c")
	path := filepath.Join(dir, FileName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := len(magic) + (len(good)-len(magic))/2 // b and c lie after it, in part
	for i := range good {
		for _, garble := range []bool{false, true} {
			bad := bytes.Clone(good)
			if bad[i] ^= 0x55; !garble {
				bad = good[:i]
			}
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			c := Open(in(dir))
			before := have(c, names...)
			if i >= first && (len(before) == 0 || before[0] != "a") {
				t.Fatalf("octet %d, garbled %v: found %q", i, garble, before)
			}
			var b Batch
			b.Add(build(t, "d", true))
			if err := c.Append(&b); err != nil {
				t.Fatal(err)
			}
			after := have(c, names...)
			if len(after) == 0 || after[len(after)-1] != "d" {
				t.Fatalf("octet %d, garbled %v: found %q after appending", i, garble, after)
			}
			c.Close()
		}
	}
}

// TestUnderway is a file that changes under one who has it open.
func TestUnderway(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b", "c"}
	for name, change := range map[string]func(dir, path string) error{
		"deleted":   func(_, path string) error { return os.Remove(path) },
		"cut":       func(_, path string) error { return os.Truncate(path, 100) },
		"emptied":   func(_, path string) error { return os.Truncate(path, 0) },
		"other":     func(_, path string) error { return os.WriteFile(path, bytes.Repeat([]byte("x"), 5000), 0o600) },
		"directory": func(_, path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
		"fifo":      func(_, path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) },
		"link": func(dir, path string) error {
			return errors.Join(os.Rename(path, dir+"/x"), os.Symlink("x", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, FileName)
			add(t, dir, "a", "b")
			c := Open(in(dir))
			defer c.Close()
			expect(t, c, names, "a", "b")
			if err := change(dir, path); err != nil {
				t.Fatal(err)
			}
			var w Window
			for _, n := range names {
				c.Get(&w, n, -1) // nothing or what it was, but no fault
			}
			expect(t, c, names)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			add(t, dir, "c")
			expect(t, c, names, "c")
		})
	}
}

// TestRest: who comes back reads what is new, and all if the file is another one.
func TestRest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	add(t, dir, "a", "b")
	c := Open(in(dir))
	defer c.Close()
	names := []string{"a", "b", "c", "d", "e"}
	expect(t, c, names, "a", "b")
	if c.Rest(1); len(c.entries) > 0 {
		t.Error("more is remembered than was allowed")
	}
	c.entries = make([]entry, 0, 1<<20)
	if c.Rest(10); c.entries != nil {
		t.Error("the room for more is kept")
	}
	for i, again := range []struct {
		change func() error
		have   []string
	}{
		{func() error { return nil }, []string{"a", "b"}},
		{func() error { add(t, dir, "c"); return nil }, []string{"a", "b", "c"}},
		{func() error { return os.Truncate(in(dir), 100) }, nil},
		{func() error { add(t, dir, "d"); return nil }, []string{"d"}},
		{func() error { return os.WriteFile(in(dir), []byte(magic+strings.Repeat("x", 9999)), 0o600) }, nil},
		{func() error { add(t, dir, "e"); return os.Rename(in(dir), in(dir)+"2") }, nil},
		{func() error { return os.Rename(in(dir)+"2", in(dir)) }, []string{"e"}},
	} {
		c.Refresh()
		known := len(c.entries)
		c.Rest(10)
		c.Rest(10)
		if len(c.entries) != known || c.Get(new(Window), "a", -1) != nil {
			t.Errorf("%d: %d entries, not %d", i, len(c.entries), known)
		}
		if err := again.change(); err != nil {
			t.Fatal(err)
		}
		expect(t, c, names, again.have...)
	}
}

func TestTidy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprint("m", i))
	}
	add(t, dir, names...)
	add(t, dir, names[:10]...)
	c := Open(in(dir))
	defer c.Close()
	expect(t, c, names, names...)
	if c.Worth(500) {
		t.Error("a small file is worth a tidy")
	}
	var w Window
	old := c.Get(&w, "m1", -1)
	if err := Open(in(dir)).Tidy(func(base string) bool { return base < "m2" }); err != nil {
		t.Fatal(err)
	}
	if again := c.Get(new(Window), "m1", -1); !reflect.DeepEqual(old, again) {
		t.Error("the old file is gone before anyone looked")
	}
	var want []string
	for _, n := range names {
		if n < "m2" {
			want = append(want, n)
		}
	}
	expect(t, c, names, want...)
	if len(c.entries) != len(want) {
		t.Errorf("%d records", len(c.entries))
	}
	keys := new(Window)
	for _, n := range want {
		if key, _, ok := c.Key(keys, n, -1); !ok || !bytes.Equal(key, build(t, n, true).Key) {
			t.Fatalf("%s: key %q, %v", n, key, ok)
		}
	}
	if left, _ := filepath.Glob(dir + "/*.tmp"); left != nil {
		t.Error(left)
	}
}

func TestWorth(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var b Batch
	r := build(t, "a", true)
	r.Header = make([]byte, maxHeader)
	for range 40 {
		b.Add(r)
	}
	if err := Append(in(dir), &b); err != nil {
		t.Fatal(err)
	}
	c := Open(in(dir))
	defer c.Close()
	if !c.Worth(10) || c.Worth(1000) {
		t.Error("unread")
	}
	if c.Refresh(); !c.Worth(7) || c.Worth(20) {
		t.Error("read:", len(c.entries))
	}
}

// TestSmallBlocks has a folder in which each message was appended alone.
func TestSmallBlocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := build(t, "a", true)
	r.Header = make([]byte, 8<<10)
	var names []string
	for i := range 2 * manyBlocks {
		r.Base = fmt.Sprint(i)
		names = append(names, r.Base)
		var b Batch
		b.Add(r)
		if err := Append(in(dir), &b); err != nil {
			t.Fatal(err)
		}
	}
	c := Open(in(dir))
	defer c.Close()
	expect(t, c, names, names...)
	if !c.Worth(len(names)) {
		t.Error("not worth a tidy")
	}
	if err := Open(in(dir)).Tidy(func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	expect(t, c, names, names...)
	if c.Worth(len(names)) || c.blocks > 10 {
		t.Error(c.blocks, "blocks")
	}
}

// TestBusy does not wait for one who holds the lock for long.
func TestBusy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	add(t, dir, "a")
	f, _, err := openLocked(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b Batch
	b.Add(build(t, "b", true))
	if err := Append(in(dir), &b); !errors.Is(err, filelock.ErrLocked) || !b.Empty() {
		t.Error(err)
	}
}

const (
	writers      = 4
	writerBlocks = 30
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("CACHE_TEST_WRITER"); dir != "" {
		write(dir, os.Getenv("CACHE_TEST_NAME"))
		return
	}
	os.Exit(m.Run())
}

// write appends until all is there, as one of several processes.
func write(dir, name string) {
	t := new(testing.T)
	for i := range writerBlocks {
		for err := filelock.ErrLocked; errors.Is(err, filelock.ErrLocked); {
			var b Batch
			b.Add(build(t, fmt.Sprintf("%s-%d", name, i), true))
			b.Add(build(t, fmt.Sprintf("%s-%d-again", name, i), true))
			err = Append(in(dir), &b)
			if err != nil && !errors.Is(err, filelock.ErrLocked) {
				fmt.Println(err)
				os.Exit(1)
			}
		}
	}
}

// TestWriters has several processes append while one reads and one tidies up.
func TestWriters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var wait sync.WaitGroup
	var names []string
	for n := range writers {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CACHE_TEST_WRITER="+dir, fmt.Sprint("CACHE_TEST_NAME=", n))
		for i := range writerBlocks {
			names = append(names, fmt.Sprintf("%d-%d", n, i))
		}
		wait.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("writer: %v %s", err, out)
			}
		})
	}
	done := make(chan struct{})
	go func() { wait.Wait(); close(done) }()
	c := Open(in(dir))
	defer c.Close()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		have(c, names...)
		if err := Open(in(dir)).Tidy(func(base string) bool { return !strings.HasSuffix(base, "again") }); err != nil && !errors.Is(err, filelock.ErrLocked) {
			t.Fatal(err)
		}
	}
	expect(t, c, names, names...)
}

func TestManyRecords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var b Batch
	r := build(t, "x", true)
	var names []string
	for i := range 3 * maxRecords / 2 {
		r.Base = fmt.Sprint(i)
		names = append(names, r.Base)
		if b.Full() {
			if err := Append(in(dir), &b); err != nil {
				t.Fatal(err)
			}
		}
		b.Add(r)
	}
	if err := Append(in(dir), &b); err != nil {
		t.Fatal(err)
	}
	c := Open(in(dir))
	defer c.Close()
	expect(t, c, names, names...)
}

// in is the cache of a folder.
func in(dir string) string { return dir + "/" + FileName }
