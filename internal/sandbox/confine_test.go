package sandbox

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDropCapabilities(t *testing.T) {
	t.Parallel()
	status := statusOf(t, runSteps(t, nil, "nnp", "dropcaps", "status"))
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		if status[set] != noCaps {
			t.Errorf("%s: %s", set, status[set])
		}
	}
	if os.Getuid() == 0 && status["CapBnd"] != noCaps {
		t.Errorf("CapBnd: %s", status["CapBnd"])
	}
	if status["NoNewPrivs"] != "1" {
		t.Errorf("NoNewPrivs: %s", status["NoNewPrivs"])
	}
}

// The manager's steps: the spawner first, then nothing is left of what the unit gave.
func TestManagerKeepsNoCapability(t *testing.T) {
	needRoot(t)
	t.Parallel()
	attributes := &syscall.SysProcAttr{Credential: unprivileged(), AmbientCaps: identityCaps}
	outcomes := runSteps(t, attributes, "spawner", "dropcaps", "status")
	expect(t, outcomes, map[string]string{"spawner": "ok", "dropcaps": "ok"})
	status := statusOf(t, outcomes)
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		if status[set] != noCaps {
			t.Errorf("%s: %s", set, status[set])
		}
	}
}

// A process that takes on another identity and forgets the ambient set keeps its capabilities; ClearAmbient is what
// keeps them from the next program.
func TestClearAmbient(t *testing.T) {
	needRoot(t)
	t.Parallel()
	attributes := &syscall.SysProcAttr{Credential: unprivileged(), AmbientCaps: identityCaps}
	for _, clear := range []bool{false, true} {
		steps, want := []string{"status"}, "00000000000000c0"
		if clear {
			steps, want = []string{"clearambient", "status"}, noCaps
		}
		status := statusOf(t, runSteps(t, attributes, steps...))
		if status["CapAmb"] != want || status["CapPrm"] != "00000000000000c0" {
			t.Errorf("cleared %v: CapAmb %s, CapPrm %s", clear, status["CapAmb"], status["CapPrm"])
		}
	}
}

func TestNoCoreDumps(t *testing.T) {
	t.Parallel()
	attributes := &syscall.SysProcAttr{Credential: unprivileged()}
	expect(t, runSteps(t, attributes, "nocore", "limits"), map[string]string{"nocore": "ok", "limits": "core 0 dumpable 0"})
}

func TestNoExec(t *testing.T) {
	t.Parallel()
	expect(t, runSteps(t, nil, "exec=/bin/true", "noexec", "exec=/bin/false"), map[string]string{
		"exec=/bin/true": "ok", "noexec": "ok", "exec=/bin/false": "EPERM",
	})
}

func TestNoNetwork(t *testing.T) {
	t.Parallel()
	socket := shortDir(t) + "/s"
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	expect(t, runSteps(t, nil, "nonetwork", "listen=tcp,127.0.0.1:0", "listen=tcp,[::1]:0", "dial=udp,127.0.0.1:53",
		"dial=unix,"+socket), map[string]string{
		"nonetwork":              "ok",
		"listen=tcp,127.0.0.1:0": "EAFNOSUPPORT",
		"listen=tcp,[::1]:0":     "EAFNOSUPPORT",
		"dial=udp,127.0.0.1:53":  "EAFNOSUPPORT",
		"dial=unix," + socket:    "ok",
	})
}

