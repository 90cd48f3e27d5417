//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postrider/test/suite"
)

// muttConf has a header cache, and asks nothing.
const muttConf = `set folder="imaps://%[1]s@localhost:%[2]s/"
set spoolfile="+INBOX"
set imap_user="%[1]s"
set imap_pass="%[3]s"
set ssl_ca_certificates_file="%[4]s"
set certificate_file="%[5]s/certificates"
set header_cache="%[5]s/cache"
set message_cachedir="%[5]s/messages"
set imap_idle=yes
set imap_keepalive=300
set timeout=1
set mail_check=60
set sort=mailbox-order
set confirmappend=no
set confirmcreate=no
set delete=yes
set move=no
set quit=yes
set mark_old=no
set wait_key=no
set tmpdir="%[5]s"
set sleep_time=0
set help=no
set beep=no
set fast_reply=yes
set include=no
set copy=yes
set record="+Sent"
set send_charset="utf-8"
set from="%[6]s"
set realname="Reader"
set use_from=yes
set hostname="reader.test"
set smtp_url="smtp://%[1]s@localhost:%[7]s/"
set smtp_pass="%[3]s"
set ssl_force_tls=yes
set editor="%[5]s/editor"
set edit_headers=no
set pager_stop=yes
set index_format="%%4C %%Z %%s"
set status_format="box %%f has %%m"
set crypt_autosign=no
set crypt_use_gpgme=no
%[8]s`

// editor is a person's typing.
const editor = `#!/bin/sh
printf 'Typed with Grüße.\n.\nFrom here on\n' >>"$1"
`

func readWithMutt(a *account) {
	readWithMutts(a, need(a.t, "mutt", "mutt"), "set imap_condstore=yes\nset imap_qresync=yes\nset imap_deflate=yes\n")
}

func readWithNeomutt(a *account) {
	readWithMutts(a, need(a.t, "neomutt", "neomutt"), "set imap_condstore=yes\nset imap_qresync=yes\n")
}

// muttSession is a mutt, or a neomutt, with a mailbox open.
type muttSession struct {
	*terminal
	a     *account
	home  string
	texts []string // that the mailbox had in the beginning
}

// readWithMutts has all that they can, if the server can, too: what else is to be set is said in more.
func readWithMutts(a *account, mutt, more string) {
	t := a.t
	home := t.TempDir()
	must(t, os.WriteFile(home+"/editor", []byte(editor), 0o700))
	must(t, os.Mkdir(home+"/cache", 0o700))
	must(t, os.Mkdir(home+"/messages", 0o700))
	must(t, writeFile(home+"/certificates", ""))
	must(t, writeFile(home+"/rc", fmt.Sprintf(muttConf, a.user, a.port("imaps"), suite.Password, a.ca, home, a.address(), a.port("submission"), more)))
	m := &muttSession{a: a, home: home, texts: a.seed(30)}
	open := func() { m.terminal = newTerminal(t, home, nil, mutt, "-n", "-F", home+"/rc", "-d", "2") }
	open()
	m.shows("seed 0.", "seed 29.", "INBOX has 30")
	m.reads()
	m.searches()
	m.waits()
	m.sends()

	// Changes while it is away, and the header cache.
	m.keys("q")
	m.ends()
	if cached, _ := filepath.Glob(home + "/cache/*"); len(cached) == 0 {
		t.Error("no headers are kept")
	}
	a.mark("", m.texts[24], "FS")
	a.remove("", m.texts[25])
	a.deliver("", seedMessage(110))
	open()
	m.shows("seed 0.", "seed 110.", "INBOX has 32")
	m.hides("seed 25.")
	m.flagged("seed 24.")
	m.changesFolder()
	m.keys("q")
	m.ends()
	a.has("Kept", m.texts[9], "")
	a.count("", 32)
}

// mailbox answers the question for one.
func (m *muttSession) mailbox(question, name string) {
	m.t.Helper()
	m.shows(question)
	m.keys("C-u")
	m.types(name)
	m.keys("Enter")
}

