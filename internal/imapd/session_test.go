package imapd

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect(func(o *Options) { o.Tag, o.Folders = "x1", specials })
	c.dialogue(`
		S: x1 OK [CAPABILITY IMAP4rev1 IMAP4rev2 …LITERAL+…COMPRESS=DEFLATE] Logged in
		C: a1 CAPABILITY
		S: * CAPABILITY IMAP4rev1 IMAP4rev2 SASL-IR … COMPRESS=DEFLATE
		S: a1 OK Capability completed.
		C: a2 NAMESPACE
		S: * NAMESPACE (("" ".")) NIL NIL
		S: a2 OK Namespace completed.
		C: a3 ID ("name" "OfflineIMAP" "version" "8.0.0")
		S: * ID ("name" "Postrider")
		S: a3 OK ID completed.
		C: a4 ENABLE UTF8=ACCEPT QRESYNC
		S: * ENABLED UTF8=ACCEPT QRESYNC
		S: a4 OK Enabled.
		C: a5 LIST "" "*"
		S: * LIST (\HasNoChildren) "." INBOX
		S: * LIST (\HasNoChildren \Drafts) "." Drafts
		S: * LIST (\HasNoChildren \Sent) "." Sent
		S: * LIST (\HasNoChildren \Trash) "." Trash
		S: a5 OK List completed.
		C: a6 LSUB "" *
		S: * LSUB () "." Drafts
		S: * LSUB () "." Sent
		S: * LSUB () "." Trash
		S: a6 OK Lsub completed.
		C: a7 NOOP
		S: a7 OK NOOP completed.
		C: a8 LOGIN a b
		S: a8 BAD …
		C: a9 LOGOUT
		S: * BYE Logging out
		S: a9 OK Logout completed.
	`)
	if got := c.ends().String(); !like("Logged out in=… out=… deleted=0 expunged=0 trashed=0 hdr_count=0 hdr_bytes=0 body_count=0 body_bytes=0", got) {
		t.Error(got)
	}
	if lines := s.log.all(); lines != "" {
		t.Error("logged:", lines)
	}
}

func TestShutdownAndInactivity(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.selected()
	c.stop()
	c.expect("* BYE Server shutting down.")
	if sum := c.ends(); sum.Reason != "Server shutting down" {
		t.Error(sum)
	}
	c = s.connect(func(o *Options) { o.IdleTimeout = 50 * time.Millisecond })
	c.expect("* BYE Disconnected for inactivity.")
	if sum := c.ends(); !strings.HasPrefix(sum.Reason, "Inactivity") {
		t.Error(sum)
	}
	c = s.connect(func(o *Options) { o.IdleTimeout = 50 * time.Millisecond })
	c.send("a APPEND INBOX {100+}\r\nhello")
	c.expect("* BYE Disconnected for inactivity.")
	if sum := c.ends(); !strings.HasPrefix(sum.Reason, "Inactivity") || len(s.files("cur/*")) > 0 || len(s.files("tmp/*")) > 0 {
		t.Error(sum, s.files("*/*"))
	}
}

func TestTooManyBadCommands(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	for i := range maxBad - 1 {
		c.dialogue(fmt.Sprintf("C: x%d FOO\nS: x%d BAD …", i, i))
	}
	c.ok("NOOP")
	for i := range maxBad {
		c.dialogue(fmt.Sprintf("C: y%d FETCH 1 FLAGS\nS: y%d BAD …", i, i))
	}
	c.expect("* BYE Too many invalid IMAP commands.")
	c.ends()
}