func TestNoSockets(t *testing.T) {
	t.Parallel()
	socket := shortDir(t) + "/s"
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	expect(t, runSteps(t, nil, "dial=unix,"+socket, "nosockets", "listen=tcp,127.0.0.1:0", "listen=unix,"+socket+"2", "dial=udp,127.0.0.1:53",
		"raw=socketpair,1,2", "raw=connect,0,0"), map[string]string{
		"dial=unix," + socket:         "ok",
		"nosockets":                   "ok",
		"listen=tcp,127.0.0.1:0":      "EPERM",
		"listen=unix," + socket + "2": "EPERM",
		"dial=udp,127.0.0.1:53":       "EPERM",
		"raw=socketpair,1,2":          "EPERM",
		"raw=connect,0,0":             "EPERM",
	})
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestRestrict(t *testing.T) {
	if _, err := landlockABI(); err != nil {
		t.Skipf("this test tries what Landlock forbids, which this kernel does not have: %v", err)
	}
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"spool/new/", "spool/cur/", "mail/", "ro/", "out/"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"spool/new/a", "spool/new/b", "spool/new/c", "ro/f", "out/f", "log"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	rules := "restrict=rw:" + at("spool") + ",rw:" + at("mail") + ",rw:" + at("log") + ",ro:" + at("ro") +
		",ro:" + at("missing") + ",ro:" + at("ro/f/below") + ",x:/bin/true"
	inside := "rename=" + at("spool/new/a") + "," + at("spool/cur/a")
	across := "rename=" + at("spool/new/b") + "," + at("mail/b")
	linked := "link=" + at("spool/new/c") + "," + at("spool/cur/c")
	outward := "rename=" + at("spool/new/c") + "," + at("out/c")
	outcomes := runSteps(t, nil, rules, inside, across, linked, outward,
		"read="+at("ro/f"), "write="+at("ro/g"), "read="+at("out/f"), "write="+at("mail/new"), "write="+at("log"),
		"write="+at("missing"), "exec=/bin/true", "exec=/bin/false")
	expect(t, outcomes, map[string]string{
		inside: "ok", across: "ok", linked: "ok", outward: "EACCES",
		"read=" + at("ro/f"): "ok", "write=" + at("ro/g"): "EACCES", "read=" + at("out/f"): "EACCES",
		"write=" + at("mail/new"): "ok", "write=" + at("log"): "ok", "write=" + at("missing"): "EACCES",
		"exec=/bin/false": "EACCES",
	})
	if note := outcomes[rules]; !strings.HasPrefix(note, "ok ") ||
		!strings.Contains(note, at("missing")) || !strings.Contains(note, at("ro/f/below")) {
		t.Errorf("restrict: %q, want notes of the missing paths", note)
	}
}

// What the limits say must hold in the kernel for a process with all capabilities that asks it directly.
func TestLimitIdentitiesInKernel(t *testing.T) {
	needRoot(t)
	t.Parallel()
	want := map[string]string{
		"identities":              "ok",
		"raw=setuid,0":            "EPERM", // it is 0 already
		"raw=setuid,33":           "EPERM",
		"raw=setuid,999":          "EPERM",
		"raw=setuid,65534":        "EPERM",
		"raw=setuid,-1":           "EPERM",
		"raw=setuid,0x1000000000": "EPERM", // 0 to the kernel
		"raw=setgid,0":            "EPERM",
		"raw=setgid,8":            "EPERM",
		"raw=setreuid,1000,33":    "EPERM",
		"raw=setreuid,-1,33":      "EPERM",
		"raw=setregid,8,-1":       "EPERM",
		"raw=setresuid,-1,-1,0":   "EPERM",
		"raw=setresuid,33,-1,-1":  "EPERM",
		"raw=setresgid,-1,8,-1":   "EPERM",
		"raw=setfsuid,4242":       "EPERM",
		"raw=setfsgid,4242":       "EPERM",
		"raw=setgroups,1":         "EPERM",
		"raw=setgroups,0":         "ok",
		"raw=unshare,0x10000000":  "EPERM", // CLONE_NEWUSER
		"raw=clone,0x10000011":    "EPERM",
		"raw=clone3,0,0":          "ENOSYS",
		"raw=setns,-1,0":          "EPERM",
		"raw=setresgid,-1,901,-1": "ok",
		"raw=setresuid,-1,-1,-1":  "ok",
		"raw=setresuid,900,-1,-1": "ok",
		"raw=setresuid,1000,-1,1": "EPERM",
	}
	steps := []string{"identities"}
	for step := range want {
		if step != "identities" && want[step] != "ok" {
			steps = append(steps, step)
		}
	}
	steps = append(steps, "raw=setgroups,0", "raw=setresuid,-1,-1,-1", "raw=setresgid,-1,901,-1",
		"raw=setresuid,900,-1,-1")
	expect(t, runSteps(t, nil, steps...), want)
	for _, uid := range []string{"900", "1000", "4000000000"} {
		expect(t, runSteps(t, nil, "identities", "raw=setuid,"+uid), map[string]string{"raw=setuid," + uid: "ok"})
	}
}

func TestOtherSystemCallTables(t *testing.T) {
	if arch, _ := architecture(); arch != unix.AUDIT_ARCH_X86_64 {
		t.Skip("this test makes calls of x32, which only amd64 has")
	}
	t.Parallel()
	command := helperCommand("steps", "identities", "raw=x32getuid")
	err := command.Run()
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); err == nil || !ok || status.Signal() != syscall.SIGSYS {
		t.Errorf("x32 system call: %v, want SIGSYS", command.ProcessState)
	}
}
