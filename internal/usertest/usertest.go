// Package usertest lets tests of other packages act as an ordinary user where root runs them: root may do everything, and
// there are programs that do nothing as root. Where an ordinary user runs them, they are that user's and nothing changes.
package usertest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Nobody is the uid, and the gid, that root takes.
const Nobody = 65534

// Run says that a test may go on as an ordinary user. For root it runs the test in a process of Nobody, and returns false.
func Run(t *testing.T) bool {
	t.Helper()
	if os.Getuid() != 0 {
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v", "-test.timeout=9m")
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "TMPDIR=/tmp", "HOME=/")
	Drop(cmd)
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil || !strings.Contains(string(out), "--- "):
		t.Errorf("as nobody: %v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("as nobody: %s", out)
	}
	return false
}

// Drop has a command of root's run as Nobody.
func Drop(cmd *exec.Cmd) {
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: Nobody, Gid: Nobody}}
	}
}

// Give gives root's file or directory, with all below it, to Nobody, and makes the way to it from the directory for temporary
// files passable.
func Give(t testing.TB, path string) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	for dir := filepath.Dir(path); dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil && info.Sys().(*syscall.Stat_t).Uid == 0 {
			err = os.Chmod(dir, info.Mode()|0o111)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, Nobody, Nobody)
	})
	if err != nil {
		t.Fatal(err)
	}
}
