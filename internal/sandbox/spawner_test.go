package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds everything that these tests wait for.
const patience = 20 * time.Second

var testLimits = Limits{FirstUID: 1000, MailboxUID: mailID, MailboxGID: mailID, Workers: 40, PerUID: 30}

// startSpawner starts a spawner under daemonID with the two capabilities.
func startSpawner(t *testing.T, limits Limits) (*Spawner, context.Context) {
	t.Helper()
	needRoot(t)
	return startSpawnerAs(t, &syscall.Credential{Uid: daemonID, Gid: daemonID}, limits)
}

func startSpawnerAs(t *testing.T, credential *syscall.Credential, limits Limits) (*Spawner, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	s, err := launch{program: helper, credential: credential}.start(ctx, limits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, ctx
}

// probe is what testdata/helper's worker says of itself.
type probe struct {
	Args, Env, FDs []string
	Dir            string
	Umask          int
	Status         map[string]string
	SetUID         []string
}

// startProbe starts a worker and hears it out.
func startProbe(t *testing.T, ctx context.Context, s *Spawner, uid, gid uint32) (*Worker, probe) {
	t.Helper()
	w, err := s.Start(ctx, uid, gid, 'p')
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Conn.Close() })
	var p probe
	w.Conn.SetDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(w.Conn).ReadBytes('\n')
	if err != nil {
		t.Fatalf("worker for uid %d: %v", uid, err)
	}
	if err := json.Unmarshal(line, &p); err != nil {
		t.Fatal(err)
	}
	return w, p
}

func await(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
}

func TestWorker(t *testing.T) {
	t.Setenv("LANG", "C.UTF-8")
	t.Setenv("TZ", "Europe/Berlin")
	t.Setenv("SECRET", "not for workers")
	s, ctx := startSpawner(t, testLimits)
	w, p := startProbe(t, ctx, s, aliceID, bobID)
	for name, want := range map[string]string{
		"Uid": strings.TrimSpace(strings.Repeat(fmt.Sprint(aliceID, " "), 4)),
		"Gid": strings.TrimSpace(strings.Repeat(fmt.Sprint(bobID, " "), 4)), "Groups": "",
		"CapInh": noCaps, "CapPrm": noCaps, "CapEff": noCaps, "CapAmb": noCaps,
		"NoNewPrivs": "1", "Seccomp": "2",
	} {
		if got := strings.Join(strings.Fields(p.Status[name]), " "); got != strings.Join(strings.Fields(want), " ") {
			t.Errorf("%s: %q, want %q", name, p.Status[name], want)
		}
	}
	want := probe{
		Args: []string{"probe", "an argument"},
		Env:  []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "TZ=Europe/Berlin"},
		Dir:  "/", Umask: 0o077, SetUID: []string{"EPERM", "EPERM", "EPERM"},
	}
	if !slices.Equal(p.Args, want.Args) || !slices.Equal(p.Env, want.Env) || p.Dir != want.Dir || p.Umask != want.Umask ||
		!slices.Equal(p.SetUID, want.SetUID) {
		t.Errorf("worker: %+v\nwant %+v", p, want)
	}
	if len(p.FDs) != 4 || p.FDs[0] != "0 /dev/null" || p.FDs[1] != "1 /dev/null" || p.FDs[3] != "3 socket" {
		t.Errorf("descriptors: %q", p.FDs)
	}
	w.Conn.Close()
	await(t, "end of worker", w.Done())
	if !w.Status().Exited() || w.Status().ExitStatus() != 7 {
		t.Errorf("status %v, want exit 7", w.Status())
	}
}

