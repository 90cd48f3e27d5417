package front

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"postrider/internal/logline"
)

// Our filter, and the one that fail2ban has for Dovecot, count those who guess passwords, and nobody else.
func TestFail2ban(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("fail2ban-regex")
	if err != nil {
		t.Skip("fail2ban is not installed, so the filters cannot be tried")
	}
	dir := t.TempDir() // fail2ban's own configuration and our filter
	if out, err := exec.Command("cp", "-RL", "/etc/fail2ban/.", dir).CombinedOutput(); err != nil {
		t.Skipf("the filters need the configuration that comes with fail2ban, which cannot be read: %v %s", err, out)
	}
	filter, err := os.ReadFile("../../etc/fail2ban/filter.d/postrider.conf")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "filter.d/postrider.conf"), filter, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "mail.log")
	if err := os.WriteFile(file, []byte(misdeeds(t)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, filter := range []string{"postrider", `dovecot[_daemon="postrider/(?:imapd|pop3d)"]`} {
		out, err := exec.Command(program, "-c", dir, file, filter).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if m := regexp.MustCompile(`(\d+) lines, \d+ ignored, (\d+) matched`).FindSubmatch(out); m == nil || string(m[1]) != "7" || string(m[2]) != "4" {
			t.Errorf("%s found %s, not 4 of 7 lines, in\n%s\n%s", filter, m, misdeeds(t), out)
		}
	}
}

// misdeeds is the log of seven clients, of which four have tried passwords or told theirs to everybody.
func misdeeds(t *testing.T) string {
	t.Helper()
	log := &logs{}
	for _, c := range []struct {
		protocol *Protocol
		connect  func(*rig) *client
		dialogue string
	}{
		{IMAP, (*rig).secure, "S: * OK *\nC: a LOGIN alice wrong\nS: a NO *\nC: b LOGOUT\nS: * BYE *\nS: b OK *"},
		{IMAP, (*rig).remote, "S: * OK *\nC: a LOGIN alice secret\nS: a NO *\nC: b LOGOUT\nS: * BYE *\nS: b OK *"},
		{IMAP, (*rig).remote, "S: * OK *\nC: b LOGOUT\nS: * BYE *\nS: b OK *"},
		{IMAP, (*rig).remote, "S: * OK *\nC: a STARTTLS\nS: a OK *\nC: b NOOP"},
		{IMAP, (*rig).secure, "S: * OK *\nC: a AUTHENTICATE PLAIN\nS: + \nC: *\nS: a BAD *\nC: b LOGOUT\nS: * BYE *\nS: b OK *"},
		{POP3, (*rig).secure, "S: +OK *\nC: AUTH PLAIN =\nS: -ERR [AUTH] *\nC: QUIT\nS: +OK *"},
		{POP3, (*rig).secure, "S: +OK *\nC: AUTH PLAIN =\nS: -ERR [AUTH] *\nC: AUTH PLAIN =\nS: -ERR [AUTH] *"},
	} {
		r := newRig(t, c.protocol, nil)
		r.server.deps.Log = logline.NewWriter(log, c.protocol.name+"d", logline.Syslog)
		k := c.connect(r)
		k.say(c.dialogue)
		k.Close()
		r.serving.Wait()
	}
	return log.String()
}
