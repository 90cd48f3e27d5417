package maildir

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/usertest"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	f, info, err := Open(path, os.O_WRONLY|os.O_CREATE)
	if err != nil || info.Mode() != 0o600 {
		t.Fatal(info, err)
	}
	f.Close()
	if err := errors.Join(os.Symlink(path, dir+"/link"), unix.Mkfifo(dir+"/fifo", 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"link": unix.ELOOP, "fifo": ErrNotRegular, "none": os.ErrNotExist, ".": ErrNotRegular} {
		if _, _, err := Open(dir+"/"+name, os.O_RDONLY); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestQuiet: who reads leaves no trace, and who may not do so reads all the same.
func TestQuiet(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	before := time.Unix(1000, 0)
	if err := errors.Join(os.WriteFile(path, []byte("x"), 0o644), os.Chtimes(path, before, before.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	f, _, err := Open(path, Quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if text, err := io.ReadAll(f); err != nil || string(text) != "x" || unix.Fstat(int(f.Fd()), &st) != nil || st.Atim.Sec != before.Unix() {
		t.Errorf("%q, %v, read at %v", text, err, st.Atim)
	}
}

func TestQuietOfOthers(t *testing.T) {
	t.Parallel()
	if !usertest.Run(t) {
		return
	}
	info, err := os.Stat("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	f, _, err := Open("/etc/passwd", Quiet)
	if err != nil {
		t.Fatalf("%v: %v", info.Mode(), err)
	}
	f.Close()
}
