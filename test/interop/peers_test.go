//go:build interop

package interop

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/test/fakedns"
	"postrider/test/suite"
)

// network lays out a suite that finds a peer in the DNS, and starts both.
func network(t *testing.T, p *peer, zone, extra string) *suite.Suite {
	t.Helper()
	dns := fakedns.Start(t, zone)
	s := suite.New(t, suite.Options{
		IDs: suite.Separated(), Resolver: dns.Addr, RelayPort: p.port(),
		Extra: "[smtpd]\nmax_recipients = 100\n[relayd]\nmin_backoff = \"1s\"\nmax_backoff = \"2s\"\ntls_authorities = \"" + p.certificate() + "\"\n" + extra,
	})
	s.File("etc/domains", suite.Domain+" local\nlist.example virtual\n")
	var members string
	for i := range 150 {
		members += fmt.Sprintf("member%d@list.example carol+%d\n", i, i)
	}
	s.File("etc/virtual", members)
	s.AddPassword("alice")
	s.Addr["peer"] = p.addr
	p.serves(s)
	s.StartAll()
	return s
}

// serves starts the peer so that its mail goes to a suite.
func (p *peer) serves(s *suite.Suite) {
	p.t.Helper()
	_, port, _ := strings.Cut(s.Addr["smtp"], ":")
	p.configure(port, s.Host)
	p.files["etc/tls/suite.pem"] = readFile(p.t, s.CA)
	p.start()
}

// message is one whose header needs nothing more.
func message(subject, body string) string {
	return "From: <" + local("alice") + ">\r\nTo: somebody:;\r\nDate: Sat, 21 Nov 2026 20:00:00 +0000\r\nSubject: " + subject + "\r\nMessage-ID: <" +
		fmt.Sprint(time.Now().UnixNano()) + "@" + suite.Domain + ">\r\n\r\n" + body
}

// hand gives a message to a service, or to a peer, and returns what that said in the end. The recipients and the sender may have
// parameters.
func hand(s *suite.Suite, service, text, from string, to ...string) string {
	c := s.Dial(service)
	c.Cmd(250, "EHLO client.example")
	if service == "submissions" {
		c.Login("alice", suite.Password)
	}
	c.Cmd(250, "MAIL FROM:%s", from)
	for _, r := range to {
		c.Cmd(250, "RCPT TO:%s", r)
	}
	c.Cmd(354, "DATA")
	w := c.DotWriter()
	fmt.Fprint(w, text)
	if err := w.Close(); err != nil {
		c.TB().Fatal(err)
	}
	reply := c.Expect(250)
	c.Cmd(221, "QUIT")
	return reply
}

// submit hands in a message of alice's, and returns its queue id.
func submit(s *suite.Suite, text, params string, to ...string) string {
	from := strings.TrimSpace("<" + local("alice") + "> " + params)
	c := hand(s, "submissions", text, from, to...)
	_, id, _ := strings.Cut(c, "queued as ")
	return strings.TrimSpace(id)
}

// mail waits until a user of the suite has a message with all the texts, and returns it.
func mail(t *testing.T, s *suite.Suite, user string, texts ...string) (found string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			for _, file := range suite.Maildir(s.Mailbox(user)) {
				t.Logf("%.5000s", readFile(t, file))
			}
		}
	}()
	suite.WaitLong(t, time.Minute, fmt.Sprintf("a message with %.300q for %s", texts, user), func() bool {
		for _, file := range suite.Maildir(s.Mailbox(user)) {
			b, err := os.ReadFile(file)
			if found = string(b); err == nil && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(found, text) }) {
				return true
			}
		}
		return false
	})
	return found
}

var (
	dots  = ".\r\n..\r\n.dot\r\n\r\nlast\r\n"
	eight = strings.Repeat("Grüße \xff\xfe aus Latin-1\r\n", 2000)
	huge  = strings.Repeat("0123456789 the quick brown fox jumps over the lazy dog, and back again.\r\n", 40<<20/73)
)

func TestPeers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		utf8   bool
		tls    bool // it can; see newOpenSMTPD
		echoes bool // its DSNs tell ENVID and ORCPT
		rcpts  int  // of one message: the suite takes 100, and after a 452 OpenSMTPD waits for minutes
		peer   func(t *testing.T) *peer
	}{
		{"Postfix", true, true, true, 150, func(t *testing.T) *peer { return newPostfix(t, "127.0.0.11") }},
		{"Exim", true, true, true, 150, func(t *testing.T) *peer { return newExim(t, "127.0.0.12") }},
		{"OpenSMTPD", false, false, false, 100, func(t *testing.T) *peer { return newOpenSMTPD(t, "127.0.0.13") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := c.peer(t)
			domain := strings.ToLower(c.name) + ".test"
			s := network(t, p, domain+". MX 10 mx."+domain+".\nmx."+domain+". A "+p.ip()+"\n", "")
			if c.tls {
				s.File("etc/tls_policy", domain+" verify-mx\n")
			}
			sendTo(t, s, p, domain, c.utf8, c.echoes)
			if c.tls {
				s.WaitLog("Verified TLS connection established to mx." + domain + "[" + p.ip() + "]")
			} else {
				s.WaitLog("trying again without TLS")
			}
			sendFrom(t, s, domain, c.utf8, c.rcpts)
			if c.name == "Postfix" {
				sendLong(t, s, p)
			}
		})
	}
}

