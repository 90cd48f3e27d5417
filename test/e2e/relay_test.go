package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/test/fakedns"
	"postrider/test/suite"
)

// slow is a configuration whose relayd tries nothing again by itself while a test runs.
const slow = "[relayd]\nmin_backoff = \"1h\"\n"

// pair lays two suites out whose alice (on A) and bob (on B) have a password.
func pair(t *testing.T, o suite.Options, zone string) *suite.Pair {
	t.Helper()
	p := suite.NewPair(t, o, zone)
	p.A.AddPassword("alice")
	p.B.AddPassword("bob")
	return p
}

// at is an address of a suite.
func at(s *suite.Suite, user string) string { return user + "@" + s.Domain }

// submit sends a message by submission, as a user who logs in, and returns its queue id.
func submit(s *suite.Suite, user, subject string, to ...string) string {
	c := hello(s, "submissions")
	c.Login(user, suite.Password)
	id := c.Send(at(s, user), to, "From: "+at(s, user)+"\r\nSubject: "+subject+"\r\n\r\nHello.\r\n.. two dots\r\n")
	c.Cmd(221, "QUIT")
	return id
}

// gone waits until a message has left the queue, and every directory of the remote channel is empty.
func gone(t *testing.T, s *suite.Suite, id string) {
	t.Helper()
	s.WaitLine("postrider/relayd[", id+": removed")
	for _, dir := range []string{"new", "cur", "log", "hold", "bad"} {
		s.WaitQueue("remote", dir, 0)
	}
}

// why is what `postrider why` makes of the queue and the log.
func why(t *testing.T, s *suite.Suite, id string) string {
	t.Helper()
	r := s.Call(suite.Program{Name: "postrider", Args: []string{"why", "-c", s.Config, "-l", "-", id}, Stdin: s.Log()})
	if r.Code != 0 || r.Err != "" {
		t.Fatalf("why %s: %+v", id, r)
	}
	return r.Out
}

// Alice writes to bob at another host, with TLS on the way, and he replies. One id leads from log to log.
func TestRelay(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		p := pair(t, o, "")
		p.StartAll()
		a, b := p.A, p.B
		id := submit(a, "alice", "over there", at(b, "bob"))
		text := b.Mails("bob", 1)[0]
		contains(t, text, "Return-Path: <"+at(a, "alice")+">\n", "Delivered-To: "+at(b, "bob")+"\n", "Received: from "+a.Host+" (", "by "+b.Host, "with ESMTPS id ",
			"by "+a.Host, "with ESMTPSA id "+id, "Subject: over there\n", "\n\nHello.\n.. two dots\n")
		peer := b.Host + "[127.0.0.1]:"
		a.WaitLine("postrider/relayd[", "Untrusted TLS connection established to "+peer, " with cipher TLS_")
		a.WaitLine("postrider/relayd[", id+": from=<"+at(a, "alice")+">, size=", "nrcpt=1 (queue active)")
		sent := a.WaitLine("postrider/relayd[", id+": to=<"+at(b, "bob")+">, relay="+peer, "dsn=2.0.0, status=sent (250 2.0.0 ")
		there := suite.QueueID(t, strings.TrimSuffix(sent, ")"))
		b.WaitLine("postrider/smtpd[", there+": client=")
		b.WaitLine("postrider/localdeliver[", there+": to=<"+at(b, "bob")+">", "status=sent")
		gone(t, a, id)
		contains(t, mailq(a).Out, "Mail queue is empty")
		contains(t, why(t, a, id), "logged in as alice", "<"+at(b, "bob")+">: delivered by "+peer, "queued as "+there, "It is done")

		submit(b, "bob", "Re: over there", at(a, "alice"))
		contains(t, a.Mails("alice", 1)[0], "Return-Path: <"+at(b, "bob")+">\n", "with ESMTPS id ", "Subject: Re: over there\n")
	})
}

