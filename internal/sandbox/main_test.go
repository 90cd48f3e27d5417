package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// helper is the path of testdata/helper, built without cgo: what is tested here acts on all threads of a process, for
// good, and cannot be done to a test's own process.
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

// The uids of these tests, which need no entry anywhere.
const (
	daemonID = 61001
	aliceID  = 42420
	bobID    = 42421
	mailID   = 900
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("this test acts as several users, which only root can")
	}
}

// unprivileged is the credential of a process without any capability, whoever runs the tests.
func unprivileged() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	return &syscall.Credential{Uid: daemonID, Gid: daemonID}
}

// runSteps has the helper do steps and returns the outcome of each.
func runSteps(t *testing.T, attributes *syscall.SysProcAttr, steps ...string) map[string]string {
	t.Helper()
	command := exec.Command(helper, append([]string{"steps"}, steps...)...)
	command.SysProcAttr = attributes
	command.Dir = "/"
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("helper: %v\n%s", err, out)
	}
	outcomes := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		step, outcome, _ := strings.Cut(line, ": ")
		outcomes[step] = strings.TrimSpace(outcome)
	}
	return outcomes
}

func expect(t *testing.T, outcomes map[string]string, want map[string]string) {
	t.Helper()
	for step, outcome := range want {
		if outcomes[step] != outcome {
			t.Errorf("%s: %q, want %q", step, outcomes[step], outcome)
		}
	}
}

func statusOf(t *testing.T, outcomes map[string]string) map[string]string {
	t.Helper()
	var status map[string]string
	if err := json.Unmarshal([]byte(outcomes["status"]), &status); err != nil {
		t.Fatalf("status %q: %v", outcomes["status"], err)
	}
	return status
}

const noCaps = "0000000000000000"

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}
