package imapd

import (
	"fmt"
	"strings"
	"testing"
)

const multipart = "MIME-Version: 1.0\nSubject: report\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nfirst\npart\n" +
	"--b\nContent-Type: text/html\n\n<p>second\n--b--\n"

// TestCatenate puts messages together as RFC 4469 §3 does: new text, a header, a part with its header, a whole message.
func TestCatenate(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliver("", "1000000.M1P1.h", multipart)
	s.options.MessageSize = 1000
	c := s.connect()
	c.ok("CREATE Drafts")
	c.ok("CREATE &AOQ-")
	c.ok("SELECT INBOX")
	validity := c.ok("STATUS INBOX (UIDVALIDITY)")[0]
	validity = validity[strings.LastIndexByte(validity, ' ')+1 : len(validity)-1]
	for _, step := range []struct{ parts, want string }{
		{`URL "/INBOX;UIDVALIDITY=` + validity + `/;UID=1"`, strings.ReplaceAll(multipart, "\n", "\r\n")},
		{`URL ";UID=1/;SECTION=1"`, "first\r\npart"},
		{`URL "/inbox/;uid=1/;section=HEADER.FIELDS%20(Subject)" TEXT {8}` + "\r\nbody: \r\n URL /INBOX/;UID=1/;SECTION=2.MIME", "Subject: report\r\n\r\nbody: \r\nContent-Type: text/html\r\n\r\n"},
		{`URL "/INBOX/;UID=1/;SECTION=2/;PARTIAL=3.6"`, "second"},
		{`URL "/INBOX/;UID=1/;PARTIAL=9.6" URL {28+}` + "\r\n/INBOX/;UID=1/;PARTIAL=0.4 x", ""},
		{`TEXT {0}` + "\r\n TEXT {3+}\r\nabc", "abc"},
		{`URL "/Drafts/;UID=2" URL "/Drafts/;UID=2" TEXT {1+}` + "\r\nx", "first\r\npartfirst\r\npartx"},
	} {
		answer := c.converse("a APPEND Drafts CATENATE (" + step.parts + ")\r\n")
		if step.want == "" {
			if !strings.HasPrefix(answer, "NO [BADURL ") {
				t.Errorf("%s: %s", step.parts, answer)
			}
			continue
		}
		if !strings.HasPrefix(answer, "OK [APPENDUID ") {
			t.Fatalf("%s: %s", step.parts, answer)
		}
		uid := answer[strings.LastIndexByte(answer[:max(0, strings.IndexByte(answer, ']'))], ' ')+1 : strings.IndexByte(answer, ']')]
		c.ok("EXAMINE Drafts")
		got := c.ok("UID FETCH %s BODY[]", uid)
		if want := fmt.Sprintf("{%d}\r\n%s)", len(step.want), step.want); len(got) != 1 || !strings.HasSuffix(got[0], want) {
			t.Errorf("%s:\n got %q\nwant %q", step.parts, got, want)
		}
		c.ok("SELECT INBOX")
	}
	if left := s.files(".Drafts/tmp/*"); len(left) > 0 {
		t.Error("left in tmp:", left)
	}
}

// converse sends a command of which literals wait to be asked for, and gives its answer.
func (c *client) converse(command string) string {
	c.t.Helper()
	for {
		before, after, found := strings.Cut(command, "}\r\n")
		if !found || strings.HasSuffix(before, "+") {
			c.send(command)
			_, answer := c.collect("a ")
			return answer
		}
		c.send(before + "}\r\n")
		if line := c.line(); line != "+ OK" {
			c.t.Fatalf("%q: %s", command, line)
		}
		command = after
	}
}

// TestBadURLs: nothing is appended if one URL is wrong, and the client hears which.
func TestBadURLs(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliver("", "1000000.M1P1.h", multipart)
	s.options.MessageSize = 1000
	c := s.connect()
	for _, url := range []string{
		"/INBOX/;UID=2", "/INBOX;UIDVALIDITY=1/;UID=1", "/nix/;UID=1", "/INBOX/;UID=1/;SECTION=3", "/INBOX/;UID=1/;SECTION=1.2", ";UID=1",
		"imap://other.example/INBOX/;UID=1", "/INBOX", "/INBOX/;UID=0", "/a..b/;UID=1", "/%ff/;UID=1", "/INBOX/;UID=1;URLAUTH=x",
	} {
		c.send(fmt.Sprintf("a APPEND INBOX {1+}\r\nx CATENATE (TEXT {1+}\r\ny URL \"%s\" TEXT {1+}\r\nz)\r\n", url))
		c.expect("a NO [BADURL " + url + "] …")
	}
	c.send("a APPEND INBOX CATENATE (URL /INBOX/;UID=1 URL /INBOX/;UID=1" + strings.Repeat(" URL /INBOX/;UID=1", 10) + ")\r\n")
	c.expect("a NO [TOOBIG] …")
	c.send("a APPEND INBOX CATENATE (TEXT {900+}\r\n" + strings.Repeat("x", 900) + " TEXT {101}\r\n")
	c.expect("a NO [TOOBIG] …")
	c.send("a APPEND INBOX CATENATE (URL \"/INBOX/;UID=1 ]\xff\")\r\n")
	c.expect("a NO [BADURL /INBOX/;UID=1%20%5D%FF] …")
	c.send("a APPEND INBOX CATENATE (TEXT {0+}\r\n URL /INBOX/;UID=1/;PARTIAL=5000)\r\n")
	c.expect("a NO Can't save a zero byte message.")
	c.send("b STATUS INBOX (MESSAGES)\r\n")
	c.expect("* STATUS INBOX (MESSAGES 1)", "b OK …")
	if left := s.files("tmp/*"); len(left) > 0 {
		t.Error("left in tmp:", left)
	}
}

// TestCatenateMany: thousands of parts are as any.
func TestCatenateMany(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliver("", "1000000.M1P1.h", multipart)
	c := s.connect()
	c.send("a APPEND INBOX CATENATE (TEXT {1+}\r\nx" + strings.Repeat(" TEXT {1+}\r\ny URL /INBOX/;UID=1/;SECTION=1", 1000) + ")\r\n")
	c.expect("a OK …")
	c.ok("SELECT INBOX")
	if got := c.ok("FETCH 2 RFC822.SIZE"); !like("…RFC822.SIZE "+fmt.Sprint(1+1000*12)+")", got[0]) {
		t.Error(got)
	}
	c.send("a APPEND INBOX CATENATE (TEXT {1+}\r\nx" + strings.Repeat(" TEXT {1+}\r\ny", 10000) + ")\r\nb NOOP\r\n")
	c.expect("a BAD [LIMIT] …", "b OK …")
}
