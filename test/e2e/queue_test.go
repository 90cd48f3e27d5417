package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/test/suite"
)

// stuck starts a suite with one deferred message for bob, who has an unusable .forward, and returns its id.
func stuck(t *testing.T, o suite.Options) (*suite.Suite, string) {
	t.Helper()
	o.Extra = patient
	s := suite.New(t, o)
	s.HomeFile("bob", ".forward", "no@@address\n", 0o600)
	s.StartAll()
	id := s.MailTo("stuck", local("bob"))
	s.WaitLine(id, "status=deferred")
	s.WaitQueue("local", "cur", 1)
	return s, id
}

func unstick(t *testing.T, s *suite.Suite) {
	t.Helper()
	must(t, os.Remove(filepath.Join(s.Mail, "bob", ".forward")))
}

// move is mv between two directories of the local channel.
func move(t *testing.T, s *suite.Suite, path, to string) string {
	t.Helper()
	target := filepath.Join(s.Spool, "local", to, filepath.Base(path))
	must(t, os.Rename(path, target))
	return target
}

func TestHoldByHand(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s, id := stuck(t, o)
		held := move(t, s, s.Queue("local", "cur")[0], "hold")
		unstick(t, s)
		flush(t, s)
		contains(t, mailq(s).Out, id+"!")
		if n := len(suite.Maildir(s.Mailbox("bob"))); n != 0 {
			t.Errorf("%d messages were delivered on hold", n)
		}
		move(t, s, held, "new")
		s.Mails("bob", 1)
		s.WaitLog(id + ": removed")
		if out := mailq(s).Out; out != "Mail queue is empty\n" {
			t.Errorf("%q", out)
		}
	})
}

func TestRemoveByHand(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s, _ := stuck(t, o)
		must(t, os.Remove(s.Queue("local", "cur")[0]))
		unstick(t, s)
		flush(t, s)
		s.MailTo("another", local("bob"))
		contains(t, s.Mails("bob", 1)[0], "Subject: another")
		containsNot(t, s.Log(), "error:")
	})
}

// TestRetryByHand moves a deferred message to new/, which makes it due.
func TestRetryByHand(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s, id := stuck(t, o)
		unstick(t, s)
		move(t, s, s.Queue("local", "cur")[0], "new")
		s.Mails("bob", 1)
		s.WaitLog(id + ": removed")
	})
}

// flush runs sendmail -q as the administrator.
func flush(t *testing.T, s *suite.Suite, args ...string) {
	t.Helper()
	if r := s.Call(suite.Program{Name: "sendmail", Args: append([]string{"-C", s.Config, "-q"}, args...)}); r != (suite.Result{}) {
		t.Fatalf("sendmail -q: %+v", r)
	}
}

func mailq(s *suite.Suite, args ...string) suite.Result {
	return s.Call(suite.Program{Name: "mailq", Args: append([]string{"-C", s.Config}, args...)})
}

