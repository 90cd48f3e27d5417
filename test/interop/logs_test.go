//go:build interop

package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"postrider/test/suite"
)

// history makes one of each kind of log line that log readers count, and returns the log's path: three messages received
// (one to two users), four deliveries, one deferral, one bounce with its notice, one refusal, six failed logins.
func history(t *testing.T) string {
	t.Helper()
	s := start(t, "log_format = \"syslog\"\n[localdeliver]\nmin_backoff = \"1h\"\n[authd]\nfailure_delay = \"1ms\"\nmax_delay = \"1ms\"\n")
	s.MailTo("first", local("alice"), local("bob"))
	s.Mails("alice", 1)
	s.Mails("bob", 1)
	s.HomeFile("carol", ".forward", "no@@address\n", 0o600)
	id := s.MailTo("deferred", local("carol"))
	s.WaitLine(id, "status=deferred")

	s.Stop("localdeliver")
	c := s.Dial("smtp")
	c.Cmd(250, "EHLO client.example")
	id = c.Send(local("alice"), []string{local("bob")}, suite.Text("bounced"))
	c.Cmd(250, "MAIL FROM:<spammer@far.example>")
	c.Cmd(554, "RCPT TO:<x@far.example>")
	c.Cmd(221, "QUIT")
	s.File("etc/users", s.UserLine("alice")+s.UserLine("carol"))
	s.StartDaemon("localdeliver")
	s.WaitLine(id, "status=bounced")
	s.Mails("alice", 2)
	for range 2 {
		c := s.Dial("submissions")
		c.Cmd(250, "EHLO client.example")
		for range 3 {
			c.Cmd(535, "AUTH PLAIN AGFsaWNlAHdyb25n") // alice, wrong
		}
	}
	s.WaitLog(id + ": removed")
	s.Wait("all failures in the log", func() bool { return len(s.LogLines("authentication failed")) == 6 })
	path := filepath.Join(t.TempDir(), "mail.log")
	must(t, os.WriteFile(path, []byte(s.Log()), 0o644))
	return path
}

func TestPflogsumm(t *testing.T) {
	t.Parallel()
	pflogsumm := need(t, "pflogsumm", "pflogsumm")
	log := history(t)
	out := runs(t, "", pflogsumm, "--syslog-name=postrider", log)
	for what, want := range map[string]int{"received": 4, "delivered": 3, "forwarded": 0, "deferred": 1, "bounced": 1, "rejected": 1} {
		m := regexp.MustCompile(`(?m)^ +(\d+)k? +` + what + `\b`).FindStringSubmatch(out)
		if m == nil || m[1] != strconv.Itoa(want) {
			t.Errorf("%s: %q, not %d", what, m, want)
		}
	}
	contains(t, out, "unknown user", "Relay access denied", "alice@"+suite.Domain)
	if t.Failed() {
		t.Logf("%s\n%s", out, readFile(t, log))
	}
}

func TestFail2ban(t *testing.T) {
	t.Parallel()
	regex := need(t, "fail2ban-regex", "fail2ban")
	log := history(t)
	matched := func(out string) int {
		m := regexp.MustCompile(`(\d+) ignored, (\d+) matched, (\d+) missed`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("no counts in\n%s", out)
		}
		n, _ := strconv.Atoi(m[2])
		return n
	}
	out := runs(t, "", regex, log, `postfix[mode=auth, _daemon="postrider/smtpd"]`)
	if n := matched(out); n != 6 {
		t.Errorf("its postfix filter found %d failed logins, not 6:\n%s", n, out)
	}
	conf := t.TempDir() // fail2ban's own configuration and our filter
	if out, err := run(t, exec.Command("cp", "-RL", "/etc/fail2ban/.", conf)); err != nil {
		t.Skipf("no configuration of fail2ban: %v %s", err, out)
	}
	root, err := filepath.Abs("../..")
	must(t, err)
	filter := readFile(t, filepath.Join(root, "etc/fail2ban/filter.d/postrider.conf"))
	must(t, os.WriteFile(conf+"/filter.d/postrider.conf", []byte(filter), 0o644))
	out = runs(t, "", regex, "-c", conf, log, "postrider")
	if n := matched(out); n != 7 { // the refusal, too
		t.Errorf("our filter found %d lines, not 7:\n%s", n, out)
	}
	harmless := filepath.Join(conf, "harmless.log")
	var lines []string
	for line := range strings.Lines(readFile(t, log)) {
		if !strings.Contains(line, "authentication failed") && !strings.Contains(line, "reject:") {
			lines = append(lines, line)
		}
	}
	must(t, os.WriteFile(harmless, []byte(strings.Join(lines, "")), 0o644))
	if out, err := run(t, exec.Command(regex, "-c", conf, harmless, "postrider")); err == nil && matched(out) != 0 {
		t.Errorf("our filter matches harmless lines:\n%s", out)
	}
}