// A mistyped recipient comes back at once with what the other host said; the other recipients get the message, and once.
func TestRelayRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		p := pair(t, o, "")
		p.StartAll()
		a, b := p.A, p.B
		id := submit(a, "alice", "mistyped", at(b, "bbo"), at(b, "bob"))
		report := a.Mails("alice", 1)[0]
		contains(t, report, "Return-Path: <>\n", "Subject: Undelivered mail", "To: "+at(a, "alice"), "could not be delivered", "<"+at(b, "bbo")+">", "User unknown",
			"What to do: ", "Reporting-MTA: dns; "+a.Host, "Final-Recipient: rfc822; "+at(b, "bbo"), "Action: failed", "Status: 5.1.1", "Remote-MTA: dns; "+b.Host,
			"Diagnostic-Code: smtp; 550 5.1.1 ", "Subject: mistyped\n")
		containsNot(t, report, at(b, "bob"))
		contains(t, b.Mails("bob", 1)[0], "Subject: mistyped")
		a.WaitLine(id+": to=<"+at(b, "bbo")+">, relay="+b.Host+"[127.0.0.1]:", "dsn=5.1.1, status=bounced (host "+b.Host+"[127.0.0.1] said: 550 5.1.1 ", "(in reply to RCPT TO")
		a.WaitLine(id+": to=<"+at(b, "bob")+">", "status=sent")
		a.WaitLine(id + ": sender non-delivery notification")
		gone(t, a, id)
		contains(t, why(t, a, id), "<"+at(b, "bbo")+">: refused for good by "+b.Host, "<"+at(b, "bob")+">: delivered by "+b.Host, "a notice", "It is done")
		b.Mails("bob", 1)
	})
}

// A host that refuses connections defers: the queue says why, to the sender, too; a restart forgets nothing; when the host is back a
// flush delivers.
func TestRelayDeadHost(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = slow
		p := pair(t, o, "")
		p.A.StartAll()
		a, b := p.A, p.B
		id := submit(a, "alice", "is anybody there", at(b, "bob"))
		a.WaitLine(id+": to=<"+at(b, "bob")+">, relay=none", "dsn=4.4.1, status=deferred (connect to "+b.Host+"[127.0.0.1]:", "onnection refused)")
		reason := []string{id, at(a, "alice"), at(b, "bob"), "connect to " + b.Host + "[127.0.0.1]:", "onnection refused", "in 1 Request."}
		a.Wait("mailq to tell why", func() bool { return strings.Contains(mailq(a).Out, "onnection refused") })
		contains(t, mailq(a).Out, reason...)
		contains(t, why(t, a, id), "<"+at(b, "bob")+"> waits after 1 attempt", "onnection refused", "for the next hop "+b.Domain, "Next attempt: ", "mailq retry "+id)
		if n := len(suite.Maildir(a.Mailbox("alice"))); n != 0 {
			t.Errorf("%d messages for a sender whose message waits", n)
		}
		a.Crash("relayd")
		contains(t, mailq(a).Out, reason...)
		a.StartDaemon("relayd")
		contains(t, mailq(a).Out, reason...)
		b.StartAll()
		flush(t, a)
		contains(t, b.Mails("bob", 1)[0], "Subject: is anybody there")
		a.WaitLine(id+": to=<"+at(b, "bob")+">, relay="+b.Host+"[127.0.0.1]:", "status=sent")
		gone(t, a, id)
	})
}

// A host that comes back is found by the schedule alone.
func TestRelayRetry(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = "[relayd]\nmin_backoff = \"1s\"\nmax_backoff = \"1s\"\n"
		p := pair(t, o, "")
		p.A.StartAll()
		var ids []string
		for range 3 {
			ids = append(ids, submit(p.A, "alice", "again", at(p.B, "bob")))
		}
		for _, id := range ids {
			p.A.WaitLine(id, "status=deferred")
		}
		p.B.StartAll()
		p.B.Mails("bob", len(ids))
		for _, id := range ids {
			gone(t, p.A, id)
		}
		p.B.Mails("bob", len(ids))
	})
}