func TestRequeue(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s, id := stuck(t, o)
		spool := func(args ...string) suite.Result {
			return s.Call(suite.Program{Name: "postrider", Args: append([]string{"spool", "-c", s.Config}, args...)})
		}
		if r := spool("check"); r.Code != 0 || r.Out != "1 files good, 0 not\n" {
			t.Errorf("check: %+v", r)
		}
		queued := s.Queue("local", "cur")[0]
		if r := spool("requeue", queued); r.Code != 1 || !strings.Contains(r.Err, "move it to hold/ first") {
			t.Errorf("requeue of a file in flight: %+v", r)
		}
		held := move(t, s, queued, "hold")
		b, err := os.ReadFile(held)
		must(t, err)
		edited := strings.Replace(string(b), "to: <"+local("bob")+">", "to: <"+local("carol")+">", 1)
		edited = strings.Replace(edited, "Hello.\r\n", "Hello, edited.\n", 1)
		must(t, os.WriteFile(held, []byte(edited), 0o600))
		if r := spool("check"); r.Code != 1 || !strings.Contains(r.Out, held+": ") || !strings.Contains(r.Out, "0 files good, 1 not") {
			t.Errorf("check of an edited file: %+v", r)
		}
		r := spool("requeue", held)
		anew := strings.TrimSpace(r.Out)
		if r.Code != 0 || len(anew) != 16 || anew == id {
			t.Fatalf("requeue: %+v", r)
		}
		text := s.Mails("carol", 1)[0]
		contains(t, text, "Hello, edited.\n", "Subject: stuck")
		s.WaitLog(anew + ": removed")
		if left := s.Queue("local", "hold"); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestMailq(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Daemons = suite.Incoming
		s, id := stuck(t, o)
		s.AddPassword("alice")
		c := hello(s, "submissions")
		c.Login("alice", suite.Password)
		remote := c.Send(local("alice"), []string{"x@far.example"}, suite.Text("far"))
		out := mailq(s)
		contains(t, out.Out, "----Queue ID-----", id+" ", "sender@elsewhere.example", local("bob"), "(virtual: 451 4.3.5 user's forward cannot be used",
			remote+" ", local("alice"), "x@far.example", "Kbytes in 2 Requests.")
		if out.Code != 0 || out.Err != "" {
			t.Errorf("%+v", out)
		}
		if other := s.Call(suite.Program{Name: "sendmail", Args: []string{"-C", s.Config, "-bp"}}); other != out {
			t.Errorf("sendmail -bp: %+v", other)
		}
		if one := mailq(s, id); strings.Contains(one.Out, remote) || !strings.Contains(one.Out, id) {
			t.Errorf("mailq %s: %+v", id, one)
		}
		states := make(map[string]string)
		for line := range strings.Lines(mailq(s, "-j").Out) {
			var m struct {
				Queue      string `json:"queue_name"`
				ID         string `json:"queue_id"`
				Sender     string `json:"sender"`
				Channel    string `json:"channel"`
				Arrival    int64  `json:"arrival_time"`
				Next       int64  `json:"next_attempt"`
				Attempts   int    `json:"attempts"`
				Hop        string `json:"next_hop"`
				Recipients []struct {
					Address string `json:"address"`
					Reason  string `json:"delay_reason"`
					Relay   string `json:"relay"`
					Reply   string `json:"last_reply"`
					Tried   int64  `json:"last_attempt"`
				} `json:"recipients"`
			}
			must(t, json.Unmarshal([]byte(line), &m))
			states[m.ID] = fmt.Sprintln(m.Queue, m.Channel, m.Sender, m.Recipients[0].Address)
			if m.Arrival == 0 {
				t.Errorf("%s", line)
			}
			if to := m.Recipients[0]; m.ID == id && (to.Reason != to.Relay+": "+to.Reply || to.Relay != "virtual" || !strings.HasPrefix(to.Reply, "451 4.3.5") ||
				to.Tried < m.Arrival || m.Next <= to.Tried || m.Attempts != 1 || m.Hop != suite.Domain) {
				t.Errorf("%s", line)
			}
		}
		want := map[string]string{
			id:     fmt.Sprintln("deferred local sender@elsewhere.example", local("bob")),
			remote: fmt.Sprintln("incoming remote", local("alice"), "x@far.example"),
		}
		if fmt.Sprint(states) != fmt.Sprint(want) {
			t.Errorf("mailq -j: %v, not %v", states, want)
		}
	})
}

// Everybody may ask for what is their own, and flush it; for the rest if the configuration says so.
func TestMailqUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: asks as another uid")
	}
	eachWay(t, func(t *testing.T, o suite.Options) {
		s, others := stuck(t, o)
		if r := s.Sendmail("Subject: mine\n\nhi\n", "-f", local("carol"), "-i", local("bob")); r != (suite.Result{}) {
			t.Fatalf("sendmail: %+v", r)
		}
		mine := strings.Split(s.WaitLine("uid=65534"), " ")[1]
		mine = strings.TrimSuffix(mine, ":")
		s.WaitLine(mine, "status=deferred")
		theirs := suite.Program{Name: "mailq", Args: []string{"-C", s.Config}, UID: suite.Nobody}
		r := s.Call(theirs)
		contains(t, r.Out, mine, "451 4.3.5", "in 1 Request.")
		containsNot(t, r.Out, others)
		if r.Code != 0 || r.Err != "" {
			t.Errorf("%+v", r)
		}
		s.Configure("mailq_users = \"any\"\n" + patient)
		s.Reload("localdeliver", "reloaded")
		contains(t, s.Call(theirs).Out, mine, others, "in 2 Requests.")
		unstick(t, s)
		if r := s.Sendmail("", "-q"); r != (suite.Result{}) {
			t.Errorf("sendmail -q: %+v", r)
		}
		contains(t, s.Mails("bob", 1)[0], "Subject: mine")
		s.WaitLog(mine + ": removed")
		flush(t, s, "-qI"+others)
		s.Mails("bob", 2)
	})
}

