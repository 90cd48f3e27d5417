package imapd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inMountNamespace runs the test again in a process with a mount namespace of its own, where it gets a small filesystem; it
// returns "" in the first process.
func inMountNamespace(t *testing.T) (dir string) {
	t.Helper()
	if os.Getenv("IMAPD_TEST_MOUNT") == "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		again.Env = append(os.Environ(), "IMAPD_TEST_MOUNT=1")
		again.SysProcAttr = namespaces()
		if err := (&exec.Cmd{Path: "/bin/true", SysProcAttr: namespaces()}).Run(); err != nil {
			t.Skipf("this test fills a filesystem of its own, and may make no namespace to mount it in: %v", err)
		}
		if out, err := again.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return ""
	}
	dir = t.TempDir()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=192k,nr_inodes=200"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// namespaces are those of a process that may mount: who is not root is root in one of users.
func namespaces() *syscall.SysProcAttr {
	if os.Getuid() == 0 {
		return &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	}
	self := func(id int) []syscall.SysProcIDMap { return []syscall.SysProcIDMap{{HostID: id, Size: 1}} }
	return &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: self(os.Getuid()), GidMappings: self(os.Getgid())}
}

// fill takes all blocks and all inodes that are left.
func fill(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "blocks"))
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	for i := 0; ; i++ {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return
		}
		f.Close()
	}
}

func TestFullDisk(t *testing.T) {
	dir := inMountNamespace(t)
	if dir == "" {
		return
	}
	s := newServerAt(t, dir)
	s.deliverSome(5)
	c := s.connect()
	c.dialogue(`
		C: a SELECT INBOX
		S: …
		S: …
		S: * 5 EXISTS
		S: * 5 RECENT
		S: …
		S: …
		S: …
		S: …
		S: …
		S: a OK …
		C: b CREATE to
		S: b OK …
	`)
	s.deliver("", "1000009.M1.h", "Subject: waits\n\nx\n")
	fill(t, filepath.Join(dir, "ballast"))
	c.dialogue(`
		C: c APPEND INBOX {10+}
		C: 0123456789
		S: c NO [OVERQUOTA] …
		C: d COPY 1:2 to
		S: d NO [OVERQUOTA] …
		C: e MOVE 1:2 to
		S: e NO [OVERQUOTA] …
		C: f STATUS to (MESSAGES)
		S: * STATUS to (MESSAGES 0)
		S: f OK …
		C: g STORE 2 +FLAGS (\Flagged)
		S: * 2 FETCH (FLAGS (\Flagged \Recent))
		S: g OK …
		C: h STORE 2 +FLAGS (new)
		S: h NO [OVERQUOTA] …
		C: i FETCH 1 BODY[TEXT]
		S: * 1 FETCH (FLAGS (\Seen \Recent) BODY[TEXT] {17}\r\nbody number 000\r\n)
		S: i OK …
		C: j CREATE other
		S: j NO [OVERQUOTA] …
		C: k SUBSCRIBE to
		S: k NO [OVERQUOTA] …
		C: l RENAME to there
		S: l OK …
		C: m STORE 5 +FLAGS.SILENT (\Deleted)
		S: m OK …
		C: n EXPUNGE
		S: * 5 EXPUNGE
		S: * 5 EXISTS
		S: * 4 RECENT
		S: n OK …
	`)
	if err := os.RemoveAll(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	c.dialogue(`
		C: o NOOP
		S: o OK …
		C: p FETCH 5 (UID BODY.PEEK[TEXT])
		S: * 5 FETCH (UID 6 BODY[TEXT] {3}\r\nx\r\n)
		S: p OK …
		C: q MOVE 1:2 there
		S: * OK [COPYUID … 1:2 1:2] Moved UIDs.
		S: * 2 EXPUNGE
		S: * 1 EXPUNGE
		S: * 2 RECENT
		S: q OK …
		C: r APPEND there {10+}
		C: 0123456789
		S: r OK [APPENDUID … 3] …
	`)
	if names := s.files("tmp/*"); len(names) > 0 {
		t.Errorf("left in tmp: %q", names)
	}
	if log := s.log.all(); !strings.Contains(log, "no space left") {
		t.Errorf("logged: %s", log)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	dir := inMountNamespace(t)
	if dir == "" {
		return
	}
	s := newServerAt(t, dir)
	s.deliverSome(3)
	s.connect().ok("SELECT INBOX")
	s.deliver("", "1000009.M1.h", "Subject: waits\n\nx\n")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	c := s.connect()
	c.dialogue(`
		C: a SELECT INBOX
		S: …
		S: …
		S: * 3 EXISTS
		S: * 0 RECENT
		S: …
		S: …
		S: …
		S: …
		S: …
		S: a OK …
		C: b FETCH 1 BODY[TEXT]
		S: * 1 FETCH (FLAGS (\Seen) BODY[TEXT] {17}\r\nbody number 000\r\n)
		S: * 1 FETCH (FLAGS ())
		S: b OK …
		C: c STORE 1 +FLAGS (\Deleted)
		S: c NO …
		C: d EXPUNGE
		S: d OK …
		C: e APPEND INBOX {10}
		S: e NO …
		C: f COPY 1 INBOX
		S: f NO …
		C: g MOVE 1 INBOX
		S: g NO …
		C: h CREATE x
		S: h NO …
		C: i UNSUBSCRIBE x
		S: i NO …
		C: j CLOSE
		S: j OK …
		C: k STATUS INBOX (MESSAGES UNSEEN)
		S: * STATUS INBOX (MESSAGES 3 UNSEEN 3)
		S: k OK …
	`)
}
