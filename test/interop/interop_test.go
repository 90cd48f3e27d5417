//go:build interop

// Package interop has other people's programs send mail to the suite, take mail from it, answer its questions, and read what it
// writes: clients, servers, log readers, and servers that mean harm.
package interop

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"postrider/test/suite"
)

func TestMain(m *testing.M) {
	code := m.Run()
	suite.Cleanup()
	os.RemoveAll(unpacked.base)
	os.Exit(code)
}

// need finds a program, or, as root, installs the Debian package that has it; without it the test is skipped.
func need(t *testing.T, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getuid() != 0 {
		t.Skipf("needs %s (Debian: %s)", program, pkg)
	}
	out, err := apt(t, pkg)
	if path, missing := exec.LookPath(program); missing == nil {
		return path
	}
	t.Skipf("needs %s, and %s cannot be installed: %v: %.500s", program, pkg, err, out)
	return ""
}

// run runs a program to its end, at most two minutes, and returns what it wrote.
func run(t *testing.T, cmd *exec.Cmd) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	bounded := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	bounded.Stdin, bounded.Dir, bounded.SysProcAttr, bounded.WaitDelay = cmd.Stdin, cmd.Dir, cmd.SysProcAttr, 5*time.Second
	bounded.Env = append(append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"), cmd.Env...)
	out, err := bounded.CombinedOutput()
	return string(out), err
}

// runs is run for a program that must succeed.
func runs(t *testing.T, stdin string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := run(t, cmd)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return out
}

// start starts a suite, as root with a uid for each daemon, in which everybody has a password.
func start(t *testing.T, extra string) *suite.Suite {
	t.Helper()
	o := suite.Options{Extra: extra}
	if os.Getuid() == 0 {
		o.IDs = suite.Separated()
	}
	s := suite.Start(t, o)
	for _, user := range suite.Users {
		s.AddPassword(user)
	}
	return s
}

func local(user string) string { return user + "@" + suite.Domain }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// contains reports every text that is not in s.
func contains(t *testing.T, s string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(s, text) {
			t.Errorf("no %q in\n%s", text, s)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}