// An alias with a program waits, says why, and is delivered when the alias is mended.
func TestProgramAlias(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		o.Extra = patient
		s := suite.New(t, o)
		s.File("etc/aliases", "postmaster: alice\nlist: bob, \"|/usr/bin/archive --list\"\nfile: /var/mail/all\ninclude: :include:/etc/list\n")
		s.StartAll()
		for _, name := range []string{"list", "file", "include"} {
			id := s.MailTo(name, local(name))
			s.WaitLine(id, "to=<"+local(name)+">", "dsn=4.3.5, status=deferred")
		}
		contains(t, mailq(s).Out, "alias list has members that are no addresses, which is not supported yet", "alias file has", "alias include has", "in 3 Requests")
		if n := len(suite.Maildir(s.Mailbox("bob"))); n != 0 {
			t.Errorf("a member of a list that waits as a whole got %d messages", n)
		}
		s.File("etc/aliases", "postmaster: alice\nlist: bob\nfile: bob\ninclude: bob\n")
		s.Wait("an empty queue", func() bool {
			flush(t, s)
			return len(s.Queue("local", "cur")) == 0
		})
		s.Mails("bob", 3)
	})
}

// mailqOK is mailq that must succeed.
func mailqOK(t *testing.T, s *suite.Suite, want string, args ...string) {
	t.Helper()
	if r := mailq(s, args...); r != (suite.Result{Out: want}) {
		t.Fatalf("mailq %q: %+v", args, r)
	}
}

// uid is the test's own.
func uid() string { return fmt.Sprint(os.Getuid()) }

func TestMailqSteers(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s, id := stuck(t, o)
		second := s.MailTo("second", local("bob"), local("carol"))
		s.WaitLine(second, "status=deferred")
		s.Mails("carol", 1)
		s.WaitQueue("local", "cur", 2)

		mailqOK(t, s, "1 message put on hold\n", "hold", id)
		s.WaitLine(id + ": hold: by uid " + uid())
		unstick(t, s)
		mailqOK(t, s, "1 message to be tried now\n", "retry", "--recipient", local("bob"), "--older", "0s")
		contains(t, s.Mails("bob", 1)[0], "Subject: second")
		s.WaitLog(second + ": removed")
		contains(t, mailq(s).Out, id+"!")
		if r := mailq(s, "retry", id); r.Code != 1 || r.Err != "mailq: "+id+": on hold: release it first\n" {
			t.Errorf("%+v", r)
		}

		contains(t, mailq(s, "release", "-n", "ALL").Out, id+"!", "in 1 Request.")
		mailqOK(t, s, "1 message released\n", "release", "ALL")
		s.WaitLine(id + ": release: by uid " + uid())
		s.Mails("bob", 2)
		s.WaitLog(id + ": removed")
		if r := mailq(s, "release", "ALL"); r.Code != 1 || r.Err != "mailq: no such message\n" {
			t.Errorf("%+v", r)
		}
		if r := mailq(s, "delete"); r.Code != 64 {
			t.Errorf("delete of what: %+v", r)
		}
	})
}

func TestMailqDeletes(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s, id := stuck(t, o)
		s.AddPassword("alice")
		c := hello(s, "submissions")
		c.Login("alice", suite.Password)
		both := c.Send(local("alice"), []string{local("bob"), "x@far.example"}, suite.Text("both"))
		s.WaitLine(both, "status=deferred")
		s.WaitQueue("local", "cur", 2)
		r := mailq(s, "cat", both)
		contains(t, r.Out, "postrider1 id="+both, "to: <x@far.example> via=remote", "Subject: both\r\n")
		containsNot(t, mailq(s, "delete", "-n", "--domain", "far.example").Out, id)
		mailqOK(t, s, "1 message deleted\n", "delete", "--domain", "far.example") // in one channel, whose daemon may be away
		s.WaitQueue("remote", "new", 0)
		contains(t, mailq(s).Out, both, id, "in 2 Requests.")
		mailqOK(t, s, "1 message deleted\n", "delete", "--sender", local("alice"))
		s.WaitLine(both + ": delete: by uid " + uid())
		s.WaitLine(both + ": removed")
		mailqOK(t, s, "1 message deleted\n", "delete", id)
		mailqOK(t, s, "Mail queue is empty\n")
		if left := append(s.Queue("local", "cur"), s.Queue("local", "log")...); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		unstick(t, s)
		flush(t, s)
		s.MailTo("another", local("bob"))
		contains(t, s.Mails("bob", 1)[0], "Subject: another")
		containsNot(t, s.Log(), "error:")
	})
}

