package imapd

import (
	"strings"
	"testing"
	"time"
)

func TestIdle(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.times.alive = 300 * time.Millisecond
	c := s.connect()
	c.dialogue(`
		C: a IDLE
		S: + idling
		S: * OK Still here
		C: DONE
		S: a OK Idle completed.
		C: b SELECT INBOX
		S: * FLAGS …
		S: * OK …
		S: * 0 EXISTS
		S: * 0 RECENT
		S: * OK [UIDVALIDITY …
		S: * OK [UIDNEXT 1] …
		S: * OK [MAILBOXID (…)] Mailbox ID
		S: * OK [HIGHESTMODSEQ …] Highest
		S: b OK …
		C: c IDLE
		S: + idling
	`)
	s.deliver("", "1000001.M1.h", "Subject: x\n\nx\n")
	begin := time.Now()
	for line := c.line(); line != "* 1 EXISTS"; line = c.line() {
		if line != "* OK Still here" {
			t.Fatal(line)
		}
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("EXISTS after %v", took)
	}
	c.send("DONE\r\nd STATUS INBOX (MESSAGES UNSEEN)\r\ne IDLE\r\nDONE\r\nf NOOP\r\n")
	c.expect("* 1 RECENT")
	if untagged, answer := c.collect("c "); !strings.HasPrefix(answer, "OK") {
		t.Fatal(untagged, answer)
	}
	c.expect("* STATUS INBOX (MESSAGES 1 UNSEEN 1)", "d OK …", "+ idling", "e OK Idle completed.", "f OK …")
	c.dialogue(`
		C: g IDLE
		S: + idling
		C: FOO
		S: g BAD Expected DONE.
		C: h NOOP
		S: h OK …
	`)
}

func TestIdleEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end    func(*server, *client)
		says   string
		reason string
	}{
		"shutdown": {func(_ *server, c *client) { c.stop() }, "* BYE Server shutting down.", "Server shutting down"},
		"timeout":  {func(*server, *client) {}, "* BYE Disconnected for inactivity.", "Inactivity - no input for 1 secs"},
		"deleted": {func(s *server, _ *client) {
			if err := s.store.Delete("A"); err != nil {
				s.t.Fatal(err)
			}
		}, "* BYE IMAP session state is inconsistent, please relogin.", "IMAP session state is inconsistent, please relogin."},
		"hung up": {func(_ *server, c *client) { c.conn.Close() }, "", "Connection closed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			c := s.connect(func(o *Options) {
				if name == "timeout" {
					o.IdleTimeout = time.Second
				}
			})
			c.ok("CREATE A")
			c.ok("SELECT A")
			c.send("a IDLE\r\n")
			c.expect("+ idling")
			test.end(s, c)
			if test.says != "" {
				c.expect(test.says)
			}
			if sum := c.ends(); sum.Reason != test.reason {
				t.Error(sum)
			}
		})
	}
}
