package listen

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// helper is the path of testdata/helper, built without cgo as the programs of the suite are.
var helper string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // other uids execute it
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	helper = filepath.Join(dir, "helper")
	build := exec.Command("go", "build", "-o", helper, "./testdata/helper")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build helper: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// report is testdata/helper's.
type report struct {
	PID       int
	Names     map[string][]string
	Err       string
	Left      []string
	Env, Args []string
	FDs       []int
	Dir       string
	Umask     int
	NoFile    uint64
	Status    map[string]string
}

// shortDir is a directory whose sockets have short paths, and that other uids may enter.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runListen runs `postrider listen` with a daemon that reports, and returns its report.
func runListen(t *testing.T, options ...string) report {
	t.Helper()
	command := exec.Command(helper, slices.Concat([]string{"listen"}, options, []string{"--", helper, "report", "a b"})...)
	var errors strings.Builder
	command.Stderr = &errors
	out, err := command.Output()
	if err != nil {
		t.Fatalf("listen %q: %v: %s", options, err, errors.String())
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("report %q: %v", out, err)
	}
	if r.PID != command.Process.Pid {
		t.Errorf("the daemon has pid %d, listen had %d", r.PID, command.Process.Pid)
	}
	return r
}

// failListen runs `postrider listen` where it must fail, and returns what it says.
func failListen(t *testing.T, status int, options ...string) string {
	t.Helper()
	command := exec.Command(helper, slices.Concat([]string{"listen"}, options, []string{"--", helper, "report"})...)
	out, err := command.CombinedOutput()
	if err == nil || command.ProcessState.ExitCode() != status {
		t.Fatalf("listen %q: %v, want exit status %d; %s", options, err, status, out)
	}
	return string(out)
}

func TestListen(t *testing.T) {
	t.Setenv("LISTEN_FDS", "9")
	t.Setenv("LISTEN_PID", "1")
	dir := shortDir(t)
	deep := filepath.Join(dir, strings.Repeat("deep/", 40))
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	r := runListen(t, "-limit", "nofile=512", "-umask", "027", "-dir", dir, "-nnp",
		"-socket", "smtp=127.0.0.1:0", "-socket", "smtp=[::1]:0", "-socket", "submit=unix:"+dir+"/submit,mode=0666",
		"-socket", "ctl=unix:"+deep+"/ctl,mode=640", "-socket", "any=:0")
	if r.Err != "" || len(r.Left) != 0 {
		t.Errorf("inherited: %s, left %q", r.Err, r.Left)
	}
	if len(r.Names) != 4 || len(r.Names["smtp"]) != 2 || len(r.Names["submit"]) != 1 || len(r.Names["ctl"]) != 1 {
		t.Fatalf("sockets: %v", r.Names)
	}
	if !strings.HasPrefix(r.Names["smtp"][0], "127.0.0.1:") || !strings.HasPrefix(r.Names["smtp"][1], "[::1]:") ||
		r.Names["submit"][0] != dir+"/submit" || !strings.HasPrefix(r.Names["any"][0], "[::]:") {
		t.Errorf("addresses: %v", r.Names)
	}
	if !slices.Equal(r.FDs, []int{3, 4, 5, 6, 7}) {
		t.Errorf("descriptors: %v", r.FDs)
	}
	if r.NoFile != 512 || r.Umask != 0o027 || r.Dir != dir || r.Status["NoNewPrivs"] != "1" || r.Args[0] != "a b" {
		t.Errorf("report: %+v", r)
	}
	wantMode(t, dir+"/submit", 0o666)
	wantMode(t, deep+"/ctl", 0o640)
}

func wantMode(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|mode {
		t.Errorf("%s: mode %v, want %v", path, info.Mode(), mode)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("this test becomes other users, which only root can")
	}
}

func TestListenDropsPrivileges(t *testing.T) {
	needRoot(t)
	t.Parallel()
	const none, both, bind = "0000000000000000", "00000000000000c0", "0000000000000400"
	tests := []struct {
		options           []string
		uid, gid, groups  string
		caps, bounds, nnp string
	}{
		{[]string{"-user", "61001", "-group", "61002"}, "61001", "61002", "", none, none, "0"},
		{[]string{"-user", "61001", "-group", "61002", "-groups", "61003,8", "-nnp"}, "61001", "61002", "8 61003", none, none, "1"},
		{[]string{"-user", "61001", "-group", "61002", "-caps", "setuid,CAP_SETGID"}, "61001", "61002", "", both, both, "0"},
		{[]string{"-user", "61001", "-group", "61002", "-caps", "net_bind_service", "-nnp"}, "61001", "61002", "", bind, bind, "1"},
		{[]string{"-user", "nobody", "-groups", ""}, "65534", "65534", "", none, none, "0"},
		{[]string{"-caps", "setuid,setgid", "-nnp"}, "0", "0", "", both, both, "1"},
	}
	for _, test := range tests {
		s := runListen(t, test.options...).Status
		four := func(id string) string { return strings.Join([]string{id, id, id, id}, " ") }
		want := map[string]string{
			"Uid": four(test.uid), "Gid": four(test.gid), "Groups": test.groups,
			"CapEff": test.caps, "CapPrm": test.caps, "CapInh": test.caps, "CapAmb": test.caps, "CapBnd": test.bounds,
			"NoNewPrivs": test.nnp,
		}
		for name, value := range want {
			if s[name] != value {
				t.Errorf("%q: %s is %q, want %q", test.options, name, s[name], value)
			}
		}
	}
}