// Users steer their own mail, many messages at a time.
func TestMailqOwn(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: asks as another uid")
	}
	eachWay(t, func(t *testing.T, o suite.Options) {
		s, others := stuck(t, o)
		const n = 50
		for i := range n {
			if r := s.Sendmail(fmt.Sprintf("Subject: mine %d\n\nhi\n", i), "-f", local("carol"), local("bob")); r != (suite.Result{}) {
				t.Fatalf("sendmail: %+v", r)
			}
		}
		s.Wait("all deferred", func() bool { return len(s.LogLines("status=deferred")) == n+1 })
		s.WaitQueue("local", "cur", n+1)
		mine := func(args ...string) suite.Result {
			return s.Call(suite.Program{Name: "mailq", Args: append([]string{"-C", s.Config}, args...), UID: suite.Nobody})
		}
		if r := mine("delete", others); r.Code != 1 || r.Err != "mailq: "+others+": no such message\n" {
			t.Errorf("another's message: %+v", r)
		}
		if r := mine("cat", others); r.Code != 1 || r.Out != "" {
			t.Errorf("another's message: %+v", r)
		}
		if r := mine("hold", "--files", "ALL"); r.Code == 0 {
			t.Errorf("by the files: %+v", r)
		}
		began := time.Now()
		if r := mine("delete", "ALL"); r != (suite.Result{Out: "50 messages deleted\n"}) {
			t.Errorf("delete: %+v", r)
		}
		if d := time.Since(began); d > 15*time.Second {
			t.Errorf("it took %v", d)
		}
		contains(t, mailq(s).Out, others, "in 1 Request.")
		contains(t, s.WaitLine(": delete: by uid 65534"), "postrider/localdeliver")
	})
}

// With the daemons down root steers by the files, and they find it so.
func TestMailqDown(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s, id := stuck(t, o)
		s.Stop("localdeliver")
		unstick(t, s)
		early := s.MailTo("early", local("carol"))
		doomed := s.MailTo("doomed", local("carol"))
		s.WaitQueue("local", "new", 2)
		mailqOK(t, s, "1 message put on hold\n", "hold", early)
		mailqOK(t, s, "1 message deleted\n", "delete", "--files", doomed)
		mailqOK(t, s, "1 message to be tried now\n", "flush")
		s.WaitQueue("local", "new", 1)
		s.StartDaemon("localdeliver")
		s.Mails("bob", 1)
		s.WaitLog(id + ": removed")
		if n := len(suite.Maildir(s.Mailbox("carol"))); n != 0 {
			t.Errorf("%d messages were delivered on hold", n)
		}
		mailqOK(t, s, "1 message released\n", "release", "--files", early) // beside it
		contains(t, s.Mails("carol", 1)[0], "Subject: early")
		s.WaitLog(early + ": removed")
		mailqOK(t, s, "Mail queue is empty\n")
	})
}

// sendmail's own selections choose by parts of the id, the sender and a recipient.
func TestFlushSome(t *testing.T) {
	eachWay(t, func(t *testing.T, o suite.Options) {
		s, id := stuck(t, o)
		s.HomeFile("carol", ".forward", "no@@address\n", 0o600)
		other := s.MailTo("other", local("carol"))
		s.WaitLine(other, "status=deferred")
		s.WaitQueue("local", "cur", 2)
		unstick(t, s)
		must(t, os.Remove(filepath.Join(s.Mail, "carol", ".forward")))
		some := func(arg string) {
			if r := s.Call(suite.Program{Name: "sendmail", Args: []string{"-C", s.Config, arg}}); r != (suite.Result{}) {
				t.Fatalf("sendmail %s: %+v", arg, r)
			}
		}
		some("-qRnobody")
		some("-qRCAROL@")
		s.Mails("carol", 1)
		s.WaitLog(other + ": removed")
		if n := len(suite.Maildir(s.Mailbox("bob"))); n != 0 {
			t.Errorf("%d messages of another selection", n)
		}
		some("-q!Salice")
		s.Mails("bob", 1)
		s.WaitLog(id + ": removed")
	})
}