func TestSpawnerRefuses(t *testing.T) {
	s, ctx := startSpawner(t, testLimits)
	tests := []struct {
		uid, gid uint32
		kind     byte
	}{
		{0, 0, 'p'}, {33, 33, 'p'}, {999, 1000, 'p'}, {aliceID, 0, 'p'}, {aliceID, 8, 'p'},
		{daemonID, 33, 'p'}, {nobody, nobody, 'p'}, {unchanged, aliceID, 'p'}, {901, mailID, 'p'}, {aliceID, aliceID, 'x'},
	}
	for _, test := range tests {
		if w, err := s.Start(ctx, test.uid, test.gid, test.kind); err == nil {
			w.Conn.Close()
			t.Errorf("started %v", test)
		} else {
			wantErr(t, err, ErrRefused)
		}
	}
	_, p := startProbe(t, ctx, s, mailID, mailID)
	if !strings.HasPrefix(p.Status["Uid"], "900 900") {
		t.Errorf("mailbox user's worker: %s", p.Status["Uid"])
	}
}

func TestSpawnerLimits(t *testing.T) {
	limits := testLimits
	limits.Workers, limits.PerUID = 3, 2
	s, ctx := startSpawner(t, limits)
	first, _ := startProbe(t, ctx, s, aliceID, aliceID)
	startProbe(t, ctx, s, aliceID, aliceID)
	_, err := s.Start(ctx, aliceID, aliceID, 'p')
	wantErr(t, err, ErrBusy)
	startProbe(t, ctx, s, bobID, bobID)
	_, err = s.Start(ctx, bobID, bobID, 'p')
	wantErr(t, err, ErrBusy)

	first.Conn.Close()
	await(t, "end of worker", first.Done())
	startProbe(t, ctx, s, aliceID, aliceID)
}

// A worker is killed before it has taken on its uid, and after.
func TestKill(t *testing.T) {
	s, ctx := startSpawner(t, testLimits)
	for _, late := range []bool{false, true} {
		w, err := s.Start(ctx, aliceID, aliceID, 'h')
		if err != nil {
			t.Fatal(err)
		}
		if late {
			if _, err := w.Conn.Read(make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(w.PID, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		w.Conn.Close()
		if err := w.Kill(ctx); err != nil {
			t.Fatal(err)
		}
		await(t, "end of killed worker", w.Done())
		if w.Status().Signal() != syscall.SIGKILL {
			t.Errorf("late %v: status %v, want SIGKILL", late, w.Status())
		}
		if err := w.Kill(ctx); err != nil {
			t.Errorf("kill of an ended worker: %v", err)
		}
	}
}

// A user who stops all of his processes, all the time, holds up nobody else's worker, wherever a start of his own is
// hit.
func TestUserWhoStopsEverything(t *testing.T) {
	s, ctx := startSpawner(t, testLimits)
	hostile := helperCommand("stop-all")
	hostile.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: aliceID, Gid: aliceID}}
	if err := hostile.Start(); err != nil {
		t.Fatal(err)
	}
	defer hostile.Wait()
	defer hostile.Process.Kill()
	for range 20 {
		stopped, err := s.Start(ctx, aliceID, aliceID, 'h')
		if err != nil {
			t.Fatal(err)
		}
		stopped.Conn.Close()
		defer syscall.Kill(stopped.PID, syscall.SIGKILL)
		w, _ := startProbe(t, ctx, s, bobID, bobID)
		w.Conn.Close()
	}
}

// Descriptors on their way count against the uid of who sent them: where these are too many, nothing is started, and nothing ends.
func TestTooManyDescriptors(t *testing.T) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil || files.Max > 100_000 {
		t.Skipf("this test sends more descriptors than may be on their way, and %d may be: %v", files.Max, err)
	}
	s, ctx := startSpawner(t, testLimits)
	flood := helperCommand("flood")
	flood.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: daemonID, Gid: daemonID}}
	in, err := flood.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := flood.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := flood.Start(); err != nil {
		t.Fatal(err)
	}
	defer flood.Process.Kill()
	if text, err := bufio.NewReader(out).ReadString('\n'); text != "sent\n" {
		t.Fatalf("%q, %v", text, err)
	}
	_, err = s.Start(ctx, aliceID, aliceID, 'p')
	wantErr(t, err, unix.ETOOMANYREFS)
	in.Close()
	flood.Wait()
	for errors.Is(err, unix.ETOOMANYREFS) && ctx.Err() == nil { // until the kernel has cleaned up
		var w *Worker
		if w, err = s.Start(ctx, aliceID, aliceID, 'p'); err == nil {
			w.Conn.Close()
		}
	}
	wantErr(t, err, nil)
}

