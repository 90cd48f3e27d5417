package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postrider/test/suite"
)

// sends calls sendmail with a message, which it must take without a word.
func sends(t *testing.T, s *suite.Suite, stdin string, args ...string) {
	t.Helper()
	if r := s.Sendmail(stdin, args...); r != (suite.Result{}) {
		t.Fatalf("sendmail %q: %+v", args, r)
	}
}

func TestSendmail(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		n := 0
		next := func() string { // the newest message of bob
			t.Helper()
			n++
			texts := s.Mails("bob", n)
			return texts[n-1]
		}
		sends(t, s, "Subject: plain\n\nline\n.\nignored\n", "-f", "alice", "bob")
		text := next()
		contains(t, text, "Return-Path: <"+local("alice")+">\n", "\nFrom: ", "<"+local("alice")+">\n", "\nDate: ", "\nMessage-ID: <", "\n\nline\n")
		containsNot(t, text, "ignored", "\r")

		sends(t, s, "Subject: dots\n\nline\n.\n..kept\n", "-oi", "-falice", local("bob"))
		contains(t, next(), "\n\nline\n.\n..kept\n")

		sends(t, s, "From: Al <alice>\nTo: carol\nCc: Bob <bob@"+suite.Domain+">\nBcc: alice\nSubject: from the header\n\nhi\n", "-t", "-i", "-r", local("carol"))
		text = next()
		contains(t, text, "To: carol@"+suite.Domain+"\n", "From: Al <alice@"+suite.Domain+">\n", "Return-Path: <"+local("carol")+">")
		containsNot(t, text, "Bcc", "bcc")
		containsNot(t, s.Mails("alice", 1)[0], "Bcc")
		s.Mails("carol", 1)

		sends(t, s, "To: bob\r\nSubject: crlf\r\n\r\nbody\r\n", "-ti", "-f", "", "-F", "Dr. Bob")
		text = next()
		contains(t, text, "Return-Path: <>\n", "From: \"Dr. Bob\" <", "Subject: crlf\n", "\n\nbody\n")

		sends(t, s, "no header\n", "-f", "<>", "bob")
		contains(t, next(), "\n\nno header\n")

		sends(t, s, "Subject: half a line\n\nlast", "-odb", "-oem", "-B8BITMIME", "-f", "alice", "--", "bob")
		contains(t, next(), "\n\nlast\n")
	})
}

// The envelope of a message says what the options asked for, and who called.
func TestSendmailEnvelope(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Daemons = suite.Incoming
		s := suite.Start(t, o)
		sends(t, s, "Subject: options\n\nhi\n", "-f", "alice", "-N", "failure,delay", "-R", "hdrs", "-V", "env 1", "-B", "8BITMIME", "x@far.example", "y@far.example")
		b, err := os.ReadFile(s.WaitQueue("remote", "new", 1)[0])
		must(t, err)
		contains(t, string(b), "from: <"+local("alice")+"> ret=hdrs envid=env+201 body=8bitmime\n", "to: <x@far.example> via=remote notify=failure,delay\n",
			"to: <y@far.example> via=remote notify=failure,delay\n", "origin: local uid=")
		if os.Getuid() == 0 && !strings.Contains(string(b), "uid=65534\n") {
			t.Errorf("not the caller's uid:\n%s", b)
		}
	})
}

func TestSendmailStatus(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		for _, call := range []struct {
			code int
			says string
			args []string
		}{
			{64, "no recipients", nil},
			{64, "unknown option -Z", []string{"-Z", "bob"}},
			{64, "needs an argument", []string{"-f"}},
			{65, "", []string{"bob@@x"}},
			{67, "550 5.1.1", []string{"nobody-here"}},
			{67, "nobody-here", []string{"nobody-here", "carol"}},
		} {
			r := s.Sendmail("Subject: x\n\nx\n", append([]string{"-f", "alice"}, call.args...)...)
			if r.Code != call.code || !strings.Contains(r.Err, call.says) || !strings.HasPrefix(r.Err, "sendmail: ") || r.Out != "" {
				t.Errorf("%q: %+v", call.args, r)
			}
		}
		s.Mails("carol", 1) // the good recipient of the last call
		r := s.Sendmail("", "-bv", "bob", "nobody-here")
		if r.Code != 67 || !strings.Contains(r.Out, "bob... deliverable\n") || !strings.Contains(r.Out, "nobody-here... 550 5.1.1") {
			t.Errorf("-bv: %+v", r)
		}
		r = s.Sendmail("EHLO me\nMAIL FROM:<alice>\nRCPT TO:<bob>\nDATA\nSubject: by dialogue\n\nhi\n.\nQUIT\n", "-bs")
		if r.Code != 0 || !regexp.MustCompile(`(?s)^220 .*\r\n250[- ].*\r\n354 .*\r\n250 2\.0\.0 Ok: queued as \w{16}\r\n221 `).MatchString(r.Out) {
			t.Errorf("-bs: %+v", r)
		}
		contains(t, s.Mails("bob", 1)[0], "Subject: by dialogue\n", "From: ")
	})
}

