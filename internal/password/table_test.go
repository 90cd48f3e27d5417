package password

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newTestTable returns a table whose clock is far ahead, so that every change has settled.
func newTestTable(t *testing.T) (table *Table, path string, reports *[]string) {
	path = filepath.Join(t.TempDir(), "passwords")
	reports = new([]string)
	table = NewTable(path, func(err error) { *reports = append(*reports, err.Error()) })
	table.now = func() time.Time { return time.Now().Add(time.Hour) }
	return table, path, reports
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, table *Table, name string) int {
	t.Helper()
	list, err := table.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestTableFollowsFile(t *testing.T) {
	t.Parallel()
	table, path, reports := newTestTable(t)
	if n := count(t, table, "alice"); n != 0 {
		t.Errorf("missing file: %d", n)
	}
	write(t, path, "alice::*:"+bcryptOfUU+"\n")
	if n := count(t, table, "alice"); n != 1 {
		t.Errorf("new file: %d", n)
	}
	write(t, path, "bob::*:broken\ncarol::*:"+bcryptOfUU+"\n")
	if a, b, c := count(t, table, "alice"), count(t, table, "bob"), count(t, table, "carol"); a != 0 || b != 0 || c != 1 {
		t.Errorf("file with a bad line: alice %d, bob %d, carol %d", a, b, c)
	}
	if len(*reports) != 1 || !strings.HasPrefix((*reports)[0], path+":1: ") {
		t.Errorf("reports %q", *reports)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if n := count(t, table, "carol"); n != 0 {
		t.Errorf("removed file: %d", n)
	}
}

func TestTableWaitsForWriter(t *testing.T) {
	t.Parallel()
	table, path, _ := newTestTable(t)
	write(t, path, "alice::*:"+bcryptOfUU+"\n")
	count(t, table, "alice")
	write(t, path, "bob::*:"+bcryptOfUU+"\n")
	changed := modified(t, path)
	table.now = func() time.Time { return changed.Add(settleTime / 2) }
	if n := count(t, table, "alice"); n != 1 {
		t.Errorf("half a table may have been read: %d", n)
	}
	table.now = func() time.Time { return changed.Add(settleTime) }
	if n := count(t, table, "bob"); n != 1 {
		t.Errorf("settled: %d", n)
	}
}

// modified is the time of the last change of the inode.
func modified(t *testing.T, path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(0, versionOf(info).ctime)
}

func TestTableOddFiles(t *testing.T) {
	t.Parallel()
	table, path, _ := newTestTable(t)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Lookup("alice"); err == nil {
		t.Error("a FIFO is read")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path, "alice::*:"+bcryptOfUU+"\n")
	if n := count(t, table, "alice"); n != 1 {
		t.Errorf("got %d", n)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if n := count(t, table, "alice"); n != 1 {
		t.Errorf("a file that cannot be read any more: %d", n)
	}
}

func TestAllSCRAM(t *testing.T) {
	t.Parallel()
	table, path, _ := newTestTable(t)
	for _, tt := range []struct {
		text string
		want bool
	}{
		{"", false},
		{"alice::*:" + bcryptOfUU + " " + vectors[5].secret + "\n", true},
		{"alice::*:" + vectors[5].secret + "\nbob::*:" + bcryptOfUU + "\n", false},
	} {
		write(t, path, tt.text)
		if got, err := table.AllSCRAM(); err != nil || got != tt.want {
			t.Errorf("%q: %v, %v", tt.text, got, err)
		}
	}
}
