package session

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/auth"
	"postrider/internal/session/handover"
	"postrider/internal/sockettest"
)

// The uids of these tests, which need no entry anywhere.
const (
	authdID = 61005
	aliceID = 42420
	bobID   = 42421
)

// build builds testdata/helper, without cgo, as the daemons are: what it does acts on all threads of a process.
func build(t *testing.T, tags string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // other uids execute it
		t.Fatal(err)
	}
	command := exec.Command("go", "build", "-buildvcs=false", "-tags", tags, "-o", dir+"/helper", "./testdata/helper")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build helper: %v\n%s", err, out)
	}
	return dir + "/helper"
}

// host is an authd under its uid with the users alice and bob under theirs, or, without root, all under one.
type host struct {
	t       *testing.T
	program string
	dir     string
	setup   map[string]any
	authd   *exec.Cmd
	log     *os.File // a file: what outlives authd writes into it, too
	client  *auth.Client
}

func newHost(t *testing.T, tags string) *host {
	t.Helper()
	h := &host{t: t, program: build(t, tags)}
	h.dir = filepath.Dir(h.program)
	var err error
	h.log, err = os.Create(h.dir + "/log")
	h.check(err)
	t.Cleanup(func() {
		if h.log.Close(); t.Failed() {
			text, _ := os.ReadFile(h.dir + "/log")
			t.Logf("log:\n%s", text)
		}
	})
	root := os.Getuid() == 0
	users := map[string]auth.User{}
	for name, id := range map[string]int{"alice": aliceID, "bob": bobID} {
		if !root {
			id = os.Getuid()
		}
		u := auth.User{Name: name, UID: uint32(id), GID: uint32(id), Home: filepath.Join(h.dir, "home", name)}
		users[name] = u
		for _, dir := range []string{u.Home, u.Home + "/Maildir", u.Home + "/Maildir/cur"} {
			h.mkdir(dir, id, 0o777) // Unix modes would let everybody in
		}
		h.check(os.WriteFile(u.Home+"/Maildir/cur/1.a.b", []byte("mail"), 0o666))
		h.check(os.Chmod(u.Home+"/Maildir/cur/1.a.b", 0o666))
	}
	h.mkdir(h.dir+"/run", authdID, 0o755)
	h.setup = map[string]any{"Single": !root, "MailRoot": "/nonexistent", "Users": users}
	h.client = &auth.Client{Path: h.dir + "/run/auth", Timeout: patience}
	h.start()
	t.Cleanup(h.kill)
	return h
}

func (h *host) check(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) mkdir(path string, id int, mode os.FileMode) {
	h.t.Helper()
	h.check(os.MkdirAll(path, 0o755))
	h.check(os.Chmod(path, mode))
	if os.Getuid() == 0 {
		h.check(os.Chown(path, id, id))
	}
}

// start starts authd and waits until it is ready.
func (h *host) start() {
	h.t.Helper()
	setup, err := json.Marshal(h.setup)
	h.check(err)
	os.Remove(h.client.Path)
	h.authd = exec.Command(h.program, h.client.Path, string(setup))
	h.authd.Stderr = h.log
	h.authd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		h.authd.SysProcAttr.Credential = &syscall.Credential{Uid: authdID, Gid: authdID}
		h.authd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SETUID, unix.CAP_SETGID}
	}
	out, err := h.authd.StdoutPipe()
	h.check(err)
	h.check(h.authd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		h.t.Fatalf("authd says %q, %v", line, err)
	}
}

// kill ends authd by force.
func (h *host) kill() {
	h.client.Close()
	h.authd.Process.Kill()
	h.authd.Wait()
}

// login is a session by way of authd.
type login struct {
	*bufio.Reader
	t    *testing.T
	conn *net.UnixConn
	pid  int
}

func (h *host) login(name string) *login {
	h.t.Helper()
	x := h.client.Start(h.t.Context(), auth.Request{Service: "imap", Mechanism: "PLAIN", Initial: []byte("\x00" + name + "\x00secret"), Session: true})
	defer x.Abort()
	if _, done, u, err := x.Step(nil); !done || err != nil || u.Name != name {
		h.t.Fatalf("login of %s: %v, %+v, %v", name, done, u, err)
	}
	ours, theirs := sockettest.Pair(h.t)
	file, err := theirs.File()
	h.check(err)
	defer file.Close()
	defer theirs.Close()
	pid, err := x.Open(h.t.Context(), auth.Session{ID: "x"}, file)
	if err != nil {
		h.t.Fatalf("session of %s: %v", name, err)
	}
	ours.SetDeadline(time.Now().Add(patience))
	h.check(handover.Relay(ours))
	return &login{Reader: bufio.NewReader(ours), t: h.t, conn: ours, pid: pid}
}

// try has the session process try something.
func (l *login) try(what string) string {
	l.t.Helper()
	fmt.Fprintln(l.conn, what)
	answer, err := l.ReadString('\n')
	if err != nil {
		l.t.Fatalf("%s: %v", what, err)
	}
	return strings.TrimSpace(answer)
}

