//go:build interop

package interop

import (
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postrider/test/suite"
)

// unpack is Debian's Postfix, with what it needs and the host lacks, below a directory; nothing is installed.
const unpack = `set -e
mkdir -p debs/partial root
apt-get -qq -y --no-install-recommends -o Dir::Cache::archives="$PWD/debs" -o APT::Sandbox::User=root --download-only install postfix
for deb in debs/*.deb; do dpkg -x "$deb" root; done
for d in bin sbin lib lib64; do # links to usr on the host
  [ ! -d root/$d ] || { mkdir -p root/usr/$d; cp -a root/$d/. root/usr/$d/; rm -r root/$d; }
done
`

// serve is run in namespaces of its own: the host's files with Postfix's over them, and directories that it may write to.
const serve = `set -e
cd "$1"
mkdir -p top layers
mount -t tmpfs tmpfs layers # layers of an overlay may not contain each other
cp -a conf root layers/
mount -t overlay overlay -o lowerdir="$PWD/layers/conf:$PWD/layers/root:/" top
for place in var/spool/postfix var/lib/postfix; do mount -t tmpfs tmpfs top/$place; done
mkdir -p state && mount --bind state top/var/log
mount -t proc proc top/proc
mount --rbind /dev top/dev
chroot top sh -c 'postfix set-permissions >/dev/null 2>&1; postfix check && exec postfix start-fg'
`

const mainCF = `compatibility_level = 3.6
queue_directory = /var/spool/postfix
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
data_directory = /var/lib/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = /var/log/postfix.log
myhostname = relay.elsewhere.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = none
message_size_limit = 20000000
minimal_backoff_time = 1s
queue_run_delay = 1s
relayhost = [127.0.0.1]:%s
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = %s
smtp_tls_CAfile = /etc/postfix/ca.pem
smtp_host_lookup = native
smtputf8_enable = yes
`

// masterCF is Debian's, without chroots, and with one listener.
const masterCF = `127.0.0.1:%s inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
`