// reads a message, flags one, copies one, and has one saved and one deleted.
func (m *muttSession) reads() {
	m.keys("4", "Enter", "Enter")
	m.shows("end of dots", "end of seed 3.")
	m.keys("q")
	m.shows("seed 29.")
	m.keys("$")
	m.a.has("", m.texts[3], "S")
	m.keys("6", "Enter", "F")
	m.keys("$")
	m.a.has("", m.texts[5], "F")
	m.keys("8", "Enter", "C")
	m.mailbox("Copy to mailbox", "=Kept")
	m.a.has("Kept", m.texts[7], "")
	m.keys("1", "0", "Enter", "s")
	m.mailbox("Save to mailbox", "=Kept")
	m.a.has("Kept", m.texts[9], "")
	m.keys("1", "2", "Enter", "d", "$")
	m.a.gone("", m.texts[11])
	m.a.gone("", m.texts[9])
	m.a.count("", 28)
	m.shows("INBOX has 28")
}

// searches has the server look for a text.
func (m *muttSession) searches() {
	m.keys("l")
	m.shows("Limit to messages matching")
	m.types("=b papaya")
	m.keys("Enter")
	m.shows("seed 5.", "seed 13.", "seed 21.", "seed 29.")
	m.hides("seed 4.")
	m.keys("l")
	m.types("~A")
	m.keys("Enter")
	m.shows("seed 4.")
}

// waits for what others do to the mailbox. It looks at its connection once a second.
func (m *muttSession) waits() {
	for i := range 3 {
		began := time.Now()
		m.a.deliver("", seedMessage(100+i))
		m.shows(fmt.Sprintf("seed %d.", 100+i))
		m.t.Logf("new mail is shown after %v", time.Since(began).Round(10*time.Millisecond))
	}
	logs, _ := filepath.Glob(m.home + "/.*debug0")
	if len(logs) != 1 || !strings.Contains(readFile(m.t, logs[0]), " IDLE") {
		m.t.Errorf("it did not wait by IDLE: %q", logs)
	}
	m.a.mark("", m.texts[20], "FS")
	m.flagged("seed 20.")
	m.a.remove("", m.texts[22])
	m.hides("seed 22.")
}

// flagged waits until the line of a subject has the mark of \Flagged.
func (m *muttSession) flagged(subject string) {
	m.t.Helper()
	m.until("a flag at "+subject, func(screen string) bool {
		for line := range strings.Lines(screen) {
			if strings.Contains(line, subject) && strings.Contains(line, "!") {
				return true
			}
		}
		return false
	})
}

// sends the user a message, of which Sent gets a copy, and an answer to it.
func (m *muttSession) sends() {
	const body = "\n\nTyped with Grüße.\n.\nFrom here on\n"
	m.keys("m")
	m.shows("To:")
	m.types(m.a.address())
	m.keys("Enter")
	m.shows("Subject:")
	m.types("Written by a person")
	m.keys("Enter")
	m.shows("-- Attachments")
	m.keys("y")
	contains(m.t, m.a.titled("Sent", "Written by a person", "S").text, body)
	contains(m.t, m.a.titled("", "Written by a person", "").text, body, "From: Reader <"+m.a.address()+">\n")
	m.hides("-- Attachments")
	m.shows("Written by a person")

	m.keys("*", "r") // the last message
	m.shows("-- Attachments")
	m.keys("y")
	contains(m.t, m.a.titled("Sent", "Re: Written by a person", "S").text, "In-Reply-To: <")
	m.hides("-- Attachments")
	m.shows("Re: Written by a person")
	m.keys("$")
	m.a.titled("", "Written by a person", "RS")
	m.a.titled("", "Re: Written by a person", "")
}

// changesFolder goes to another one and deletes there.
func (m *muttSession) changesFolder() {
	m.keys("c")
	m.mailbox("Open mailbox", "=Kept")
	m.shows("Kept has 2", "seed 7.", "seed 9.")
	m.keys("1", "Enter", "d", "$")
	m.a.gone("Kept", m.texts[7])
}
