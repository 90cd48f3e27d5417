//go:build interop

package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postrider/test/suite"
)

func TestSwaks(t *testing.T) {
	t.Parallel()
	swaks := need(t, "swaks", "swaks")
	s := start(t, "")
	login := []string{"--auth-user", "alice", "--auth-password", suite.Password}
	verify := []string{"--tls-verify", "--tls-ca-path", s.CA}
	for i, c := range []struct {
		name, service string
		args          []string
		says          string // in the message
	}{
		{"plain", "smtp", nil, "with ESMTP id"},
		{"HELO", "smtp", []string{"--protocol", "SMTP"}, "with SMTP id"},
		{"STARTTLS", "smtp", append([]string{"--tls"}, verify...), "with ESMTPS id"},
		{"pipelining", "smtp", []string{"--pipeline"}, "with ESMTP id"},
		{"PLAIN", "submission", append(append([]string{"--tls", "--auth", "PLAIN"}, login...), verify...), "with ESMTPSA id"},
		{"LOGIN", "submissions", append(append([]string{"--tls-on-connect", "--auth", "LOGIN"}, login...), verify...), "with ESMTPSA id"},
		{"pipelining PLAIN", "submissions", append(append([]string{"--tls-on-connect", "--auth", "PLAIN", "--pipeline"}, login...), verify...), "with ESMTPSA id"},
		{"LMTP", "lmtp", []string{"--protocol", "LMTP"}, "with LMTP id"},
		{"XCLIENT is not offered", "smtp", []string{"--xclient-optional", "--xclient-addr", "192.0.2.1"}, "[127.0.0.1]"},
	} {
		args := append([]string{"--server", s.Addr[c.service], "--from", local("alice"), "--to", local("bob"), "--header", "Subject: " + c.name, "--body", "by swaks"}, c.args...)
		out, err := run(t, exec.Command(swaks, args...))
		if err != nil {
			t.Fatalf("%s: %v\n%s", c.name, err, out)
		}
		newest := newestWith(t, s.Mails("bob", i+1), "Subject: "+c.name+"\n")
		contains(t, newest, c.says, "by swaks")
	}
	out, err := run(t, exec.Command(swaks, "--server", s.Addr["smtp"], "--from", "a@b.example", "--to", "x@far.example"))
	if err == nil || !strings.Contains(out, "554 5.7.1 <x@far.example>: Relay access denied") {
		t.Errorf("relayed: %v\n%s", err, out)
	}
	out, err = run(t, exec.Command(swaks, append([]string{"--server", s.Addr["submissions"], "--tls-on-connect", "--to", local("bob"), "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "wrong"}, verify...)...))
	if err == nil || !strings.Contains(out, "535 5.7.8") {
		t.Errorf("wrong password: %v\n%s", err, out)
	}
}

// newestWith is the message that has a text.
func newestWith(t *testing.T, texts []string, text string) string {
	t.Helper()
	for _, m := range texts {
		if strings.Contains(m, text) {
			return m
		}
	}
	t.Fatalf("no message with %q", text)
	return ""
}

func TestCurl(t *testing.T) {
	t.Parallel()
	curl := need(t, "curl", "curl")
	s := start(t, "")
	mail := func(subject string) string {
		return "From: <" + local("alice") + ">\r\nSubject: " + subject + "\r\n\r\n.dots\r\n"
	}
	to := []string{"--cacert", s.CA, "-sS", "--mail-from", local("alice"), "--mail-rcpt", local("bob"), "-T", "-"}
	at := func(scheme, service string) []string {
		_, port, _ := net.SplitHostPort(s.Addr[service])
		return []string{"--connect-to", suite.Host + ":" + port + ":127.0.0.1:" + port, scheme + "://" + suite.Host + ":" + port}
	}
	login := []string{"-u", "alice:" + suite.Password}
	for i, args := range [][]string{
		append(to, at("smtp", "smtp")...),
		append(append([]string{"--ssl-reqd"}, to...), at("smtp", "smtp")...),
		append(append([]string{"--ssl-reqd"}, append(login, to...)...), at("smtp", "submission")...),
		append(append(login, to...), at("smtps", "submissions")...),
		append(append([]string{"--login-options", "AUTH=PLAIN", "--sasl-ir"}, append(login, to...)...), at("smtps", "submissions")...),
		append(append([]string{"--mail-rcpt-allowfails", "--mail-rcpt", local("nobody")}, append(login, to...)...), at("smtps", "submissions")...),
	} {
		subject := fmt.Sprint("curl ", i)
		runs(t, mail(subject), curl, args...)
		contains(t, newestWith(t, s.Mails("bob", i+1), "Subject: "+subject+"\n"), "\n\n.dots\n")
	}
	out, err := run(t, exec.Command(curl, append([]string{"-u", "alice:wrong", "--cacert", s.CA, "-sS", "--mail-from", local("alice"), "--mail-rcpt", local("bob"), "-T", "/dev/null"}, at("smtps", "submissions")...)...))
	if err == nil || !strings.Contains(strings.ToLower(out), "login denied") {
		t.Errorf("wrong password: %v %s", err, out)
	}
}

func TestPHP(t *testing.T) {
	t.Parallel()
	php := need(t, "php", "php-cli")
	s := start(t, "")
	path := s.Path("sendmail") + " -C " + s.Config + " -t -i"
	script := `exit(mail("` + local("bob") + `", "Gr\xc3\xbc\xc3\x9fe", "line\n.\nend\n", "From: ` + local("carol") + `\r\nBcc: ` + local("carol") + `", "-f` + local("alice") + `") ? 0 : 1);`
	runs(t, "", php, "-d", "sendmail_path="+path, "-r", script)
	text := s.Mails("bob", 1)[0]
	contains(t, text, "Return-Path: <"+local("alice")+">\n", "To: "+local("bob")+"\n", "From: "+local("carol")+"\n", "line\n.\nend\n")
	if strings.Contains(text, "Bcc") {
		t.Errorf("Bcc stays:\n%s", text)
	}
	s.Mails("carol", 1)
	refused := exec.Command(php, "-d", "sendmail_path="+path, "-r", `exit(mail("nobody@`+suite.Domain+`", "x", "x") ? 0 : 3);`)
	if out, err := run(t, refused); err == nil {
		t.Errorf("an unknown user: %v %s", err, out)
	}
}

func TestPython(t *testing.T) {
	t.Parallel()
	python := need(t, "python3", "python3")
	s := start(t, "")
	script := `
import smtplib, ssl, subprocess, sys
from email.message import EmailMessage
host, submission, submissions, smtp, ca, sendmail, config, password, domain = sys.argv[1:]
def message(subject):
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = "alice@" + domain, "bob@" + domain, subject
    m.set_content("Grüße\n.\nfrom Python\n", cte="8bit")
    return m
context = ssl.create_default_context(cafile=ca)
context.check_hostname = False
with smtplib.SMTP("127.0.0.1", int(submission)) as c:
    c.starttls(context=context)
    c.login("alice", password)
    c.send_message(message("starttls"))
with smtplib.SMTP_SSL("127.0.0.1", int(submissions), context=context) as c:
    c.user, c.password = "bob", password
    c.ehlo()
    c.auth("LOGIN", c.auth_login)
    c.send_message(message("implicit"), rcpt_options=["NOTIFY=FAILURE"], mail_options=["RET=HDRS", "BODY=8BITMIME"])
with smtplib.SMTP("127.0.0.1", int(smtp)) as c:
    c.sendmail("x@far.example", ["bob@" + domain], "Subject: bare line feeds\n\nbody\n")
    try:
        c.sendmail("x@far.example", ["x@far.example"], "Subject: x\n\nbody\n")
        sys.exit("relayed")
    except smtplib.SMTPRecipientsRefused as e:
        assert e.recipients["x@far.example"][0] == 554, e
with smtplib.LMTP("127.0.0.1", int(host)) as c:
    assert c.sendmail("x@far.example", ["bob@" + domain], "Subject: lmtp\n\nbody\n") == {}
subprocess.run([sendmail, "-C", config, "-t", "-oi"], input=message("sendmail").as_bytes(), check=True)
`
	port := func(service string) string { _, p, _ := net.SplitHostPort(s.Addr[service]); return p }
	runs(t, "", python, "-c", script, port("lmtp"), port("submission"), port("submissions"), port("smtp"), s.CA, s.Path("sendmail"), s.Config, suite.Password, suite.Domain)
	texts := s.Mails("bob", 5)
	for _, subject := range []string{"starttls", "implicit", "sendmail"} {
		contains(t, newestWith(t, texts, "Subject: "+subject+"\n"), "\n\nGrüße\n.\nfrom Python\n")
	}
}

func TestMutt(t *testing.T) {
	t.Parallel()
	mutt, tmux := need(t, "mutt", "mutt"), need(t, "tmux", "tmux")
	s := start(t, "")
	rc := filepath.Join(s.Dir, "muttrc")
	must(t, os.WriteFile(rc, []byte(fmt.Sprintf("set sendmail=\"%s -C %s -oem -oi\"\nset use_envelope_from=yes\nset from=%s\nset dsn_notify=failure,delay\nset dsn_return=hdrs\n"+
		"set mbox_type=Maildir\nset copy=no\nset quit=yes\nset move=no\nset header_cache=\"\"\nset tmpdir=%s\nset folder=%s\n", s.Path("sendmail"), s.Config, local("carol"), s.Dir, s.Dir)), 0o644))
	runs(t, "Grüße\n.\nby mutt\n", mutt, "-n", "-F", rc, "-s", "Sent by mutt", "-c", local("alice"), "--", local("bob"))
	text := s.Mails("bob", 1)[0]
	contains(t, text, "Return-Path: <"+local("carol")+">\n", "Subject: Sent by mutt\n", "by mutt\n")
	s.Mails("alice", 1)
	if _, err := run(t, exec.Command(mutt, "-n", "-F", rc, "-s", "x", "--", local("nobody"))); err == nil {
		t.Error("mutt was not told that nobody is not there")
	}

	socket := filepath.Join(s.Dir, "tmux") // a server of our own
	terminal := func(args ...string) string {
		out, err := run(t, exec.Command(tmux, append([]string{"-S", socket, "-f", "/dev/null"}, args...)...))
		if err != nil {
			t.Fatalf("tmux %q: %v %s", args, err, out)
		}
		return out
	}
	terminal("new-session", "-d", "-x", "120", "-y", "30", "env", "TERM=screen", mutt, "-n", "-F", rc, "-f", s.Mailbox("bob"))
	t.Cleanup(func() { exec.Command(tmux, "-S", socket, "kill-server").Run() })
	screen := func(text string) {
		t.Helper()
		s.Wait(fmt.Sprintf("%q on the screen", text), func() bool { return strings.Contains(terminal("capture-pane", "-p"), text) })
	}
	screen("Sent by mutt")
	terminal("send-keys", "Enter")
	screen("by mutt")
	terminal("send-keys", "q")
	screen("Sent by mutt")
	s.MailTo("another one", local("bob")) // while the mailbox is open
	terminal("send-keys", "Down")
	screen("another one")
	terminal("send-keys", "q")
	s.Wait("mutt to mark the message as read", func() bool {
		read, _ := filepath.Glob(s.Mailbox("bob") + "/cur/*:2,S")
		return len(read) == 1
	})
	s.Mails("bob", 2)
}
