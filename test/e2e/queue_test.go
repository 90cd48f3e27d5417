package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
				Recipients []struct {
					Address string `json:"address"`
					Reason  string `json:"delay_reason"`
				} `json:"recipients"`
			}
			must(t, json.Unmarshal([]byte(line), &m))
			states[m.ID] = fmt.Sprintln(m.Queue, m.Channel, m.Sender, m.Recipients[0].Address)
			if m.Arrival == 0 || m.ID == id && !strings.Contains(m.Recipients[0].Reason, "451 4.3.5") {
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
