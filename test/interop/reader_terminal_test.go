//go:build interop

package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/test/suite"
)

// terminal is a program on a terminal: the only window of a tmux server of its own.
type terminal struct {
	t      *testing.T
	tmux   string
	socket string
}

// newTerminal starts a program with a home of its own.
func newTerminal(t *testing.T, home string, env []string, program ...string) *terminal {
	t.Helper()
	dir, err := os.MkdirTemp("", "prtty") // the path of a socket must be short
	must(t, err)
	x := &terminal{t: t, tmux: need(t, "tmux", "tmux"), socket: filepath.Join(dir, "tmux")}
	args := []string{"-u", "new-session", "-d", "-x", "140", "-y", "40"}
	environment := append([]string{"env", "-u", "TMUX", "-u", "EDITOR", "-u", "VISUAL", "HOME=" + home, "TERM=screen", "LC_ALL=C.UTF-8"}, env...)
	// The server answers with the program's process.
	pid, err := x.command(append(append(args, "-P", "-F", "#{pane_pid}"), append(environment, program...)...)...)
	if err != nil {
		t.Fatalf("tmux: %v: %s", err, pid)
	}
	t.Cleanup(func() {
		if t.Failed() {
			if screen, err := x.command("capture-pane", "-p"); err == nil {
				t.Logf("%s shows\n%s", program[0], screen)
			}
		}
		x.command("kill-server")
		suite.Wait(t, "the program's end", func() bool { // it may still write to its home
			_, err := os.Stat("/proc/" + strings.TrimSpace(pid))
			return err != nil
		})
		os.RemoveAll(dir)
	})
	return x
}

func (x *terminal) command(args ...string) (string, error) {
	out, err := exec.Command(x.tmux, append([]string{"-S", x.socket, "-f", "/dev/null"}, args...)...).CombinedOutput()
	return string(out), err
}

// keys presses keys, by tmux's names.
func (x *terminal) keys(names ...string) {
	x.t.Helper()
	args := []string{"send-keys", "--"}
	for _, name := range names {
		args = append(args, argument(name))
	}
	if out, err := x.command(args...); err != nil {
		x.t.Fatalf("%q: %v: %s", names, err, out)
	}
}

// argument protects a semicolon at the end, which for tmux would end its command.
func argument(text string) string {
	if before, ok := strings.CutSuffix(text, ";"); ok {
		return before + `\;`
	}
	return text
}

// types types a text.
func (x *terminal) types(text string) {
	x.t.Helper()
	if out, err := x.command("send-keys", "-l", "--", argument(text)); err != nil {
		x.t.Fatalf("%q: %v: %s", text, err, out)
	}
}

// shows waits until all of the texts are on the screen.
func (x *terminal) shows(texts ...string) {
	x.t.Helper()
	x.until(fmt.Sprintf("%q on the screen", texts), func(screen string) bool {
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return false
			}
		}
		return true
	})
}

// hides waits until a text is not on the screen.
func (x *terminal) hides(text string) {
	x.t.Helper()
	x.until(fmt.Sprintf("a screen without %q", text), func(screen string) bool { return !strings.Contains(screen, text) })
}

// until waits for a screen.
func (x *terminal) until(what string, ok func(screen string) bool) {
	x.t.Helper()
	suite.Wait(x.t, what, func() bool {
		screen, err := x.command("capture-pane", "-p")
		if err != nil {
			x.t.Fatalf("the program ended while %s was waited for: %s", what, screen)
		}
		if ok(screen) {
			return true
		}
		time.Sleep(20 * time.Millisecond) // a look costs a process
		return false
	})
}

// ends waits until the program has ended.
func (x *terminal) ends() {
	x.t.Helper()
	suite.Wait(x.t, "the program's end", func() bool {
		_, err := x.command("has-session")
		return err != nil
	})
}