// What the DNS says is told at once, what it cannot say now waits.
func TestRelayNames(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = slow
		p := pair(t, o, "broken.test. MX 10 mail.b.test.\nbare.test. TXT \"no address\"\n")
		p.DNS.SetFault("broken.test", fakedns.ServFail)
		a, b := p.A, p.B
		b.File("etc/domains", b.Domain+" local\nbroken.test local\n")
		p.StartAll()
		reports := 0
		for _, c := range []struct{ domain, dsn, says string }{
			{"null.test", "5.1.10", "does not take mail"},
			{"nowhere.test", "5.4.4", "does not exist"},
			{"bare.test", "5.4.4", "address"},
		} {
			id := submit(a, "alice", "to "+c.domain, "x@"+c.domain)
			a.WaitLine(id+": to=<x@"+c.domain+">, relay=none", "dsn="+c.dsn+", status=bounced (", c.says)
			reports++
			a.Mails("alice", reports)
			found := ""
			for _, text := range a.Mails("alice", reports) {
				if strings.Contains(text, "Final-Recipient: rfc822; x@"+c.domain+"\n") {
					found = text
				}
			}
			contains(t, found, "Status: "+c.dsn, "Action: failed", c.says, "Subject: to "+c.domain+"\n")
			gone(t, a, id)
			contains(t, why(t, a, id), "<x@"+c.domain+">: refused for good", c.says, "a notice")
		}

		id := submit(a, "alice", "to broken.test", "bob@broken.test")
		a.WaitLine(id+": to=<bob@broken.test>, relay=none", "dsn=4.4.3, status=deferred (", "broken.test")
		a.Wait("mailq to tell why", func() bool { return strings.Contains(mailq(a).Out, "lookup of broken.test failed") })
		contains(t, why(t, a, id), "<bob@broken.test> waits after 1 attempt", "lookup of broken.test failed")
		p.DNS.SetFault("broken.test", fakedns.None)
		a.Wait("delivery", func() bool {
			flush(t, a)
			return len(a.LogLines(id+": to=<bob@broken.test>", "status=sent")) > 0
		})
		contains(t, b.Mails("bob", 1)[0], "Delivered-To: bob@broken.test\n")
		gone(t, a, id)
		a.Mails("alice", reports)
	})
}

// Where the best exchanger refuses connections the next one gets the message in the same attempt.
func TestRelaySecondExchanger(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = slow
		p := pair(t, o, "two.test. MX 20 mail.b.test.\ntwo.test. MX 10 dead.two.test.\ndead.two.test. A 127.0.0.9\n")
		p.B.File("etc/domains", p.B.Domain+" local\ntwo.test local\n")
		p.StartAll()
		id := submit(p.A, "alice", "second", "bob@two.test")
		p.B.Mails("bob", 1)
		p.A.WaitLine("postrider/relayd[", "connect to dead.two.test[127.0.0.9]:", "onnection refused")
		p.A.WaitLine(id+": to=<bob@two.test>, relay="+p.B.Host+"[127.0.0.1]:", "status=sent")
		gone(t, p.A, id)
		containsNot(t, p.A.Log(), "status=deferred")
	})
}

// Where a certificate is demanded a wrong one keeps the mail here, and a right one lets it go.
func TestRelayVerified(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		p := pair(t, o, "")
		a, b := p.A, p.B
		demand := func(ca string) {
			a.Configure("[relayd]\nmin_backoff = \"1h\"\ntls_authorities = \"" + a.Dir + "/etc/trusted.pem\"\n")
			pem, err := os.ReadFile(ca)
			must(t, err)
			a.File("etc/trusted.pem", string(pem))
		}
		demand(a.CA)
		a.File("etc/tls_policy", b.Domain+" verify-mx\n")
		p.StartAll()
		id := submit(a, "alice", "sealed", at(b, "bob"))
		a.WaitLine(id+": to=<"+at(b, "bob")+">", "status=deferred (", "certificate")
		if n := len(suite.Maildir(b.Mailbox("bob"))); n != 0 {
			t.Fatal("sent to a host that nobody vouches for")
		}
		demand(b.CA)
		a.Reload("relayd", "reloaded")
		flush(t, a)
		b.Mails("bob", 1)
		a.WaitLine("postrider/relayd[", "Verified TLS connection established to "+b.Host+"[127.0.0.1]:")
		gone(t, a, id)
	})
}

