package imap

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*URL{
		"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER": {Mailbox: "Drafts", UIDValidity: 385759045, UID: 20, Section: Section{Specifier: SectionHeader}},
		"/inbox/;uid=1":                         {Mailbox: "INBOX", UID: 1},
		"INBOX/;UID=1":                          {Mailbox: "INBOX", UID: 1},
		";UID=4294967295/;SECTION=1.2.MIME":     {UID: math.MaxUint32, Section: Section{Part: []uint32{1, 2}, Specifier: SectionMIME}},
		"/a.b%20c%2Fd/;UID=3/;PARTIAL=5.10":     {Mailbox: "a.b c/d", UID: 3, Partial: &Partial{5, 10}},
		"/a/b/;UID=3/;SECTION=TEXT/;PARTIAL=5":  {Mailbox: "a/b", UID: 3, Section: Section{Specifier: SectionText}, Partial: &Partial{5, math.MaxInt64}},
		"/Gr%C3%B6%C3%9Fe;uidvalidity=1/;UID=3": {Mailbox: "Größe", UIDValidity: 1, UID: 3},
		"/R&D/;UID=3":                           {Mailbox: "R&D", UID: 3},
		"/x/;UID=3/;SECTION=HEADER.FIELDS%20(To%20%22a%20b%22)": {Mailbox: "x", UID: 3,
			Section: Section{Specifier: SectionHeaderFields, Fields: []string{"To", "a b"}}},
	} {
		if got, err := ParseURL(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "/", "/INBOX", "/INBOX/", "/INBOX;UID=1", "/INBOX/;UID=", "/INBOX/;UID=0", "/INBOX/;UID=+1", "/INBOX/;UID=4294967296", "//host/INBOX/;UID=1",
		"imap://host/INBOX/;UID=1", "imap://joe@host/INBOX/;UID=1", "/INBOX;UIDVALIDITY=0/;UID=1", "/INBOX;UIDVALIDITY=x/;UID=1", "/INBOX;X=1/;UID=1",
		"/INBOX/;UID=1/", "/INBOX/;UID=1/;", "/INBOX/;UID=1/;SECTION=", "/INBOX/;UID=1/;SECTION=0", "/INBOX/;UID=1/;SECTION=MIME", "/INBOX/;UID=1/;SECTION=1]",
		"/INBOX/;UID=1/;SECTION=1%0D%0A", "/INBOX/;UID=1/;SECTION=HEADER.FIELDS%20({1})", "/INBOX/;UID=1/;SECTION=HEADER.FIELDS%20({1+}", "/INBOX/;UID=1/;PARTIAL=",
		"/INBOX/;UID=1/;PARTIAL=1.0", "/INBOX/;UID=1/;PARTIAL=-1.5", "/INBOX/;UID=1/;PARTIAL=9999999999999999999.1", "/INBOX/;UID=1/;PARTIAL=1.2/;PARTIAL=1.2",
		"/INBOX/;UID=1/;PARTIAL=1.2/;SECTION=1", "/INBOX/;UID=1;URLAUTH=anonymous", "/%zz/;UID=1", "/%ff/;UID=1", "/a%00b/;UID=1", "/;UID=1", "/a?x/;UID=1",
		"/x/;UID=1/;SECTION=" + strings.Repeat("1.", 5000) + "1",
	} {
		if got, err := ParseURL(text); err == nil {
			t.Errorf("%.60s: %+v", text, got)
		}
	}
}

// FuzzURL: what is read is what it seems to be.
func FuzzURL(f *testing.F) {
	f.Add("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER.FIELDS%20(To)/;PARTIAL=1.2")
	f.Add(";UID=1/;SECTION=1.2.MIME")
	f.Add("/a%20%C3%A4/;UID=7/;PARTIAL=3")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseURL(text)
		if err != nil {
			return
		}
		if u.UID == 0 || len(u.Section.Part) > maxParts || u.Partial != nil && (u.Partial.Offset < 0 || u.Partial.Count <= 0) {
			t.Fatalf("%q: %+v", text, u)
		}
		if name, err := checkMailbox(u.Mailbox); err != nil || name != u.Mailbox {
			t.Fatalf("%q: mailbox %q, %v", text, u.Mailbox, err)
		}
	})
}
