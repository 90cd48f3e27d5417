package e2e

import (
	"strings"
	"testing"

	"postrider/test/suite"
)

// vanish lets a user of the table disappear between the acceptance of what send sends and its delivery.
func vanish(t *testing.T, s *suite.Suite, user string, send func()) {
	t.Helper()
	s.Stop("localdeliver")
	send()
	s.Stop("authd") // which follows a change in its own time
	var kept []string
	for _, u := range suite.Users {
		if u != user {
			kept = append(kept, s.UserLine(u))
		}
	}
	s.File("etc/users", strings.Join(kept, ""))
	s.StartDaemon("authd")
	s.StartDaemon("localdeliver")
}

func TestBounce(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		var id string
		vanish(t, s, "bob", func() {
			c := hello(s, "smtp")
			c.Cmd(250, "MAIL FROM:<%s> ENVID=Q+2B7", local("alice"))
			c.Cmd(250, "RCPT TO:<%s> ORCPT=rfc822;robert@old.example", local("bob"))
			c.Cmd(250, "RCPT TO:<%s>", local("carol"))
			id = data(c, suite.Text("gone")+"a line of the text\r\n")
		})
		s.Mails("carol", 1)
		text := s.Mails("alice", 1)[0]
		head, _, _ := strings.Cut(text, "\n\n")
		contains(t, head, "Return-Path: <>\n", "From: Mail Delivery System <MAILER-DAEMON@"+suite.Host+">", "To: "+local("alice"), "Subject: Undelivered mail",
			"Auto-Submitted: auto-replied", "Message-ID: <"+id+".r", "multipart/report; report-type=delivery-status", "Date: ")
		contains(t, text, "This is the mail system of "+suite.Host, "could not be delivered", "<"+local("bob")+">", "unknown user",
			"Content-Type: message/delivery-status", "Reporting-MTA: dns; "+suite.Host, "Original-Envelope-Id: Q+7", "Original-Recipient: rfc822; robert@old.example",
			"Final-Recipient: rfc822; "+local("bob"), "Action: failed", "Status: 5.1.1", "Content-Type: text/rfc822-headers", "Subject: gone\n")
		containsNot(t, text, "a line of the text", local("carol"))
		s.WaitLine(id, "to=<"+local("bob")+">", "dsn=5.1.1, status=bounced")
		s.WaitLog(id + ": removed")
		contains(t, s.Log(), id+": sender non-delivery notification")
	})
}

// data sends the message of a transaction and returns its id.
func data(c *suite.Client, text string) string {
	c.Cmd(354, "DATA")
	w := c.DotWriter()
	w.Write([]byte(text))
	w.Close()
	return suite.QueueID(c.TB(), c.Expect(250))
}

func TestBounceVariants(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		s.AddPassword("carol")
		var never, full, null string
		vanish(t, s, "bob", func() {
			c := hello(s, "submissions") // a stranger gets no whole message back
			c.Login("carol", suite.Password)
			c.Cmd(250, "MAIL FROM:<%s>", local("carol"))
			c.Cmd(250, "RCPT TO:<%s> NOTIFY=NEVER", local("bob"))
			never = data(c, suite.Text("never"))
			c.Cmd(250, "MAIL FROM:<%s> RET=FULL", local("carol"))
			c.Cmd(250, "RCPT TO:<%s> NOTIFY=FAILURE", local("bob"))
			full = data(c, suite.Text("full")+"a line of the text\r\n")
			c.Cmd(250, "MAIL FROM:<>")
			c.Cmd(250, "RCPT TO:<%s>", local("bob"))
			null = data(c, suite.Text("null"))
		})
		text := s.Mails("carol", 1)[0]
		contains(t, text, "Message-ID: <"+full+".r", "Content-Type: message/rfc822", "a line of the text")
		double := s.Mails("alice", 1)[0] // the postmaster
		contains(t, double, "Return-Path: <>\n", "Subject: Postmaster copy: undelivered", "Final-Recipient: rfc822; "+local("bob"), null)
		for _, id := range []string{never, full, null} {
			s.WaitLog(id + ": removed")
		}
		containsNot(t, s.Log(), never+": sender non-delivery notification")
		s.Mails("carol", 1)
	})
}

// A bounce that cannot be delivered ends with the postmaster, and one to the postmaster ends.
func TestBounceEnds(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		vanish(t, s, "bob", func() {
			c := hello(s, "smtp")
			c.Send(local("nobody"), []string{local("bob")}, suite.Text("refused sender"))
		})
		contains(t, s.Mails("alice", 1)[0], "Postmaster copy", "<"+local("nobody")+">, cannot be told")
		s.Stop("localdeliver")
		c := hello(s, "smtp")
		id := c.Send("", []string{"postmaster"}, suite.Text("to the postmaster"))
		s.File("etc/users", s.UserLine("carol"))
		s.StartDaemon("localdeliver")
		s.WaitLog(id + ": removed")
		contains(t, s.Log(), "double bounce")
		if left := append(s.Queue("local", "new"), s.Queue("local", "cur")...); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestSuccessReport(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		c := hello(s, "smtp")
		c.Cmd(250, "MAIL FROM:<%s>", local("carol"))
		c.Cmd(250, "RCPT TO:<%s> NOTIFY=SUCCESS", local("bob"))
		data(c, suite.Text("tell me"))
		s.Mails("bob", 1)
		contains(t, s.Mails("carol", 1)[0], "Subject: Successful mail delivery report", "Action: delivered", "Status: 2.0.0")
	})
}

func TestExpiry(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = "[localdeliver]\nmin_backoff = \"1s\"\nmax_backoff = \"1s\"\nqueue_lifetime = \"1s\"\n"
		s := suite.New(t, o)
		s.HomeFile("bob", ".forward", "no@@address\n", 0o600)
		s.StartAll()
		c := hello(s, "smtp")
		id := c.Send(local("carol"), []string{local("bob")}, suite.Text("too late"))
		contains(t, s.Mails("carol", 1)[0], ".4.7\n", "Action: failed", "Final-Recipient: rfc822; "+local("bob"))
		s.WaitLine(id, "status=deferred")
		s.WaitLine(id, ".4.7, status=expired")
		s.WaitLog(id + ": removed")
	})
}
