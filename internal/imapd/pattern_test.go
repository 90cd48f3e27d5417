package imapd

import (
	"regexp"
	"strings"
	"testing"
)

func TestPattern(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		reference, pattern string
		yes, no            string // names
	}{
		{"", "*", "INBOX A A.B A.B.C", ""},
		{"", "%", "INBOX A", "A.B"},
		{"", "%.%", "A.B", "A A.B.C"},
		{"A.", "%", "A.B", "A A.B.C"},
		{"A", "*", "A AB A.B.C", "B"},
		{"", "*%", "A A.B", ""},
		{"", "a*c", "ac abc a.b.c", "abd a"},
		{"", "inbox.*", "INBOX.a INBOX.a.b", "INBOX INBOXES"},
		{"", "InBoX", "INBOX", "INBOXES A.INBOX"},
		{"in", "%", "INBOX inner", "outer"},
		{"", "sent", "sent", "Sent SENT"},
		{"", "Entw%", "Entwürfe", "Entw.a"},
		{"", strings.Repeat("*a", 400), strings.Repeat("a", 400), strings.Repeat("a", 399)},
	} {
		p := newPattern(test.reference, test.pattern)
		for _, name := range strings.Fields(test.yes) {
			if !p.matches(name) {
				t.Errorf("%s does not match %s", p, name)
			}
		}
		for _, name := range strings.Fields(test.no) {
			if p.matches(name) {
				t.Errorf("%s matches %s", p, name)
			}
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("A.%*b%.c*", "A.b.xb.c")
	f.Add("in%*", "INBOX.x")
	f.Fuzz(func(t *testing.T, text, name string) {
		if len(text) > 40 || len(name) > 40 || strings.HasPrefix(name, "INBOX") {
			return
		}
		quoted := regexp.QuoteMeta(text)
		quoted = strings.NewReplacer(`\*`, `.*`, `%`, `[^.]*`).Replace(quoted)
		want, err := regexp.MatchString(`(?s)^(?:`+quoted+`)$`, name)
		if err != nil {
			return // it is not UTF-8
		}
		if got := newPattern("", text).matches(name); got != want {
			t.Errorf("%q, %q: %v", text, name, got)
		}
	})
}
