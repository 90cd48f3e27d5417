//go:build interop

package interop

import (
	"fmt"

	"postrider/test/suite"
)

const alpineConf = `personal-name=Reader
user-domain=%[1]s
smtp-server=localhost:%[2]s/tls/user=%[3]s
inbox-path={localhost:%[4]s/ssl/user=%[3]s}INBOX
folder-collections=Mail {localhost:%[4]s/ssl/user=%[3]s}[]
default-fcc={localhost:%[4]s/ssl/user=%[3]s}Sent
feature-list=disable-password-file-saving,enable-flag-cmd,enable-aggregate-command-set,expunge-without-confirm,expunge-without-confirm-everywhere,quit-without-confirm,enable-jump-cmd,no-show-sort,enable-bounce-cmd,compose-send-offers-first-filter,quell-flowed-text
sort-key=arrival
last-version-used=7.00
disable-these-authenticators=GSSAPI
customized-hdrs=From: Reader <%[5]s>
posting-character-set=UTF-8
`

// alpineSession is one with INBOX open.
type alpineSession struct {
	*terminal
	a     *account
	texts []string // that INBOX had in the beginning
}

func readWithAlpine(a *account) {
	t := a.t
	alpine, home := need(t, "alpine", "alpine"), t.TempDir()
	must(t, writeFile(home+"/pinerc", fmt.Sprintf(alpineConf, a.domain, a.port("submission"), a.user, a.port("imaps"), a.address())))
	s := &alpineSession{a: a, texts: a.seed(15)}
	s.terminal = newTerminal(t, home, []string{"SSL_CERT_FILE=" + a.ca}, alpine, "-p", home+"/pinerc", "-i")
	s.password("PASSWORD")
	s.shows("seed 0.", "seed 14.")
	s.reads()
	s.sends()
	s.searches()
	s.keys("G")
	s.shows("GOTO")
	s.types("Kept")
	s.keys("Enter")
	s.shows("Folder: Kept", "seed 7.")
	s.keys("q")
	s.ends()
	a.count("", 16)
}

// password answers a question.
func (s *alpineSession) password(question string) {
	s.t.Helper()
	s.shows(question)
	s.types(suite.Password)
	s.keys("Enter")
}

// jump goes to a message.
func (s *alpineSession) jump(number string) {
	s.t.Helper()
	s.keys("J")
	s.shows("Message number to jump to")
	s.types(number)
	s.keys("Enter")
	s.hides("Message number to jump to")
}

// reads a message, flags one, saves one, deletes one, and sees a new one.
func (s *alpineSession) reads() {
	s.jump("4")
	s.keys("Enter")
	s.shows("end of dots", "end of seed 3.")
	s.a.has("", s.texts[3], "S")
	s.keys("<")
	s.shows("seed 14.")
	s.jump("6")
	s.keys("*", "Enter")
	s.a.has("", s.texts[5], "F")
	s.jump("8")
	s.keys("S")
	s.shows("SAVE")
	s.keys("C-u")
	s.types("Kept")
	s.keys("Enter")
	s.shows("Create")
	s.keys("y")
	s.a.has("Kept", s.texts[7], "")
	s.jump("10")
	s.keys("D", "X")
	s.a.gone("", s.texts[9])
	s.a.gone("", s.texts[7])
	s.a.count("", 13)

	s.a.deliver("", seedMessage(100))
	s.keys("C-l") // looks for mail; by itself it does so every 15 s
	s.shows("seed 100.")
}

// sends the user a message, of which Sent gets a copy, and an answer to it.
func (s *alpineSession) sends() {
	s.keys("C")
	s.shows("COMPOSE MESSAGE")
	s.types(s.a.address())
	s.keys("Enter", "Enter", "Enter")
	s.types("Written by a person")
	s.keys("Tab")
	for _, line := range []string{"Typed with Grüße.", ".", "From here on"} {
		s.types(line)
		s.keys("Enter")
	}
	s.keys("C-x")
	s.shows("Send message?")
	s.keys("y")
	s.password("ENTER PASSWORD")
	const body = "\n\nTyped with Grüße.\n.\nFrom here on\n"
	contains(s.t, s.a.titled("Sent", "Written by a person", "").text, body)
	contains(s.t, s.a.titled("", "Written by a person", "").text, body, "From: Reader <"+s.a.address()+">\n")
	s.hides("COMPOSE")
	s.keys("C-l")
	s.shows("15 ", "Written by a person")

	s.jump("15")
	s.keys("R")
	s.shows("Include original message in Reply?")
	s.keys("n")
	s.shows("COMPOSE MESSAGE REPLY")
	s.keys("C-x")
	s.shows("Send message?")
	s.keys("y")
	s.a.titled("Sent", "Re: Written by a person", "")
	s.a.titled("", "Re: Written by a person", "")
	s.a.titled("", "Written by a person", "R")
	s.hides("COMPOSE")
}

// searches has the server look for a text.
func (s *alpineSession) searches() {
	s.keys(";")
	s.shows("SELECT criteria")
	s.keys("t")
	s.shows("Select based on")
	s.keys("b")
	s.shows("BODY")
	s.types("papaya")
	s.keys("Enter")
	s.hides("seed 4.")
	s.shows("seed 5.", "seed 13.")
}