// Where no smtpd listens the caller is told at once; for one that is just being started again sendmail waits a while: callers
// such as cron drop what they cannot send.
func TestSendmailWithoutServer(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.New(t, o)
		if r := s.Sendmail("Subject: x\n\nx\n", "-f", "alice", "bob"); r.Code != 75 || !strings.HasPrefix(r.Err, "sendmail: ") {
			t.Errorf("smtpd is down: %+v", r)
		}
		if r := s.Sendmail("QUIT\n", "-bs"); r.Code != 75 || !strings.HasPrefix(r.Out, "421 ") {
			t.Errorf("-bs: %+v", r)
		}
		s.StartAll()
		s.Crash("smtpd")
		result := make(chan suite.Result, 1)
		go func() { result <- s.Sendmail("Subject: x\n\nx\n", "-f", "alice", "bob") }()
		s.StartDaemon("smtpd")
		if r := <-result; r != (suite.Result{}) {
			t.Fatalf("smtpd has come back: %+v", r)
		}
		s.Mails("bob", 1)
	})
}

func TestNewaliases(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.New(t, o)
		newaliases := suite.Program{Name: "newaliases", Args: []string{"-C", s.Config}, UID: suite.Nobody}
		if err := os.Link(s.Path("sendmail"), s.Path("newaliases")); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		if r := s.Call(newaliases); r != (suite.Result{}) {
			t.Errorf("good aliases: %+v", r)
		}
		s.File("etc/aliases", "postmaster: alice\n# a comment\nbroken line\nroot: alice\nteam: bob, @@\n")
		r := s.Call(newaliases)
		path := filepath.Join(s.Dir, "etc/aliases")
		if r.Code != 65 || !strings.Contains(r.Err, path+":3: ") || !strings.Contains(r.Err, path+":5: ") || r.Out != "" {
			t.Errorf("broken aliases: %+v", r)
		}
		if again := s.Sendmail("", "-bi"); again != r {
			t.Errorf("sendmail -bi: %+v", again)
		}
	})
}

// A message that does not fit into memory goes through a temporary file, as it is.
func TestSendmailLargeAndEightBit(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		body := strings.Repeat("Grüße, "+strings.Repeat("x", 900)+"\n", 800) // more than is kept in memory
		sends(t, s, "Subject: large\n\n"+body, "-i", "-f", "alice", "bob")
		text := s.Mails("bob", 1)[0]
		if !strings.HasSuffix(text, "\n\n"+body) {
			t.Errorf("the text changed: %d octets of %d", len(text), len(body))
		}
	})
}

// TestSendmailCallers makes the calls that well-known programs make.
func TestSendmailCallers(t *testing.T) {
	calls := []struct {
		by   string
		args string
	}{
		{"mail", "-i -t"},
		{"mailx", "-i -t -f alice"},
		{"s-nail", "-i -f alice -- bob"},
		{"mailutils", "-oi -f alice@" + suite.Domain + " -t"},
		{"mutt", "-oem -oi -f alice -N failure,delay -R hdrs -- bob"},
		{"git", "-i bob"},
		{"PHP", "-t -i -falice"},
		{"cron", "-FCronDaemon -i -B8BITMIME -oem bob"},
		{"logwatch", "-t"},
		{"scripts", "-oi -t -odq"},
		{"alpine", "-t -i -oem -odb"},
		{"a dialogue", "-bm -i bob"},
		{"everything", "-v -U -G -m -n -h 10 -L tag -oMr local -O DeliveryMode=b -p ESMTP -X /dev/null -om -oee -e m -i bob"},
	}
	eachWay(t, func(t *testing.T, o suite.Options) {
		s := suite.Start(t, o)
		for _, call := range calls {
			r := s.Sendmail("To: bob\nSubject: "+call.by+"\n\nhi\n", strings.Fields(call.args)...)
			if r.Code != 0 || r.Err != "" || r.Out != "" && !strings.HasPrefix(call.args, "-v") {
				t.Errorf("%s: sendmail %s: %+v", call.by, call.args, r)
			}
		}
		all := strings.Join(s.Mails("bob", len(calls)), "")
		for _, call := range calls {
			contains(t, all, "Subject: "+call.by+"\n")
		}
	})
}