func TestSpawnerSurvivesSignals(t *testing.T) {
	s, ctx := startSpawner(t, testLimits)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if err := s.command.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	startProbe(t, ctx, s, aliceID, aliceID)
}

func TestEndOfSpawner(t *testing.T) {
	s, ctx := startSpawner(t, testLimits)
	w, _ := startProbe(t, ctx, s, aliceID, aliceID)
	s.command.Process.Kill()
	await(t, "gone", s.Gone())
	await(t, "worker given up", w.Done())
	_, err := s.Start(ctx, aliceID, aliceID, 'p')
	wantErr(t, err, ErrGone)
	if _, err := w.Conn.Write([]byte("x")); err != nil {
		t.Errorf("the worker ended with the spawner: %v", err)
	}
}

func TestEndOfManager(t *testing.T) {
	s, ctx := startSpawner(t, testLimits)
	w, _ := startProbe(t, ctx, s, aliceID, aliceID)
	s.Close()
	if !s.command.ProcessState.Success() {
		t.Errorf("spawner: %v", s.command.ProcessState)
	}
	if _, err := w.Conn.Write([]byte("x")); err != nil {
		t.Errorf("the worker ended with the spawner: %v", err)
	}
}

func TestMalformedRequestEndsSpawner(t *testing.T) {
	for _, packet := range []string{"x", strings.Repeat("x", requestSize), strings.Repeat("\x01", 4096)} {
		s, _ := startSpawner(t, testLimits)
		if _, err := s.conn.Write([]byte(packet)); err != nil {
			t.Fatal(err)
		}
		await(t, "gone", s.Gone())
		if s.command.ProcessState.ExitCode() != ExitIdentity {
			t.Errorf("spawner: %v", s.command.ProcessState)
		}
	}
}

func TestStartGivenUp(t *testing.T) {
	s, ctx := startSpawner(t, testLimits)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	for range 10 {
		if w, err := s.Start(canceled, aliceID, aliceID, 'p'); err == nil {
			w.Conn.Close()
		} else {
			wantErr(t, err, context.Canceled)
		}
	}
	startProbe(t, ctx, s, bobID, bobID)
}

func TestSpawnerNeedsItsRights(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := (launch{program: helper}).start(ctx, Limits{Workers: 1, PerUID: 1}); err == nil {
		t.Error("limits that allow root were taken")
	}
	if os.Getuid() == 0 {
		if _, err := (launch{program: helper}).start(ctx, testLimits); err == nil {
			t.Error("a spawner runs as root")
		}
		return
	}
	_, err := launch{program: helper}.start(ctx, testLimits)
	wantErr(t, err, os.ErrPermission)
}

func TestSingleUID(t *testing.T) {
	own, ownGroup := uint32(os.Getuid()), uint32(os.Getgid())
	credential := unprivileged()
	if credential != nil {
		own, ownGroup = credential.Uid, credential.Gid
	}
	s, ctx := startSpawnerAs(t, credential, Limits{SingleUID: true, Workers: 10, PerUID: 10})
	w, p := startProbe(t, ctx, s, own, ownGroup)
	if !strings.HasPrefix(p.Status["Uid"], fmt.Sprint(own)) || p.Status["CapPrm"] != noCaps || p.Status["Seccomp"] != "2" {
		t.Errorf("worker: %v", p.Status)
	}
	_, err := s.Start(ctx, own+1, ownGroup, 'p')
	wantErr(t, err, ErrRefused)
	_, err = s.Start(ctx, 0, 0, 'p')
	wantErr(t, err, ErrRefused)
	w.Conn.Close()
	await(t, "end of worker", w.Done())

	hung, err := s.Start(ctx, own, ownGroup, 'h')
	if err != nil {
		t.Fatal(err)
	}
	if err := hung.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, "end of killed worker", hung.Done())
}
