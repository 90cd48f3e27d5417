// Package dovecottest runs Dovecot's programs (Debian's 2.3.19) for tests of other packages that compare with it.
package dovecottest

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"postrider/internal/usertest"
)

// The programs. A session's reads commands from its standard input, as if its user had just logged in.
const (
	IMAP  = "/usr/lib/dovecot/imap"
	POP3  = "/usr/lib/dovecot/pop3"
	Admin = "/usr/bin/doveadm"
)

// Need skips a test where the program is not installed.
func Need(t testing.TB, program string) {
	t.Helper()
	if _, err := os.Stat(program); err != nil {
		t.Skipf("this test compares with Dovecot, which is not installed: %v", err)
	}
}

// Command is the program with the configuration in the file conf, for a user whose home directory is named. Root's runs as
// usertest.Nobody, because Dovecot serves no root. What still runs at the end of the test, or after five minutes, is killed.
func Command(t testing.TB, program, conf, home string, args ...string) *exec.Cmd {
	t.Helper()
	Need(t, program)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, append([]string{"-c", conf}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+home, "USER=test", "TZ=UTC")
	usertest.Drop(cmd)
	return cmd
}
