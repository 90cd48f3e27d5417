//go:build interop

package interop

import (
	"fmt"
	"net/url"
	"os"
	"time"

	"postrider/test/suite"
)

const aercAccounts = `[Reader]
source = imaps://%[1]s@%[2]s
outgoing = smtp+plain://%[1]s@%[3]s
smtp-starttls = yes
default = INBOX
from = Reader <%[4]s>
copy-to = Sent
cache-headers = true
check-mail = 0
`

const aercConf = `[general]
unsafe-accounts-conf = true
[ui]
index-format = %%-10.10D %%Z %%s
mouse-enabled = false
new-message-bell = false
threading-enabled = false
[viewer]
pager = less -R
[compose]
editor = %[1]s/editor
empty-subject-warning = false
[filters]
text/plain = cat
`

func readWithAerc(a *account) {
	t := a.t
	aerc, home := need(t, "aerc", "aerc"), t.TempDir()
	need(t, "less", "less")
	conf := home + "/.config/aerc"
	must(t, os.MkdirAll(conf, 0o700))
	must(t, os.WriteFile(home+"/editor", []byte(editor), 0o700))
	user := url.UserPassword(a.user, suite.Password).String()
	must(t, writeFile(conf+"/accounts.conf", fmt.Sprintf(aercAccounts, user, a.at("imaps"), a.at("submission"), a.address())))
	must(t, writeFile(conf+"/aerc.conf", fmt.Sprintf(aercConf, home)))
	must(t, writeFile(conf+"/binds.conf", readFile(t, "/usr/share/aerc/binds.conf")))
	s := &aercSession{a: a, texts: a.seed(15)}
	a.deliver("Kept", seedMessage(50))
	s.terminal = newTerminal(t, home, []string{"SSL_CERT_FILE=" + a.ca, "XDG_CONFIG_HOME=" + home + "/.config", "XDG_CACHE_HOME=" + home + "/.cache"}, aerc)
	s.shows("INBOX", "seed 0.", "seed 14.", "Kept")
	s.reads()
	s.searches()
	s.waits()
	s.sends()
	s.command("cf Kept")
	s.shows("seed 50.", "seed 8.", "seed 7.")
	s.command("quit")
	s.ends()
	a.count("", 16)
	a.count("Kept", 3)
}

// aercSession is one with INBOX open.
type aercSession struct {
	*terminal
	a     *account
	texts []string // that INBOX had in the beginning
}

func (s *aercSession) command(line string) {
	s.t.Helper()
	s.keys(":")
	s.types(line)
	s.keys("Enter")
}

// reads a message, flags one, copies, moves and deletes one. The newest has the number 0.
func (s *aercSession) reads() {
	s.command("select 11")
	s.command("view")
	s.shows("end of dots", "end of seed 3.")
	s.a.has("", s.texts[3], "S")
	s.command("close")
	s.shows("seed 14.")
	s.command("select 9")
	s.command("flag")
	s.a.has("", s.texts[5], "F")
	s.command("select 7")
	s.command("copy Kept")
	s.a.has("Kept", s.texts[7], "")
	s.command("select 6")
	s.command("move Kept")
	s.a.has("Kept", s.texts[8], "")
	s.a.gone("", s.texts[8])
	s.hides("seed 8.")
	s.command("select 4")
	s.command("delete-message")
	s.a.gone("", s.texts[10])
	s.hides("seed 10.")
	s.a.count("", 13)
}

// searches has the server look for a text.
func (s *aercSession) searches() {
	s.command("filter -b papaya")
	s.hides("seed 4.")
	s.shows("seed 5.", "seed 13.")
	s.command("clear")
	s.shows("seed 4.")
}

// waits for what others do to the mailbox. It looks for nothing itself.
func (s *aercSession) waits() {
	for i := range 3 {
		began := time.Now()
		s.a.deliver("", seedMessage(100+i))
		s.shows(fmt.Sprintf("seed %d.", 100+i))
		s.t.Logf("new mail is shown after %v", time.Since(began).Round(10*time.Millisecond))
	}
	s.a.remove("", s.texts[12])
	s.hides("seed 12.")
}

// sends the user a message, of which Sent gets a copy.
func (s *aercSession) sends() {
	s.command(`compose -H "To: ` + s.a.address() + `" -H "Subject: Written by a person"`)
	s.shows("Send this email?")
	s.keys("y")
	const body = "\n\nTyped with Gr=C3=BC=C3=9Fe.\n.\nFrom here on\n"
	contains(s.t, s.a.titled("Sent", "Written by a person", "S").text, body)
	contains(s.t, s.a.titled("", "Written by a person", "").text, body, `From: "Reader" <`+s.a.address()+">\n")
	s.shows("Written by a person")
}