func TestListenOwner(t *testing.T) {
	needRoot(t)
	t.Parallel()
	dir := shortDir(t)
	runListen(t, "-user", "61001", "-group", "61001",
		"-socket", "a=unix:"+dir+"/a,mode=0660,owner=61002:61003", "-socket", "b=unix:"+dir+"/b,owner=:8")
	for name, want := range map[string][2]uint32{"/a": {61002, 61003}, "/b": {0, 8}} {
		info, err := os.Lstat(dir + name)
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		if stat.Uid != want[0] || stat.Gid != want[1] {
			t.Errorf("%s: owner %d:%d, want %d", name, stat.Uid, stat.Gid, want)
		}
	}
	wantMode(t, dir+"/a", 0o660)
	wantMode(t, dir+"/b", 0o600)
}

func TestListenStaleSocket(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	socket := "s=unix:" + dir + "/s"
	runListen(t, "-socket", socket)
	runListen(t, "-socket", socket) // the first one is stale by now

	command := exec.Command(helper, "listen", "-socket", socket, "--", helper, "serve")
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Wait()
	defer command.Process.Kill()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if said := failListen(t, exitFailed, "-socket", socket); !strings.Contains(said, "in use") {
		t.Errorf("a socket in use: %s", said)
	}
	wantMode(t, dir+"/s", 0o600)
}

func TestListenFails(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		status  int
		says    string
		options []string
	}{
		{exitFailed, "not a socket", []string{"-socket", "s=unix:" + dir + "/file"}},
		{exitFailed, "no such file", []string{"-socket", "s=unix:" + dir + "/missing/s"}},
		{exitFailed, "no such file", []string{"-socket", "s=unix:" + dir + strings.Repeat("/missing", 20) + "/s"}},
		{exitFailed, "too long", []string{"-socket", "s=unix:" + dir + "/" + strings.Repeat("n", 120)}},
		{exitFailed, "missing port", []string{"-socket", "s=127.0.0.1"}},
		{exitFailed, "no such file", []string{"-socket", "s=unix:" + dir + "/s", "-dir", dir + "/missing"}},
		{exitUsage, "no name", []string{"-socket", "127.0.0.1:25"}},
		{exitUsage, "absolute", []string{"-socket", "s=unix:s"}},
		{exitUsage, "octal", []string{"-socket", "s=unix:/s,mode=0999"}},
		{exitUsage, "for Unix", []string{"-socket", "s=127.0.0.1:0,mode=0600"}},
		{exitUsage, "unknown setting", []string{"-socket", "s=unix:/s,backlog=3"}},
		{exitUsage, "owner", []string{"-socket", "s=unix:/s,owner=no-such-user"}},
		{exitUsage, "unknown capability", []string{"-caps", "sys_admin"}},
		{exitUsage, "-user", []string{"-group", "0"}},
		{exitUsage, "-user", []string{"-user", "no-such-user"}},
		{exitUsage, "-group", []string{"-user", "61001"}},
		{exitUsage, "unknown limit", []string{"-limit", "files=3"}},
		{exitUsage, "not a number", []string{"-limit", "nofile=many"}},
		{exitUsage, "-groups", []string{"-user", "0", "-groups", "4294967295"}},
	}
	for _, test := range tests {
		if said := failListen(t, test.status, test.options...); !strings.Contains(said, test.says) {
			t.Errorf("%q: %q, want %q", test.options, said, test.says)
		}
	}
	if _, err := os.Lstat(dir + "/s"); err == nil {
		t.Error("the socket of a command that was not executed is still there")
	}
}

func FuzzParseSocket(f *testing.F) {
	f.Add("smtp=127.0.0.1:25")
	f.Add("submit=unix:/run/postrider/submit,mode=0666,owner=0:0")
	f.Add("a=[::1]:587")
	f.Add("=,=:")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSocket(text)
		if err == nil && (s.name == "" || (s.path == "") == (s.addr == "") || s.mode > 0o777) {
			t.Errorf("%q: %+v", text, s)
		}
	})
}
