//go:build interop

package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/test/suite"
)

// toMaildir is a delivery agent that puts its input into the Maildir that it is named.
const toMaildir = `#!/bin/sh
set -e
f=$(mktemp "$1/tmp/XXXXXXXXXX")
cat >"$f"
mv "$f" "$1/new/"
`

// newMaildir makes an empty one.
func newMaildir(t *testing.T) *maildir {
	t.Helper()
	m := &maildir{t, t.TempDir(), os.Getuid()}
	for _, d := range []string{"tmp", "new", "cur"} {
		must(t, os.Mkdir(filepath.Join(m.root, d), 0o700))
	}
	return m
}

// hasAll fails if a Maildir has not just these messages.
func (m *maildir) hasAll(what string, texts []string) {
	m.t.Helper()
	mails := m.mails("")
	if len(mails) != len(texts) {
		m.t.Fatalf("%s: %d messages, not %d:%s", what, len(mails), len(texts), m)
	}
	for _, text := range texts {
		if end := lf(text); !slices.ContainsFunc(mails, func(mail mailFile) bool { return strings.HasSuffix(mail.text, end) }) {
			m.t.Fatalf("%s: no %q:%s", what, text, m)
		}
	}
}

// fetch is a run of fetchmail.
type fetch struct {
	service string
	options string
	rc      int // what it answers: 1 is no mail
}

func fetchWithFetchmail(a *account) {
	t := a.t
	fetchmail, dir := need(t, "fetchmail", "fetchmail"), t.TempDir()
	must(t, os.WriteFile(dir+"/mda", []byte(toMaildir), 0o700))
	command := func(to *maildir, f fetch) *exec.Cmd {
		protocol, ssl := strings.ToUpper(strings.TrimSuffix(f.service, "s")), "ssl"
		if !strings.HasSuffix(f.service, "s") {
			ssl = `sslproto "TLS1+"`
		}
		conf := fmt.Sprintf("set invisible\nset no bouncemail\npoll localhost protocol %s service %s auth password %s\n  user \"%s\" password \"%s\" is root here %s sslcertck sslcertfile %s no rewrite\n  mda \"%s/mda %s\" %s\n",
			protocol, a.port(f.service), map[bool]string{true: "uidl"}[protocol == "POP3"], a.user, suite.Password, ssl, a.ca, dir, to.root, f.options)
		must(t, writeFile(dir+"/fetchmailrc", conf))
		cmd := exec.Command(fetchmail, "-f", dir+"/fetchmailrc", "-i", dir+"/ids", "--pidfile", dir+"/pid", "--nodetach", "--nosyslog")
		cmd.Env = []string{"HOME=" + dir, "FETCHMAILHOME=" + dir}
		return cmd
	}
	to := newMaildir(t)
	does := func(f fetch) {
		t.Helper()
		cmd := command(to, f)
		out, err := run(t, cmd)
		if code := exitCode(err); code != f.rc {
			t.Fatalf("%v: %v\n%s", f, err, out)
		}
	}

	texts := a.seed(8)
	does(fetch{"imaps", "keep", 0})
	to.hasAll("IMAP, kept", texts)
	for _, text := range texts {
		a.has("", text, "S")
	}
	does(fetch{"imaps", "keep", 1})
	to.hasAll("IMAP, nothing new", texts)

	to = newMaildir(t)
	a.deliver("", seedMessage(8))
	does(fetch{"imap", "no keep", 0}) // what is not seen
	to.hasAll("IMAP, what is new", []string{seedMessage(8)})
	a.gone("", seedMessage(8))
	a.count("", len(texts))

	to = newMaildir(t)
	does(fetch{"pop3s", "keep", 0})
	to.hasAll("POP3, kept", texts)
	does(fetch{"pop3", "keep", 1})
	a.deliver("", seedMessage(9))
	texts = append(texts, seedMessage(9))
	does(fetch{"pop3", "keep", 0})
	to.hasAll("POP3, one more", texts)
	a.count("", len(texts))

	to = newMaildir(t)
	does(fetch{"pop3", "no keep fetchall", 0})
	to.hasAll("POP3, everything", texts)
	a.count("", 0)

	idleWithFetchmail(a, func(to *maildir) *exec.Cmd { return command(to, fetch{"imaps", "no keep idle", 0}) })
}

