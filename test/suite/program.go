package suite

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Nobody is a uid that is none of the suite's.
const Nobody = 65534

// Program is a call of one of the suite's programs.
type Program struct {
	Name  string
	Args  []string
	Stdin string
	UID   int // as which it runs, if the test is root; 0 = the test's own
}

// Result is what a program did.
type Result struct {
	Out, Err string
	Code     int
}

// Call runs a program to its end, at most a minute.
func (s *Suite) Call(p Program) Result {
	s.tb.Helper()
	cmd := exec.Command(filepath.Join(s.bin, p.Name), p.Args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LOGNAME=nobody") // of a uid that has no name
	cmd.Stdin = strings.NewReader(p.Stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if p.UID != 0 && os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(p.UID), Gid: uint32(p.UID)}}
	}
	check(s.tb, cmd.Start())
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		s.tb.Fatal(err)
	}
	return Result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// Sendmail runs sendmail with the suite's configuration, as a user without rights where the test may choose.
func (s *Suite) Sendmail(stdin string, args ...string) Result {
	s.tb.Helper()
	return s.Call(Program{Name: "sendmail", Args: append([]string{"-C", s.Config}, args...), Stdin: stdin, UID: Nobody})
}

// Path is the path of one of the suite's programs.
func (s *Suite) Path(program string) string { return filepath.Join(s.bin, program) }

// Crash ends one daemon by SIGKILL and waits until it is gone.
func (s *Suite) Crash(daemon string) {
	s.tb.Helper()
	s.Signal(daemon, syscall.SIGKILL)
	s.Gone(daemon)
}

// Reload sends SIGHUP to a daemon and waits until it says what came of it: "reloaded", or "reload:" and an error.
func (s *Suite) Reload(daemon, says string) {
	s.tb.Helper()
	count := func() int {
		n := 0
		for line := range strings.Lines(s.Log()) {
			if strings.Contains(line, "postrider/"+daemon+"[") && strings.Contains(line, says) {
				n++
			}
		}
		return n
	}
	before := count()
	s.Signal(daemon, syscall.SIGHUP)
	s.Wait(fmt.Sprintf("%s to say %q", daemon, says), func() bool { return count() > before })
}

// LogLines are the lines of the log that hold all the texts.
func (s *Suite) LogLines(texts ...string) []string {
	var found []string
next:
	for line := range strings.Lines(s.Log()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		found = append(found, strings.TrimSuffix(line, "\n"))
	}
	return found
}

// WaitLine waits for a line in the log that holds all the texts, and returns it.
func (s *Suite) WaitLine(texts ...string) string {
	s.tb.Helper()
	s.Wait(fmt.Sprintf("a line with %q in the log", texts), func() bool { return len(s.LogLines(texts...)) > 0 })
	return s.LogLines(texts...)[0]
}

// WaitQueue waits until a directory of a channel has n files, and returns them.
func (s *Suite) WaitQueue(via, state string, n int) []string {
	s.tb.Helper()
	s.Wait(fmt.Sprintf("%d files in %s/%s", n, via, state), func() bool { return len(s.Queue(via, state)) == n })
	return s.Queue(via, state)
}

// HomeFile writes a file into the home of a virtual user, as its owner.
func (s *Suite) HomeFile(user, name, text string, mode os.FileMode) {
	s.tb.Helper()
	path := filepath.Join(s.Mail, user, name)
	check(s.tb, os.WriteFile(path, []byte(text), mode))
	check(s.tb, os.Chmod(path, mode))
	if os.Getuid() == 0 {
		check(s.tb, os.Chown(path, s.IDs.Mailbox, s.IDs.Mailbox))
	}
}

// UserLine is the line of a virtual user in the users table.
func (s *Suite) UserLine(user string) string {
	return fmt.Sprintf("%s:%d:%d:%s::\n", user, s.IDs.Mailbox, s.IDs.Mailbox, filepath.Join(s.Mail, user))
}

// Processes are the pids of a program of the suite that has an argument.
func (s *Suite) Processes(program, argument string) (pids []int) {
	for pid, args := range s.processes() {
		if args[0] == s.Path(program) && slices.Contains(args, argument) {
			pids = append(pids, pid)
		}
	}
	return pids
}
