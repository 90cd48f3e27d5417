package mailstore

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAppendMany: of the messages of one command one file is open at a time, and all get their UIDs together.
func TestAppendMany(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	a, err := s.Append("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for i := range 50 {
		m, err := a.Create(Seen, nil, time.Unix(1e9, 0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(m, "message %d\r\n\r", i); err != nil {
			t.Fatal(err)
		}
	}
	if n := openIn(t, s.root+"/tmp"); n != 1 {
		t.Errorf("%d files are open", n)
	}
	_, uids, err := a.Commit(t.Context())
	if err != nil || len(uids) != 50 || uids[49] != uids[0]+49 {
		t.Fatal(uids, err)
	}
	names, err := filepath.Glob(s.root + "/cur/*,S=11,W=12:2,S")
	if err != nil || len(names) != 10 { // of one digit
		t.Errorf("%q, %v", names, err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || info.Size() != 11 || info.ModTime().Unix() != 1e9 {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
}

// openIn counts the files of a directory that the process has open.
func openIn(t *testing.T, dir string) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, dir+"/") {
			n++
		}
	}
	return n
}