// startPostfix runs Debian's Postfix as a relay to the suite's port 25 and returns its own address, and its log's path.
func startPostfix(t *testing.T, s *suite.Suite) (addr, log string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: runs Postfix in namespaces of its own")
	}
	need(t, "apt-get", "apt")
	dir := t.TempDir()
	prepare := exec.Command("sh", "-c", unpack)
	prepare.Dir = dir
	if out, err := run(t, prepare); err != nil {
		t.Skipf("Debian's Postfix cannot be had: %v: %.500s", err, out)
	}
	port := freePort(t)
	conf := filepath.Join(dir, "conf/etc")
	must(t, os.MkdirAll(conf+"/postfix", 0o755))
	for _, place := range []string{"var/spool/postfix", "var/lib/postfix", "var/log"} {
		must(t, os.MkdirAll(filepath.Join(dir, "conf", place), 0o755))
	}
	_, upstream, _ := net.SplitHostPort(s.Addr["smtp"])
	ca, err := os.ReadFile(s.CA)
	must(t, err)
	for name, text := range map[string]string{
		"postfix/main.cf": fmt.Sprintf(mainCF, upstream, suite.Host), "postfix/master.cf": fmt.Sprintf(masterCF, port), "postfix/ca.pem": string(ca),
		"passwd":        "root:x:0:0::/root:/bin/sh\npostfix:x:61901:61901::/var/spool/postfix:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
		"group":         "root:x:0:\npostfix:x:61901:\npostdrop:x:61902:\nnogroup:x:65534:\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\n",
	} {
		must(t, os.WriteFile(filepath.Join(conf, name), []byte(text), 0o644))
	}
	cmd := exec.Command("sh", "-c", serve, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("namespaces cannot be made here: %v", err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Kill() // the first process of its namespace: all others go with it
		<-ended
	})
	addr, log = "127.0.0.1:"+port, filepath.Join(dir, "state/postfix.log")
	suite.Wait(t, "Postfix", func() bool {
		select {
		case <-ended:
			t.Skipf("Postfix does not start here: %s", out.String())
		default:
		}
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	t.Cleanup(func() {
		if text, err := os.ReadFile(log); t.Failed() && err == nil {
			t.Logf("Postfix:\n%s", text)
		}
	})
	return addr, log
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

func TestPostfix(t *testing.T) {
	t.Parallel()
	s := start(t, "[smtpd]\nmax_recipients = 100\n")
	s.File("etc/domains", suite.Domain+" local\nlist.example virtual\n")
	s.File("etc/virtual", "@list.example carol\n")
	s.Reload("smtpd", "reloaded")
	s.Reload("localdeliver", "reloaded")
	addr, log := startPostfix(t, s)
	head := func(subject string) string {
		return "From: <sender@elsewhere.example>\r\nSubject: " + subject + "\r\nMessage-ID: <" + subject + "@elsewhere.example>\r\n\r\n"
	}
	send := func(subject, body string, to ...string) {
		t.Helper()
		must(t, smtp.SendMail(addr, nil, "sender@elsewhere.example", to, []byte(head(subject)+body)))
	}

	send("plain", ".dot\r\n..dots\r\nlast\r\n", local("bob"))
	plain := s.Mails("bob", 1)[0]
	contains(t, plain, "\n\n.dot\n..dots\nlast\n", "(using TLSv1.3 with cipher", "from relay.elsewhere.example (", "SMTPS id", "Return-Path: <sender@elsewhere.example>")

	eight := strings.Repeat("Grüße \xff\xfe aus Latin-1\r\n", 2000)
	send("eight", eight, local("bob"))
	long := strings.Repeat("long ", 1000) + "\r\n"
	send("long", long, local("bob"))
	texts := s.Mails("bob", 3)
	contains(t, newestWith(t, texts, "Subject: eight\n"), "\n\n"+strings.ReplaceAll(eight, "\r", ""))
	folded := newestWith(t, texts, "Subject: long\n")
	if got := strings.ReplaceAll(strings.ReplaceAll(folded[strings.Index(folded, "\n\n"):], "\n ", ""), "\n", ""); got != strings.TrimSuffix(long, "\r\n") {
		t.Errorf("a long line came as %d octets of %d", len(got), len(long)-2)
	}

	var many []string
	for i := range 250 {
		many = append(many, fmt.Sprintf("member%d@list.example", i))
	}
	send("many", "to many\r\n", append(many, local("alice"))...)
	s.Wait("all of the many", func() bool { return strings.Count(readFile(t, log), "status=sent") >= 3+251 })
	if n := len(s.Mails("alice", 1)); n != 1 {
		t.Error(n)
	}

	// A refusal and the sender's wishes travel through.
	c, err := smtp.Dial(addr)
	must(t, err)
	defer c.Close()
	must(t, c.Hello("client.example"))
	command := func(code int, format string, args ...any) {
		t.Helper()
		id, err := c.Text.Cmd(format, args...)
		must(t, err)
		c.Text.StartResponse(id)
		defer c.Text.EndResponse(id)
		if _, _, err := c.Text.ReadResponse(code); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
	}
	command(250, "MAIL FROM:<%s> RET=HDRS ENVID=through", local("alice"))
	command(250, "RCPT TO:<%s> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig@elsewhere.example", local("bob"))
	command(250, "RCPT TO:<%s> NOTIFY=FAILURE", local("nobody"))
	command(354, "DATA")
	w := c.Text.DotWriter()
	fmt.Fprint(w, head("dsn")+"wishes\r\n")
	must(t, w.Close())
	if _, _, err := c.Text.ReadResponse(250); err != nil {
		t.Fatal(err)
	}
	reports := strings.Join(s.Mails("alice", 3), "")
	contains(t, reports, "Subject: Successful mail delivery report", "Original-Envelope-Id: through", "Original-Recipient: rfc822; orig@elsewhere.example", // ours
		"Final-Recipient: rfc822; "+local("nobody"), "550 5.1.1") // Postfix's
	contains(t, s.Log(), "client=localhost[127.0.0.1]")
	for _, line := range strings.Split(readFile(t, log), "\n") {
		if strings.Contains(line, "status=deferred") || strings.Contains(line, "warning: ") && strings.Contains(line, "smtp[") {
			t.Errorf("Postfix had trouble: %s", line)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}