// status is a process as the kernel sees it.
func status(t *testing.T, pid int) map[string]string {
	t.Helper()
	fields := map[string]string{}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, task := range tasks {
		b, _ := os.ReadFile(task)
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			value = strings.Join(strings.Fields(value), " ")
			if old, ok := fields[name]; ok && old != value && slices.Contains(promised, name) {
				t.Errorf("threads differ in %s: %s, %s", name, old, value)
			}
			fields[name] = value
		}
	}
	return fields
}

var promised = []string{"CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups"}

func landlock() bool {
	_, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	return errno == 0
}

// TestKernelPromises: what a session process is, and what it cannot do, whatever its engine tries.
func TestKernelPromises(t *testing.T) {
	t.Parallel()
	h := newHost(t, "")
	alice := h.login("alice")
	want := map[string]string{"CapInh": noCaps, "CapPrm": noCaps, "CapEff": noCaps, "CapAmb": noCaps, "NoNewPrivs": "1", "Seccomp": "2", "Groups": ""}
	if os.Getuid() == 0 {
		want["Uid"], want["Gid"] = four(aliceID), four(aliceID)
	} else {
		delete(want, "Groups")
	}
	got := status(t, alice.pid)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	if score := oomScore(t, alice.pid); score < 200 {
		t.Errorf("oom_score_adj is %d", score)
	}
	home := h.dir + "/home/alice"
	socket := h.dir + "/socket" // as a user's D-Bus would listen, which executes what it is told to
	l, err := net.Listen("unix", socket)
	h.check(err)
	defer l.Close()
	h.check(os.Chmod(socket, 0o666))
	for what, want := range map[string]string{
		"list " + home:                         "ok",
		"read " + home + "/Maildir/cur/1.a.b":  "ok",
		"write " + home + "/Maildir/cur/2.a.b": "ok",
		"exec /bin/true":                       "EPERM",
		"exec /proc/self/exe":                  "EPERM",
		"listen tcp 127.0.0.1:0":               "EPERM",
		"dial tcp 127.0.0.1:25":                "EPERM",
		"dial udp [::1]:53":                    "EPERM",
		"dial unix " + socket:                  "EPERM",
		"pair":                                 "EPERM",
		"setuid":                               "EPERM",
	} {
		if got := alice.try(what); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
}

func oomScore(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	if err != nil {
		t.Fatal(err)
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return score
}

const noCaps = "0000000000000000"

func four(id int) string { return strings.TrimSpace(strings.Repeat(fmt.Sprint(id, " "), 4)) }

// TestOthersMail: where Unix modes would let a user at another's mail, Landlock does not, and it is Landlock that does not.
func TestOthersMail(t *testing.T) {
	if !landlock() {
		t.Skip("this test tries what Landlock forbids, which this kernel does not have")
	}
	t.Parallel()
	for tags, want := range map[string]string{"": "EACCES", "unconfined": "ok"} {
		h := newHost(t, tags)
		alice := h.login("alice")
		for _, what := range []string{"list %s/home/bob", "list %s/home/bob/Maildir/cur", "read %s/home/bob/Maildir/cur/1.a.b",
			"write %s/home/bob/Maildir/cur/1.a.b", "write %s/home/bob/Maildir/cur/2.a.b", "read /etc/passwd", "list /proc"} {
			if strings.HasPrefix(what, "write") && os.Getuid() != 0 {
				continue // bob is alice
			}
			line := what
			if strings.Contains(what, "%s") {
				line = fmt.Sprintf(what, h.dir)
			}
			if got := alice.try(line); got != want {
				t.Errorf("built with %q: %s: %s, want %s", tags, line, got, want)
			}
		}
	}
}

// TestSessionsSurviveAuthd: no session notices that authd is killed, or started again; their process ends with the last.
func TestSessionsSurviveAuthd(t *testing.T) {
	t.Parallel()
	h := newHost(t, "")
	alice := h.login("alice")
	second := h.login("alice")
	if alice.pid != second.pid {
		t.Errorf("two processes: %d, %d", alice.pid, second.pid)
	}
	h.kill()
	if got := alice.try("nothing"); got != "ok" {
		t.Errorf("without authd: %s", got)
	}
	h.start()
	third := h.login("alice")
	if third.pid == alice.pid {
		t.Errorf("the old process took a session")
	}
	for _, l := range []*login{alice, second, third} {
		if got := l.try("list " + h.dir + "/home/alice"); got != "ok" {
			t.Errorf("afterwards: %s", got)
		}
	}
	alice.conn.Close()
	if got := second.try("nothing"); got != "ok" || !lives(alice.pid) {
		t.Errorf("the first end ends the other: %s", got)
	}
	second.conn.Close()
	for deadline := time.Now().Add(patience); lives(alice.pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the old process does not end")
		}
	}
	if got := third.try("nothing"); got != "ok" {
		t.Errorf("the new process: %s", got)
	}
}

// lives says whether a process is there and no zombie.
func lives(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// TestStoppedProcess: a user who stops the own session process holds up nobody else.
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("this test acts as several users, which only root can")
	}
	h := newHost(t, "")
	alice := h.login("alice")
	h.check(syscall.Kill(alice.pid, syscall.SIGSTOP))
	defer syscall.Kill(alice.pid, syscall.SIGKILL)
	bob := h.login("bob")
	if got := bob.try("list " + h.dir + "/home/bob"); got != "ok" {
		t.Errorf("bob: %s", got)
	}
}
