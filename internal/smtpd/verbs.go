package smtpd

import (
	"strings"
)

// maxVerb is the length of the longest command name.
const maxVerb = 8

// verb is a command: what carries it out, and when there is such a command at all.
type verb struct {
	run   func(*session, string) error // its error ends the session
	count counter
	lmtp  bool // of LMTP only (RFC 2033)
	smtp  bool // of SMTP only
	junk  bool // leads to no message by itself
	long  bool // may be longer than maxLine
	bytes bool // octets that are no commands follow
}

// verbs are the commands.
var verbs = map[string]verb{
	"EHLO":     {run: (*session).ehlo, count: cEHLO, smtp: true, junk: true}, // RFC 5321 §4.1.1.1
	"HELO":     {run: (*session).hello, count: cHELO, smtp: true, junk: true},
	"LHLO":     {run: (*session).ehlo, count: cLHLO, lmtp: true, junk: true}, // RFC 2033 §4.1
	"MAIL":     {run: (*session).mail, count: cMAIL, junk: true},             // RFC 5321 §4.1.1.2
	"RCPT":     {run: (*session).rcpt, count: cRCPT},                         // RFC 5321 §4.1.1.3
	"DATA":     {run: (*session).data, count: cDATA},                         // RFC 5321 §4.1.1.4
	"BDAT":     {run: (*session).bdat, count: cBDAT, bytes: true},            // RFC 3030 §2
	"RSET":     {run: (*session).rset, count: cRSET, junk: true},             // RFC 5321 §4.1.1.5
	"VRFY":     {run: (*session).vrfy, count: cVRFY, junk: true},             // RFC 5321 §4.1.1.6
	"HELP":     {run: (*session).help, count: cHELP, junk: true},             // RFC 5321 §4.1.1.8
	"NOOP":     {run: (*session).noop, count: cNOOP, junk: true},             // RFC 5321 §4.1.1.9
	"QUIT":     {run: (*session).quit, count: cQUIT},                         // RFC 5321 §4.1.1.10
	"STARTTLS": {run: (*session).startTLS, count: cSTARTTLS},                 // RFC 3207
	"AUTH":     {run: (*session).auth, count: cAUTH, long: true},             // RFC 4954
	"XCLIENT":  {run: (*session).xclient, count: cXCLIENT},                   // Postfix's XCLIENT_README
	"EXPN":     {run: (*session).notOffered, junk: true},
	"ETRN":     {run: (*session).notOffered, junk: true},
	"TURN":     {run: (*session).notOffered, junk: true},
	"SEND":     {run: (*session).notOffered, junk: true},
	"SOML":     {run: (*session).notOffered, junk: true},
	"SAML":     {run: (*session).notOffered, junk: true},
}

// counter numbers the commands that are counted for the log.
type counter int

const (
	cUnknown counter = iota
	cEHLO
	cHELO
	cLHLO
	cSTARTTLS
	cXCLIENT
	cAUTH
	cMAIL
	cRCPT
	cDATA
	cBDAT
	cRSET
	cNOOP
	cVRFY
	cHELP
	cQUIT
	counters
)

var counterNames = [counters]string{"unknown", "ehlo", "helo", "lhlo", "starttls", "xclient", "auth", "mail", "rcpt", "data", "bdat",
	"rset", "noop", "vrfy", "help", "quit"}

// counts is how often each command came, and succeeded.
type counts struct {
	all, good [counters]int
	any       bool
	last      counter
}

func (c *counts) begin(n counter) {
	c.all[n]++
	c.last, c.any = n, true
}

func (c *counts) succeed(n counter) { c.good[n]++ }

// stage is the last command, as the log names it.
func (c *counts) stage() string {
	if !c.any {
		return "CONNECT"
	}
	return strings.ToUpper(counterNames[c.last])
}

func (c *counts) maps() (good, all map[string]int) {
	good, all = make(map[string]int), make(map[string]int)
	for i, n := range c.all {
		if n > 0 {
			good[counterNames[i]], all[counterNames[i]] = c.good[i], n
		}
	}
	return good, all
}

// isForeign recognizes first lines of other protocols, and header lines: a browser or a proxy that was made to speak to us
// must not get as far as a line that happens to be a command. name is word in upper case, or empty if it is too long.
func isForeign(word, name []byte) bool {
	switch string(name) {
	case "GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "PATCH", "TRACE", "PRI":
		return true
	}
	w := string(word)
	return strings.HasPrefix(w, "SSH-") || len(w) > 1 && strings.HasSuffix(w, ":")
}

func (s *session) notOffered(string) error { return s.refuse(errNotOffered) }

func (s *session) noop(string) error { return s.accept(ok) }

func (s *session) quit(arg string) error {
	if arg != "" {
		return s.refuse(errSyntax)
	}
	s.answer(bye)
	return errQuit
}

func (s *session) rset(arg string) error {
	if arg != "" {
		return s.refuse(errSyntax)
	}
	s.begin(transaction{})
	return s.accept(ok)
}

func (s *session) help(string) error { return s.accept(helpText) }

// vrfy neither confirms nor denies (RFC 5321 §7.3).
func (s *session) vrfy(arg string) error {
	if arg == "" {
		return s.refuse(errSyntax)
	}
	return s.accept(cannotVerify)
}
