package authd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestTextFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users")
	const before = "# users\n\nAlice:1000\n alice@example.org : x\nbob:1:l\nbob:2:m\nweird line"
	if err := os.WriteFile(path, []byte(before), 0o640); err != nil {
		t.Fatal(err)
	}
	f, err := openText(path, attributes{})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.find("alice"); len(got) != 1 || got[0] != 2 {
		t.Errorf("alice is in lines %v", got)
	}
	if got := f.find("ALICE@example.org"); len(got) != 1 || got[0] != 3 {
		t.Errorf("alice@example.org is in lines %v", got)
	}
	if got := f.find("bob", "2"); len(got) != 1 || got[0] != 5 {
		t.Errorf("bob's second is in lines %v", got)
	}
	f.remove(f.find("bob"))
	f.set(f.find("alice"), "alice:2000")
	f.set(f.find("carol"), "carol:3000")
	if err := f.save(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	const want = "# users\n\nalice:2000\n alice@example.org : x\nweird line\ncarol:3000\n"
	if err != nil || string(b) != want {
		t.Errorf("got %q, %v", b, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

func TestTextFileOfAnotherOwner(t *testing.T) {
	t.Parallel()
	uid, gid := 61001, 61002
	if os.Getuid() != 0 { // who may give files to no other user, and to groups of his own
		groups, err := os.Getgroups()
		if err != nil {
			t.Fatal(err)
		}
		uid, gid = os.Getuid(), append([]int{os.Getgid()}, groups...)[len(groups)]
	}
	path := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(path, []byte("x\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	f, err := openText(path, attributes{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.save(); err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil || int(st.Uid) != uid || int(st.Gid) != gid || st.Mode&0o777 != 0o640 {
		t.Errorf("owner %d:%d, mode %o, %v", st.Uid, st.Gid, st.Mode, err)
	}
}

func TestTextFileBehindLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "real", "users"), []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "users")
	if err := os.Symlink("real/users", link); err != nil {
		t.Fatal(err)
	}
	f, err := openText(link, attributes{})
	if err != nil {
		t.Fatal(err)
	}
	f.set(nil, "y")
	if err := f.save(); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(link); err != nil || target != "real/users" {
		t.Errorf("the link is gone: %v", err)
	}
	if b, _ := os.ReadFile(link); string(b) != "x\ny\n" {
		t.Errorf("got %q", b)
	}
}

// An editor that does not know the lock has written the file between reading and replacing it.
func TestTextFileChangedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string) error{
		"in place": func(path string) error { return os.WriteFile(path, []byte("longer\n"), 0o600) },
		"same size": func(path string) error {
			return errors.Join(os.WriteFile(path, []byte("x\n"), 0o600), os.Chtimes(path, time.Time{}, time.Unix(1_800_000_000, 0)))
		},
		"replaced": func(path string) error {
			return errors.Join(os.Rename(path, path+"~"), os.WriteFile(path, []byte("y\n"), 0o600))
		},
		"removed": os.Remove,
		"created": nil,
	} {
		path := filepath.Join(t.TempDir(), "users")
		if change != nil {
			if err := os.WriteFile(path, []byte("x\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f, err := openText(path, attributes{mode: 0o600, uid: -1, gid: -1})
		if err != nil {
			t.Fatal(err)
		}
		if change == nil {
			change = func(path string) error { return os.WriteFile(path, nil, 0o600) }
		}
		if err := change(path); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(path)
		f.set(nil, "mine")
		if err := f.save(); err == nil {
			t.Errorf("%s: the change is lost", name)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s: %q has become %q", name, before, after)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

func TestOddTextFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "fifo"), dir} {
		if _, err := openText(path, attributes{}); err == nil {
			t.Errorf("%s is read", path)
		}
	}
	f, err := openText(filepath.Join(dir, "new"), attributes{mode: 0o640, uid: -1, gid: -1})
	if err != nil || f.text() != "" {
		t.Fatalf("missing file: %v", err)
	}
	f.set(nil, "x")
	if err := f.save(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "new")); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestReplaceFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "users")
	if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if os.Getuid() == 0 {
		defer actAsOther(t, filepath.Dir(dir), path)()
	}
	f, err := openText(path, attributes{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.save(); err == nil || !strings.Contains(err.Error(), "run this as the owner of "+dir) {
		t.Errorf("got %v", err)
	}
}

// actAsOther takes root's rights to files from this thread, which keeps the goroutine until they are given back. The other may read
// file, below dir.
func actAsOther(t *testing.T, dir, file string) (back func()) {
	t.Helper()
	if err := errors.Join(os.Chmod(dir, 0o711), os.Chmod(file, 0o644)); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	if err := unix.Setfsuid(61001); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setfsuid(0); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	}
}

func TestLockFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	var wg sync.WaitGroup
	inside, most := make(chan struct{}, 10), 0
	var mu sync.Mutex
	for range 4 {
		wg.Go(func() {
			unlock, err := lockFile(context.Background(), path)
			if err != nil {
				t.Error(err)
				return
			}
			inside <- struct{}{}
			mu.Lock()
			most = max(most, len(inside))
			mu.Unlock()
			<-inside
			unlock()
		})
	}
	wg.Wait()
	if most != 1 {
		t.Errorf("%d editors at once", most)
	}
	unlock, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := lockFile(ctx, path); err == nil || !strings.Contains(err.Error(), "another editor") {
		t.Errorf("got %v", err)
	}
}
