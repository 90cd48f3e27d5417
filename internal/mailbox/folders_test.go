package mailbox

import (
	"bytes"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"postrider/internal/config"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	here := config.Folders{Sent: "Sent", Trash: "Trash"}
	for name, test := range map[string]struct {
		prefix  string
		folders string // "name attribute ...", separator is the first octet
		want    string
	}{
		"plain":          {"", ".INBOX;.A.B;.A", "INBOX A.B A"},
		"slash":          {"", "/INBOX;/A/B;/a.b;/A/x.y/z", "INBOX A.B a_b A.x_y.z"},
		"Courier":        {"INBOX.", ".INBOX;.INBOX.A;.INBOX.A.B;.shared.x", "INBOX A A.B shared.x"},
		"special":        {"", `/INBOX;/Sent Items \Sent;/Sent Items/2020;/Sent;/Deleted \trash`, "INBOX Sent Sent.2020 Sent~2 Trash"},
		"two of them":    {"", `/One \Sent;/Two \Sent`, "Sent Two"},
		"only shown":     {"", `/INBOX;/G \Noselect;/G/All \All;/G/Star \Flagged;/G/x \NonExistent;/G/y`, "INBOX G.y"},
		"one name":       {"", "/a.b;/a_b;/a/b;/A_B", "a_b a_b~2 a.b A_B"},
		"empty parts":    {"", "/a//b;//x;/y/", "a._.b _.x y._"},
		"control":        {"", "/a\tb;/c\x7f", "a_b c_"},
		"flat":           {"", " INBOX; a.b/c", "INBOX a_b_c"},
		"prefix and all": {"INBOX.", ".INBOX.", "INBOX._"},
	} {
		l := &listing{prefix: test.prefix}
		for entry := range strings.SplitSeq(test.folders, ";") {
			data := &imap.ListData{Mailbox: entry[1:]}
			if entry[0] != ' ' {
				data.Delim = rune(entry[0])
			}
			if i := strings.Index(entry, ` \`); i > 0 {
				data.Mailbox, data.Attrs = entry[1:i], []imap.MailboxAttr{imap.MailboxAttr(entry[i+1:])}
			}
			l.folders = append(l.folders, data)
		}
		var got []string
		for _, r := range plan(l, here) {
			got = append(got, r.target)
			if !r.subscribed {
				t.Error(r.name, "would not be subscribed")
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	p := newProgress(&b)
	p.begin("x", 10)
	p.at(5)
	p.clear()
	if b.Len() > 0 {
		t.Errorf("%q on what is no terminal", b.String())
	}
	p = &progress{w: &b}
	p.begin("IN\x1bBOX", 10)
	p.at(5)
	p.at(6) // too soon
	p.clear()
	if want := "\r[###############...............]  50% IN?BOX\x1b[K\r\x1b[K"; b.String() != want {
		t.Errorf("%q", b.String())
	}
	p.begin("", 0)
	p.at(3)
}