// idleWithFetchmail has it wait for mail.
func idleWithFetchmail(a *account, command func(to *maildir) *exec.Cmd) {
	t := a.t
	to := newMaildir(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	once := command(to)
	cmd := exec.CommandContext(ctx, once.Path, once.Args[1:]...)
	cmd.Env = append(os.Environ(), once.Env...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, 5*time.Second
	must(t, cmd.Start())
	for i := range 3 {
		text := seedMessage(20 + i)
		a.deliver("", text)
		began := time.Now()
		to.has("", text, "")
		t.Logf("fetchmail has new mail after %v", time.Since(began).Round(time.Millisecond))
		a.gone("", text)
	}
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	cmd.Wait()
	if ctx.Err() != nil {
		t.Errorf("it did not end: %s", out.String())
	}
}

// exitCode is that of a program that ended by itself.
func exitCode(err error) int {
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

const getmailConf = `[retriever]
type = Simple%sSSLRetriever
server = localhost
port = %s
username = %s
password = %s
ca_certs = %s
[destination]
type = MDA_external
path = %s
arguments = ("%s",)
allow_root_commands = true
[options]
%s
delivered_to = false
received = false
verbose = 2
`

func fetchWithGetmail(a *account) {
	t := a.t
	getmail := need(t, "getmail", "getmail6")
	mda := t.TempDir() + "/mda"
	must(t, os.WriteFile(mda, []byte(toMaildir), 0o700))
	texts := a.seed(8)
	for _, protocol := range []string{"IMAP", "POP3"} {
		dir, to := t.TempDir(), newMaildir(t)
		gets := func(options string) {
			t.Helper()
			must(t, writeFile(dir+"/rc", fmt.Sprintf(getmailConf, protocol, a.port(strings.ToLower(protocol)+"s"), a.user, suite.Password, a.ca, mda, to.root, options)))
			runs(t, "", getmail, "--getmaildir", dir, "--rcfile", dir+"/rc")
		}
		gets("read_all = false\ndelete = false")
		to.hasAll(protocol+", kept", texts)
		gets("read_all = false\ndelete = false")
		to.hasAll(protocol+", nothing new", texts)
		a.deliver("", seedMessage(8))
		gets("read_all = false\ndelete = false")
		to.hasAll(protocol+", one more", append(texts, seedMessage(8)))
		a.count("", len(texts)+1)

		to = newMaildir(t)
		gets("read_all = true\ndelete = true")
		to.hasAll(protocol+", everything", append(texts, seedMessage(8)))
		a.count("", 0)
		a.seed(8) // for the next
	}
}

const mpopConf = `account default
host localhost
port %s
tls on
tls_starttls %s
tls_trust_file %s
user %s
password %s
keep %s
pipelining %s
received_header off
uidls_file %s
delivery maildir %s
`

func fetchWithMpop(a *account) {
	t := a.t
	mpop := need(t, "mpop", "mpop")
	const n = 120 // more than it has under way at once
	texts := a.seed(n)
	dir, to := t.TempDir(), newMaildir(t)
	gets := func(service, keep, pipelining string) {
		t.Helper()
		starttls := map[string]string{"pop3": "on", "pop3s": "off"}[service]
		must(t, writeFile(dir+"/mpoprc", fmt.Sprintf(mpopConf, a.port(service), starttls, a.ca, a.user, suite.Password, keep, pipelining, dir+"/uidls", to.root)))
		runs(t, "", mpop, "-C", dir+"/mpoprc")
	}
	gets("pop3s", "on", "auto")
	to.hasAll("kept", texts)
	gets("pop3", "on", "on")
	to.hasAll("nothing new", texts)
	a.deliver("", seedMessage(n))
	a.remove("", texts[5])
	gets("pop3", "on", "off")
	to.hasAll("one more", append(texts, seedMessage(n)))
	a.count("", n)

	must(t, os.Remove(dir+"/uidls"))
	to = newMaildir(t)
	gets("pop3s", "off", "on")
	to.hasAll("everything", append(append(texts[:5:5], texts[6:]...), seedMessage(n)))
	a.count("", 0)
}