// All mail for others goes through a smarthost, to which relayd logs in.
func TestSmarthost(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		p := pair(t, o, "")
		a, b := p.A, p.B
		hop := "[" + b.Host + "]:" + b.Addr["submission"][strings.LastIndex(b.Addr["submission"], ":")+1:]
		a.Configure("[relayd]\nmin_backoff = \"1h\"\nrelayhost = \"" + hop + "\"\ntls_authorities = \"" + b.CA + "\"\n")
		a.Secret("etc/relay_auth", hop+" bob:wrong\n", a.IDs.Relay)
		p.StartAll()
		id := submit(a, "alice", "by a smarthost", at(b, "carol"))
		refused := a.WaitLine(id+": to=<"+at(b, "carol")+">", "status=deferred (", "535 5.7.8")
		a.Secret("etc/relay_auth", hop+" bob:"+suite.Password+"\n", a.IDs.Relay)
		a.Wait("delivery", func() bool { // a table is looked at again after a moment
			flush(t, a)
			return len(a.LogLines(id+": to=<"+at(b, "carol")+">", "status=sent")) > 0
		})
		contains(t, b.Mails("carol", 1)[0], "with ESMTPSA id ", "Subject: by a smarthost")
		a.WaitLine("postrider/relayd[", "Verified TLS connection established to "+b.Host+"[127.0.0.1]:")
		containsNot(t, refused+a.Log(), suite.Password)
		gone(t, a, id)
	})
}

// Who may see and flush what waits for other hosts: everybody what is their own, root all.
func TestRelayQueueOfUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: asks as another uid")
	}
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = slow
		p := pair(t, o, "")
		a, b := p.A, p.B
		a.StartAll()
		others := submit(a, "alice", "others'", at(b, "bob"))
		if r := a.Sendmail("Subject: mine\n\nhi\n", "-f", at(a, "carol"), "-i", at(b, "bob")); r != (suite.Result{}) {
			t.Fatalf("sendmail: %+v", r)
		}
		mine := strings.TrimSuffix(strings.Split(a.WaitLine("uid=65534"), " ")[1], ":")
		a.WaitLine(mine, "status=deferred")
		a.WaitLine(others, "status=deferred")
		theirs := suite.Program{Name: "mailq", Args: []string{"-C", a.Config}, UID: suite.Nobody}
		a.Wait("the reason", func() bool { return strings.Contains(a.Call(theirs).Out, "onnection refused") })
		r := a.Call(theirs)
		contains(t, r.Out, mine, "in 1 Request.")
		containsNot(t, r.Out, others)
		b.StartAll()
		if r := a.Sendmail("", "-q"); r != (suite.Result{}) {
			t.Errorf("sendmail -q: %+v", r)
		}
		contains(t, b.Mails("bob", 1)[0], "Subject: mine")
		a.WaitLine(mine + ": removed")
		flush(t, a)
		b.Mails("bob", 2)
		gone(t, a, others)
	})
}

// The administrator holds, releases, retries and deletes what waits for a host.
func TestRelaySteered(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = slow
		p := pair(t, o, "")
		a, b := p.A, p.B
		a.StartAll()
		ids := make(map[string]string)
		for _, name := range []string{"held", "retried", "deleted"} {
			ids[name] = submit(a, "alice", name, at(b, "bob"))
			a.WaitLine(ids[name], "status=deferred")
		}
		a.WaitQueue("remote", "cur", 3)
		mailqOK(t, a, "1 message put on hold\n", "hold", ids["held"])
		mailqOK(t, a, "1 message deleted\n", "delete", ids["deleted"])
		b.StartAll()
		mailqOK(t, a, "1 message to be tried now\n", "retry", "--domain", b.Domain, "--state", "deferred")
		contains(t, b.Mails("bob", 1)[0], "Subject: retried")
		a.WaitLine(ids["retried"] + ": removed")
		contains(t, mailq(a).Out, ids["held"]+"!", "in 1 Request.")
		mailqOK(t, a, "1 message released\n", "release", "ALL")
		b.Mails("bob", 2)
		gone(t, a, ids["held"])
		if n := len(suite.Maildir(a.Mailbox("alice"))); n != 0 {
			t.Errorf("%d notices", n)
		}
	})
}

// A queue file of the remote channel can be moved by hand, as one of the local channel can.
func TestRelayByHand(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = slow
		p := pair(t, o, "")
		a, b := p.A, p.B
		a.StartAll()
		id := submit(a, "alice", "by hand", at(b, "bob"))
		a.WaitLine(id, "status=deferred")
		queued := a.WaitQueue("remote", "cur", 1)[0]
		if name := filepath.Base(queued); !strings.HasSuffix(name, ","+id+","+b.Domain) {
			t.Errorf("queue file %s", name)
		}
		b.StartAll()
		must(t, os.Rename(queued, filepath.Join(a.Spool, "remote", "new", filepath.Base(queued))))
		contains(t, b.Mails("bob", 1)[0], "Subject: by hand")
		gone(t, a, id)
	})
}