// sendTo has alice write to users of the peer.
func sendTo(t *testing.T, s *suite.Suite, p *peer, domain string, utf8, echoes bool) {
	at := func(user string) string { return "<" + user + "@" + domain + ">" }
	sent := func(text, params, user string, more ...string) {
		t.Helper()
		id := submit(s, text, params, append([]string{at(user)}, more...)...)
		p.arrives(map[string]string{"jürgen": "juergen"}[user]+strings.TrimPrefix(user, "jürgen"), text)
		s.WaitLine(id, "to="+at(user), "status=sent (250 ")
	}
	sent(message("plain", dots), "", "bob")
	sent(message("eight", eight), "BODY=8BITMIME", "bob")
	sent(message("marked", dots), "SMTPUTF8", "bob") // needs no SMTPUTF8

	many := message("many", dots)
	var to []string
	for i := range 100 {
		to = append(to, at(fmt.Sprint("u", i)))
	}
	submit(s, many, "", to...)
	for i := range 100 {
		p.arrives(fmt.Sprint("u", i), many)
	}

	refused := message("refused", dots)
	submit(s, refused, "", at("nobody"), at("bob"))
	p.arrives("bob", refused)
	mail(t, s, "alice", "Return-Path: <>", "Subject: Undelivered mail", "Final-Recipient: rfc822; nobody@"+domain, "Action: failed", "Remote-MTA: dns; mx."+domain, "Diagnostic-Code: smtp; 5", "Subject: refused")

	wished := message("wished", dots)
	submit(s, wished, "RET=HDRS ENVID=through+2Bout", at("bob")+" NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig@elsewhere.example")
	p.arrives("bob", wished)
	answer := []string{"Reporting-MTA: dns; mx." + domain, "Action: delivered", "Subject: wished"}
	if echoes {
		answer = append(answer, ": through", "rfc822;", "orig@elsewhere.example")
	}
	mail(t, s, "alice", answer...)

	utf := message("Grüße", "Schöne Grüße\r\n")
	if utf8 {
		sent(utf, "SMTPUTF8", "jürgen")
	} else {
		submit(s, utf, "SMTPUTF8", at("bob"))
		mail(t, s, "alice", "Subject: Undelivered mail", "5.6.7", "SMTPUTF8")
	}

	p.stop()
	late := message("late", dots)
	id := submit(s, late, "", at("bob"))
	s.WaitLine(id, "dsn=4.4.1, status=deferred (connect to mx."+domain+"["+p.ip()+"]", "refused")
	p.start()
	p.arrives("bob", late)

	sent(message("huge", huge), "", "u0")
	s.Wait("an empty queue", func() bool { return len(s.Queue("remote", "cur"))+len(s.Queue("remote", "new")) == 0 })
}

// sendFrom has the peer send mail to users of the suite.
func sendFrom(t *testing.T, s *suite.Suite, domain string, utf8 bool, rcpts int) {
	got := func(text, from, user string) {
		t.Helper()
		hand(s, "peer", text, from, "<"+local(user)+">")
		trace := mail(t, s, user, strings.ReplaceAll(text, "\r\n", "\n"))
		if !strings.Contains(trace, "from mx."+domain+" (") || !strings.Contains(trace, "SMTPS id") {
			t.Errorf("not by the peer, or not by TLS: %.500q", trace)
		}
	}
	bob := "<bob@" + domain + ">"
	got(message("in plain", dots), bob, "bob")
	got(message("in eight", eight), bob+" BODY=8BITMIME", "bob")
	if utf8 {
		got(message("Grüße", "Schöne Grüße\r\n"), "<jürgen@"+domain+"> SMTPUTF8", "bob")
	}
	var many []string
	for i := range rcpts {
		many = append(many, fmt.Sprintf("<member%d@list.example>", i))
	}
	hand(s, "peer", message("in many", dots), bob, many...)
	s.Wait("all of the many", func() bool { return len(s.LogLines("orig_to=<member", "status=sent")) == rcpts })
	if n := len(suite.Maildir(s.Mailbox("carol"))); n != rcpts {
		t.Errorf("%d of %d", n, rcpts)
	}

	hand(s, "peer", message("in refused", dots), "<"+local("alice")+">", "<"+local("nobody")+">")
	mail(t, s, "alice", "Return-Path: <>", "Reporting-MTA: dns; mx."+domain, "nobody@", "5.1.1", "Subject: in refused")
	hand(s, "peer", message("in wished", dots), "<"+local("alice")+"> RET=HDRS ENVID=through", "<"+local("bob")+"> NOTIFY=SUCCESS ORCPT=rfc822;first@elsewhere.example")
	mail(t, s, "alice", "Subject: Successful mail delivery report", "Reporting-MTA: dns; "+suite.Host, "Original-Recipient: rfc822; first@elsewhere.example", "Subject: in wished")
	got(message("in huge", huge), bob, "carol")
}

// sendLong has Postfix fold a line that is too long. In all that it sent it had no trouble.
func sendLong(t *testing.T, s *suite.Suite, p *peer) {
	long := strings.Repeat("long ", 1000) + "\r\n"
	hand(s, "peer", message("in long", long), "<bob@postfix.test>", "<"+local("bob")+">")
	_, folded, _ := strings.Cut(mail(t, s, "bob", "Subject: in long\n"), "\n\n")
	if got := strings.ReplaceAll(strings.ReplaceAll(folded, "\n ", ""), "\n", "\r\n"); got != long {
		t.Errorf("a long line came as %d octets of %d", len(got), len(long))
	}
	for line := range strings.Lines(p.log()) {
		if strings.Contains(line, "status=deferred") && !strings.Contains(line, "452 4.5.3") || strings.Contains(line, "warning: ") && strings.Contains(line, "smtp[") {
			t.Errorf("Postfix had trouble: %s", line)
		}
	}
}
