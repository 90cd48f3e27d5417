package imap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// console is an Output that remembers what was said.
type console struct {
	said    strings.Builder
	flushes int
}

func (c *console) Continue(text string) error {
	c.said.WriteString("+ " + text + "\r\n")
	return nil
}

func (c *console) Flush() error {
	c.flushes++
	return nil
}

func newTestReader(input string) (*Reader, *console) {
	out := &console{}
	r := NewReader(strings.NewReader(input), out)
	r.State, r.Limits = anyState, LimitsAfterLogin
	return r, out
}

// parseOne reads a single command without its tag.
func parseOne(t *testing.T, command string) (Command, error) {
	t.Helper()
	r, _ := newTestReader("t1 " + command + "\r\n")
	req, err := r.Next()
	if err != nil {
		return nil, err
	}
	if req.Tag != "t1" {
		t.Errorf("tag = %q", req.Tag)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("behind the command: %v, want EOF", err)
	}
	return req.Command, nil
}

func date(t *testing.T, text string) time.Time {
	t.Helper()
	d, err := time.Parse("2006-01-02", text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCommands(t *testing.T) {
	t.Parallel()
	modSeq := uint64(320162338)
	tests := []struct {
		line string
		want Command
	}{
		// RFC 3501 §6
		{`CAPABILITY`, &Capability{}},
		{`noop `, &Noop{}},
		{`LOGOUT`, &Logout{}},
		{`STARTTLS`, &StartTLS{}},
		{`AUTHENTICATE GSSAPI`, &Authenticate{Mechanism: "GSSAPI"}},
		{`authenticate plain AGEAYg==`, &Authenticate{Mechanism: "PLAIN", Initial: []byte("\x00a\x00b")}},
		{`AUTHENTICATE EXTERNAL =`, &Authenticate{Mechanism: "EXTERNAL", Initial: []byte{}}},
		{`LOGIN SMITH SESAME`, &Login{"SMITH", "SESAME"}},
		{`LOGIN "jo\"e" "a\\b c"`, &Login{`jo"e`, `a\b c`}},
		{`LOGIN "" "grüße"`, &Login{"", "grüße"}},
		{`SELECT INBOX`, &Select{Mailbox: "INBOX"}},
		{`EXAMINE blurdybloop`, &Select{Mailbox: "blurdybloop", ReadOnly: true}},
		{`SELECT "inbox" (CONDSTORE)`, &Select{Mailbox: "INBOX", CondStore: true}},
		{`SELECT INBOX (QRESYNC (67890007 20050715194045000 41,43:211,214:541))`,
			&Select{Mailbox: "INBOX", QResync: &QResync{UIDValidity: 67890007, ModSeq: 20050715194045000,
				Known: Set{{41, 41}, {43, 211}, {214, 541}}}}},
		{`SELECT INBOX (QRESYNC (1 2 1:9 (1,3 5,8)))`,
			&Select{Mailbox: "INBOX", QResync: &QResync{UIDValidity: 1, ModSeq: 2, Known: Set{{1, 9}},
				MatchSeq: Set{{1, 1}, {3, 3}}, MatchUID: Set{{5, 5}, {8, 8}}}}},
		{`CREATE owatagusiam/`, &Create{Mailbox: "owatagusiam/"}},
		{`create "Trash"`, &Create{Mailbox: "Trash"}},
		{`CREATE MySpecial (USE (\Drafts \Sent))`, &Create{"MySpecial", []MailboxAttr{AttrDrafts, AttrSent}}},
		{`GETQUOTA ""`, &GetQuota{""}},
		{`GETQUOTAROOT inbox`, &GetQuotaRoot{"INBOX"}},
		{`GETMETADATA "" /shared/Comment`, &GetMetadata{Entries: []string{"/shared/comment"}, MaxSize: -1}},
		{`GETMETADATA (MAXSIZE 1024 DEPTH infinity) INBOX (/shared/comment /private/comment)`,
			&GetMetadata{"INBOX", []string{"/shared/comment", "/private/comment"}, DepthInfinity, 1024}},
		{`GETMETADATA "INBOX" (MAXSIZE 1024) (/shared/comment /private/comment)`,
			&GetMetadata{"INBOX", []string{"/shared/comment", "/private/comment"}, DepthZero, 1024}},
		{`GETMETADATA a (DEPTH 1) /private/x`, &GetMetadata{"a", []string{"/private/x"}, DepthOne, -1}},
		{`SETMETADATA INBOX (/private/comment "new" /shared/comment NIL /private/empty "")`,
			&SetMetadata{"INBOX", []MetadataEntry{{"/private/comment", "new", true}, {"/shared/comment", "NIL", false}, {"/private/empty", "", true}}}},
		{`NOTIFY NONE`, &Notify{}},
		{`NOTIFY set status (selected (MessageNew (uid) MessageExpunge)) (subtree (Lists "a b") (MailboxName)) (inboxes NONE)`,
			&Notify{true, []NotifyGroup{
				{Filter: NotifySelected, Events: MessageNew | MessageExpunge, Fetch: []FetchItem{{Attr: FetchUID}}},
				{Filter: NotifySubtree, Mailboxes: []string{"Lists", "a b"}, Events: MailboxName}, {Filter: NotifyInboxes}}}},
		{`DELETE blurdybloop`, &Delete{"blurdybloop"}},
		{`RENAME foo "zowie bar"`, &Rename{"foo", "zowie bar"}},
		{`SUBSCRIBE #news.comp.mail.mime`, &Subscribe{"#news.comp.mail.mime"}},
		{`UNSUBSCRIBE [Gmail]/Trash`, &Unsubscribe{"[Gmail]/Trash"}},
		{`STATUS blurdybloop (UIDNEXT MESSAGES)`, &Status{"blurdybloop", StatusUIDNext | StatusMessages}},
		{`STATUS "INBOX" (UIDNEXT UIDVALIDITY UNSEEN RECENT MESSAGES HIGHESTMODSEQ)`, &Status{"INBOX",
			StatusUIDNext | StatusUIDValidity | StatusUnseen | StatusRecent | StatusMessages | StatusHighestModSeq}},
		{`CHECK`, &Check{}}, {`CLOSE`, &Close{}}, {`UNSELECT`, &Unselect{}}, {`EXPUNGE`, &Expunge{}},
		{`UID EXPUNGE 3000:3002`, &Expunge{true, Set{{3000, 3002}}}},
		{`COPY 2:4 MEETING`, &Copy{false, Set{{2, 4}}, "MEETING"}},
		{`uid copy 7 "Entw&APw-rfe"`, &Copy{true, Set{{7, 7}}, "Entwürfe"}},
		{`MOVE 1 x`, &Move{false, Set{{1, 1}}, "x"}},
		{`UID MOVE 42:69 foo`, &Move{true, Set{{42, 69}}, "foo"}},
		{`NAMESPACE`, &Namespace{}}, {`IDLE`, &Idle{}},
		{`COMPRESS DEFLATE`, &Compress{"DEFLATE"}},
		{`ENABLE UTF8=ACCEPT`, &Enable{[]string{"UTF8=ACCEPT"}}},
		{`ENABLE condstore X-GOOD-IDEA`, &Enable{[]string{"CONDSTORE", "X-GOOD-IDEA"}}},
		{`ID NIL`, &ID{}},
		{`ID ("name" "alpine" "version" NIL)`, &ID{[]IDParam{{"name", "alpine", true}, {"version", "NIL", false}}}},
		{`STORE 2:4 +FLAGS (\Deleted)`, &Store{Set: Set{{2, 4}}, Op: StoreAdd, Flags: []Flag{FlagDeleted}}},
		{`STORE 1 +Flags \Deleted`, &Store{Set: Set{{1, 1}}, Op: StoreAdd, Flags: []Flag{FlagDeleted}}},
		{`STORE 1 FLAGS \SEEN \draft kw`, &Store{Set: Set{{1, 1}}, Flags: []Flag{FlagSeen, FlagDraft, "kw"}}},
		{`uid store 5 +Flags ($label1)`, &Store{UID: true, Set: Set{{5, 5}}, Op: StoreAdd, Flags: []Flag{"$label1"}}},
		{`UID STORE 5 FLAGS (\DELETED \SEEN)`, &Store{UID: true, Set: Set{{5, 5}}, Flags: []Flag{FlagDeleted, FlagSeen}}},
		{`STORE 1 -FLAGS.SILENT (\Flagged)`,
			&Store{Set: Set{{1, 1}}, Op: StoreRemove, Silent: true, Flags: []Flag{FlagFlagged}}},
		{`STORE * FLAGS ()`, &Store{Set: Set{{0, 0}}}},
		{`STORE 7,5,9 (UNCHANGEDSINCE 320162338) +FLAGS.SILENT (\Deleted)`, &Store{Set: Set{{7, 7}, {5, 5}, {9, 9}},
			Op: StoreAdd, Silent: true, Flags: []Flag{FlagDeleted}, UnchangedSince: &modSeq}},
	}
	for _, test := range tests {
		got, err := parseOne(t, test.line)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", test.line, got, err, test.want)
		}
	}
}

func TestListCommands(t *testing.T) {
	t.Parallel()
	tests := []struct {
		line string
		want Command
	}{
		{`LIST "" "*"`, &List{Patterns: []string{"*"}}},
		{`LIST "" *`, &List{Patterns: []string{"*"}}},
		{`LIST "" ""`, &List{Patterns: []string{""}}},
		{`LIST "" %`, &List{Patterns: []string{"%"}}},
		{`LIST "" sent-mail`, &List{Patterns: []string{"sent-mail"}}},
		{`LIST sent-mail ""`, &List{Reference: "sent-mail", Patterns: []string{""}}},
		{`LIST ~/Mail/ %.x`, &List{Reference: "~/Mail/", Patterns: []string{"%.x"}}},
		{`LIST "" "Gr&APYA3w-e &- Co"`, &List{Patterns: []string{"Größe & Co"}}},
		{`LSUB "" "*"`, &LSub{"", "*"}},
		{`LSUB "#news." "comp.mail.*"`, &LSub{"#news.", "comp.mail.*"}},
		{`LIST (SUBSCRIBED) "" "*"`, &List{Extended: true, Select: ListSubscribed, Patterns: []string{"*"}}},
		{`list (subscribed) "" "*" return (special-use)`,
			&List{Extended: true, Select: ListSubscribed, Patterns: []string{"*"}, Return: ListSpecialUse}},
		{`LIST (SPECIAL-USE) "" "*" RETURN (SUBSCRIBED)`,
			&List{Extended: true, Select: ListSpecialUse, Patterns: []string{"*"}, Return: ListSubscribed}},
		{`LIST "" "*" RETURN (STATUS (MESSAGES RECENT UNSEEN))`, &List{Extended: true, Patterns: []string{"*"},
			Status: StatusMessages | StatusRecent | StatusUnseen}},
		{`LIST "" "%" RETURN (CHILDREN)`, &List{Extended: true, Patterns: []string{"%"}, Return: ListChildren}},
		{`LIST () "" ("INBOX" "Drafts" "Sent/%")`,
			&List{Extended: true, Patterns: []string{"INBOX", "Drafts", "Sent/%"}}},
		{`LIST (SUBSCRIBED RECURSIVEMATCH REMOTE) "" "*" RETURN ()`,
			&List{Extended: true, Patterns: []string{"*"}, Select: ListSubscribed | ListRecursiveMatch | ListRemote}},
	}
	for _, test := range tests {
		got, err := parseOne(t, test.line)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", test.line, got, err, test.want)
		}
	}
}

func TestFetchCommands(t *testing.T) {
	t.Parallel()
	one, since := Set{{1, 1}}, uint64(12345)
	section := func(s Section, peek bool) FetchItem { return FetchItem{Attr: FetchSection, Section: s, Peek: peek} }
	tests := []struct {
		line string
		want *Fetch
	}{
		{`FETCH 1 FLAGS`, &Fetch{Set: one, Items: []FetchItem{{Attr: FetchFlags}}}},
		{`FETCH 1:* (FLAGS)`, &Fetch{Set: Set{{1, 0}}, Items: []FetchItem{{Attr: FetchFlags}}}},
		{`UID FETCH 1:* (UID FLAGS)`,
			&Fetch{UID: true, Set: Set{{1, 0}}, Items: []FetchItem{{Attr: FetchUID}, {Attr: FetchFlags}}}},
		{`FETCH 1 fast`, &Fetch{Set: one, Items: []FetchItem{{Attr: FetchFlags}, {Attr: FetchInternalDate}, {Attr: FetchSize}}}},
		{`FETCH 1 FULL`, &Fetch{Set: one, Items: []FetchItem{{Attr: FetchFlags}, {Attr: FetchInternalDate},
			{Attr: FetchSize}, {Attr: FetchEnvelope}, {Attr: FetchBody}}}},
		{`FETCH 1 BODY[]`, &Fetch{Set: one, Items: []FetchItem{section(Section{}, false)}}},
		{`FETCH 1 ( BODY  BODYSTRUCTURE )`,
			&Fetch{Set: one, Items: []FetchItem{{Attr: FetchBody}, {Attr: FetchBodyStructure}}}},
		{`FETCH 1 (BODY[4.2.HEADER] BODY.PEEK[TEXT] BODY[1.MIME])`, &Fetch{Set: one, Items: []FetchItem{
			section(Section{Part: []uint32{4, 2}, Specifier: SectionHeader}, false),
			section(Section{Specifier: SectionText}, true),
			section(Section{Part: []uint32{1}, Specifier: SectionMIME}, false)}}},
		{`UID fetch 1304:1339 (UID RFC822.SIZE BODY.PEEK[])`, &Fetch{UID: true, Set: Set{{1304, 1339}},
			Items: []FetchItem{{Attr: FetchUID}, {Attr: FetchSize}, section(Section{}, true)}}},
		{`FETCH 1 BODY.PEEK[HEADER.FIELDS (Date "From" {2}` + "\r\n" + `To)]`, &Fetch{Set: one, Items: []FetchItem{
			section(Section{Specifier: SectionHeaderFields, Fields: []string{"Date", "From", "To"}}, true)}}},
		{`FETCH 1 PREVIEW`, &Fetch{Set: one, Items: []FetchItem{{Attr: FetchPreview}}}},
		{`FETCH 1 PREVIEW (LAZY)`, &Fetch{Set: one, Items: []FetchItem{{Attr: FetchPreview, Lazy: true}}}},
		{`FETCH 1 (PREVIEW (LAZY) UID  PREVIEW FLAGS)`, &Fetch{Set: one, Items: []FetchItem{{Attr: FetchPreview, Lazy: true},
			{Attr: FetchUID}, {Attr: FetchPreview}, {Attr: FetchFlags}}}},
		{`FETCH 1 (BINARY[1]<5.10> BINARY.PEEK[] binary.size[2.3])`, &Fetch{Set: one, Items: []FetchItem{
			{Attr: FetchBinary, Section: Section{Part: []uint32{1}}, Partial: &Partial{5, 10}},
			{Attr: FetchBinary, Peek: true}, {Attr: FetchBinarySize, Section: Section{Part: []uint32{2, 3}}}}}},
		{`FETCH 1 BODY.PEEK[2.HEADER.FIELDS.NOT (X)]<0.2048>`, &Fetch{Set: one, Items: []FetchItem{{Attr: FetchSection,
			Peek: true, Partial: &Partial{0, 2048},
			Section: Section{Part: []uint32{2}, Specifier: SectionHeaderFieldsNot, Fields: []string{"X"}}}}}},
		{`FETCH 1 RFC822.HEADER`, &Fetch{Set: one, Items: []FetchItem{
			{Attr: FetchRFC822Header, Peek: true, Section: Section{Specifier: SectionHeader}}}}},
		{`FETCH 1 (RFC822 RFC822.TEXT RFC822.SIZE)`, &Fetch{Set: one, Items: []FetchItem{{Attr: FetchRFC822},
			{Attr: FetchRFC822Text, Section: Section{Specifier: SectionText}}, {Attr: FetchSize}}}},
		{`UID FETCH 1:9 (FLAGS) (CHANGEDSINCE 12345 VANISHED)`, &Fetch{UID: true, Set: Set{{1, 9}},
			Items: []FetchItem{{Attr: FetchFlags}}, ChangedSince: &since, Vanished: true}},
		{`UID FETCH 25900:26600 FLAGS (PARTIAL -1:-100)`, &Fetch{UID: true, Set: Set{{25900, 26600}}, Items: []FetchItem{{Attr: FetchFlags}},
			Partial: &ResultRange{-1, -100}}},
		{`FETCH $ FLAGS`, &Fetch{Set: Set{saved}, Items: []FetchItem{{Attr: FetchFlags}}}},
		{`UID FETCH 5 (FLAGS MODSEQ)`,
			&Fetch{UID: true, Set: Set{{5, 5}}, Items: []FetchItem{{Attr: FetchFlags}, {Attr: FetchModSeq}}}},
	}
	for _, test := range tests {
		got, err := parseOne(t, test.line)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", test.line, got, err, test.want)
		}
	}
}

func TestSearchCommands(t *testing.T) {
	t.Parallel()
	and := func(keys ...Key) Key { return Key{Op: KeyAnd, Keys: keys} }
	flag := func(f Flag) Key { return Key{Op: KeyFlag, Flag: f} }
	not := func(f Flag) Key { return Key{Op: KeyNotFlag, Flag: f} }
	header := func(field, text string) Key { return Key{Op: KeyHeader, Field: field, Text: text} }
	tests := []struct {
		line string
		want *Search
	}{
		{`SEARCH FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"`, &Search{Key: and(flag(FlagFlagged),
			Key{Op: KeySince, Date: date(t, "1994-02-01")}, Key{Op: KeyNot, Keys: []Key{header("From", "Smith")}})}},
		{`SEARCH CHARSET UTF-8 TEXT {6}` + "\r\nпри", &Search{Charset: "UTF-8", Key: and(Key{Op: KeyText, Text: "при"})}},
		{`UID SEARCH CHARSET utf-8 SUBJECT "a" SUBJECT "b"`,
			&Search{UID: true, Charset: "UTF-8", Key: and(header("Subject", "a"), header("Subject", "b"))}},
		{`UID SEARCH CHARSET UTF-8 ALL`, &Search{UID: true, Charset: "UTF-8", Key: and(Key{Op: KeyAll})}},
		{`UID SEARCH RETURN (ALL) OR HEADER SUBJECT KIND-HTML HEADER FROM KIND-HTML`,
			&Search{UID: true, Extended: true, Return: ReturnAll, Key: and(Key{Op: KeyOr,
				Keys: []Key{header("SUBJECT", "KIND-HTML"), header("FROM", "KIND-HTML")}})}},
		{`SEARCH RETURN () UNSEEN UNDELETED`,
			&Search{Extended: true, Return: ReturnAll, Key: and(not(FlagSeen), not(FlagDeleted))}},
		{`SEARCH RETURN (MIN MAX COUNT) CHARSET US-ASCII NEW`, &Search{Extended: true, Charset: "US-ASCII",
			Return: ReturnMin | ReturnMax | ReturnCount, Key: and(and(flag(FlagRecent), not(FlagSeen)))}},
		{`SEARCH UNANSWERED UNDELETED UNSEEN`, &Search{Key: and(not(FlagAnswered), not(FlagDeleted), not(FlagSeen))}},
		{`UID SEARCH 17`, &Search{UID: true, Key: and(Key{Op: KeySeq, Set: Set{{17, 17}}})}},
		{`UID SEARCH *:4,7 uid 1:*`, &Search{UID: true, Key: and(
			Key{Op: KeySeq, Set: Set{{4, 0}, {7, 7}}}, Key{Op: KeyUID, Set: Set{{1, 0}}})}},
		{`SEARCH KEYWORD $KW OLD`, &Search{Key: and(flag("$KW"), not(FlagRecent))}},
		{`SEARCH OR FROM ZZ TEXT HI`, &Search{Key: and(Key{Op: KeyOr,
			Keys: []Key{header("From", "ZZ"), {Op: KeyText, Text: "HI"}}})}},
		{`SEARCH NOT SENTBEFORE "01-Jan-2020" LARGER 3`, &Search{Key: and(
			Key{Op: KeyNot, Keys: []Key{{Op: KeySentBefore, Date: date(t, "2020-01-01")}}}, Key{Op: KeyLarger, Num: 3})}},
		{`SEARCH (SEEN (OR 1 (BODY "x" DRAFT))) HEADER Message-ID ""`, &Search{Key: and(
			and(flag(FlagSeen), and(Key{Op: KeyOr, Keys: []Key{{Op: KeySeq, Set: Set{{1, 1}}},
				and(Key{Op: KeyBody, Text: "x"}, flag(FlagDraft))}})), header("Message-ID", ""))}},
		{`SEARCH MODSEQ 9223372036854775807`, &Search{Key: and(Key{Op: KeyModSeq, Num: math.MaxInt64})}},
		{`SEARCH MODSEQ "/flags/\\draft" all 620162338`, &Search{Key: and(Key{Op: KeyModSeq, Num: 620162338})}},
		{`SEARCH YOUNGER 259200 OLDER 1`, &Search{Key: and(Key{Op: KeyYounger, Num: 259200}, Key{Op: KeyOlder, Num: 1})}},
		{`SEARCH RETURN (SAVE PARTIAL 500:1) $ UID $`, &Search{Extended: true, Return: ReturnSave | ReturnPartial,
			Partial: ResultRange{1, 500}, Key: and(Key{Op: KeySeq, Set: Set{saved}}, Key{Op: KeyUID, Set: Set{saved}})}},
		{`SEARCH UIDAFTER 5 UIDBEFORE 9 UIDBEFORE 1`, &Search{Key: and(Key{Op: KeyUID, Set: Set{{6, 1<<32 - 1}}},
			Key{Op: KeyUID, Set: Set{{1, 8}}}, Key{Op: KeyUID})}},
	}
	for _, test := range tests {
		got, err := parseOne(t, test.line)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", test.line, got, err, test.want)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	t.Parallel()
	deep := "SEARCH " + strings.Repeat("NOT ", maxDepth) + "ALL"
	lines := []string{
		`FOO`, `UID FOO 1`, `NOOP x`, `LOGIN a`, `LOGIN a "b`, `LOGIN a "b\c"`, `LOGIN a b c`, "LOGIN a b\x00", `LOGIN a {x}`,
		`SELECT`, `SELECT a(CONDSTORE)`, `SELECT a (FOO)`, `CREATE a (USE (Sent))`, `STATUS a ()`, `STATUS a (FOO)`,
		`LIST "" % RETURN (REMOTE)`, `LIST (CHILDREN) "" %`, `LIST (RECURSIVEMATCH) "" *`, `LIST ""`, `ID foo`, `ID ("a")`,
		`FETCH 0 FLAGS`, `FETCH 4294967296 FLAGS`, `FETCH 1: FLAGS`, `FETCH 1, FLAGS`, `FETCH 1`, `FETCH 1 ()`,
		`FETCH 1 (FLAGS`, `FETCH 1 (FLAGS)x`, `FETCH 1 (FLAGS"UID")`, `FETCH 1 (ALL)`, `FETCH 1 BODY.PEEK`, `FETCH 1 BODY[`,
		`FETCH 1 BODY[1.]`, `FETCH 1 BODY[0]`, `FETCH 1 BODY[MIME]`, `FETCH 1 BODY[FOO]`, `FETCH 1 BODY[HEADER.FIELDS ()]`,
		"FETCH 1 BODY[HEADER.FIELDS ({3}\r\na\rb)]", `FETCH 1 BODY[]<1>`, `FETCH 1 BODY[]<0.0>`, `FETCH 1 UID (FOO 1)`,
		`STORE 1 FOO (\Seen)`, `STORE 1 FLAGS (\Foo)`, `STORE 1 FLAGS (\Seen \Recent)`, `STORE 1 -FLAGS \recent`, `APPEND x (\Recent) {1}`,
		`LIST "" % RETURN (STATUS ())`, `STORE 1 FLAGS`, `STORE 1 FLAGS (a]b)`,
		`SEARCH`, `SEARCH ()`, `SEARCH FOO`, `SEARCH OR ALL`, `SEARCH NOT`, `SEARCH SINCE yesterday`, `SEARCH RETURN (ALL PARTIAL 1:2) ALL`, `SEARCH RETURN (PARTIAL 1:-2) ALL`, `SEARCH RETURN (PARTIAL 0:2) ALL`, `FETCH 1,$ FLAGS`,
		`SELECT a (QRESYNC (1 2 1:*))`, `UID FETCH 1 FLAGS (VANISHED)`, `FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)`, `SEARCH YOUNGER 0`,
		`APPEND x`, `APPEND x "yesterday" {1}`, `AUTHENTICATE PLAIN %%`, `AUTHENTICATE PLAIN abc`, `ENABLE`, deep,
		`SEARCH ` + strings.Repeat("ALL ", maxItems) + "ALL",
		`SEARCH ` + strings.Repeat("$ ", maxSaved) + "UID $",
		`FETCH ` + strings.Repeat("1", 70<<10) + ` FLAGS`,
		`LOGIN a {18446744073709551617}`,
	}
	for _, line := range lines {
		r, _ := newTestReader("t1 " + line + "\r\nt2 NOOP\r\n")
		if strings.HasSuffix(line, "}") {
			r, _ = newTestReader("t1 " + line + "\r\n")
		}
		_, err := r.Next()
		var refused *CommandError
		if !errors.As(err, &refused) || refused.Tag != "t1" || refused.Status != BAD {
			t.Errorf("%.60s: %+v, want BAD", line, err)
			continue
		}
		if strings.HasSuffix(line, "}") {
			continue
		}
		if req, err := r.Next(); err != nil || req.Tag != "t2" {
			t.Errorf("%.60s: behind it %+v, %v", line, req, err)
		}
	}
}

func TestErrorsWithoutTag(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"", " NOOP", "+ NOOP", "(x", "\r\n\r", strings.Repeat("t", 200) + " NOOP"} {
		r, _ := newTestReader("\r\n" + line + "\r\nt2 NOOP\r\n")
		_, err := r.Next()
		var refused *CommandError
		if !errors.As(err, &refused) || refused.Tag != "*" {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestMailboxErrors(t *testing.T) {
	t.Parallel()
	for _, name := range []string{`R&D`, `"&Jjo"`, `&AGE-`, `&-&AGE-`, "{3}\r\na\nb", "\"a\xff\""} {
		_, err := parseOne(t, "DELETE "+name)
		var refused *CommandError
		if !errors.As(err, &refused) || refused.Status != NO {
			t.Errorf("%q: %v, want NO", name, err)
		}
	}
}

// TestLongestID is what RFC 2971 §3.3 allows, at a time when lines are kept short.
func TestLongestID(t *testing.T) {
	t.Parallel()
	field := fmt.Sprintf("%q %q", strings.Repeat("k", 30), strings.Repeat("v", 1024))
	r, _ := newTestReader("a ID (" + strings.Repeat(field+" ", 29) + field + ")\r\n")
	r.State, r.Limits = NotAuthenticated, LimitsBeforeLogin
	if req, err := r.Next(); err != nil || len(req.Command.(*ID).Params) != 30 {
		t.Errorf("%+v, %v", req, err)
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	r, _ := newTestReader("a LIST {999999+}\r\n")
	r.State, r.Limits = NotAuthenticated, LimitsBeforeLogin
	if _, err := r.Next(); !errors.Is(err, ErrEndless) {
		t.Errorf("huge literal before login: %v", err)
	}
	tests := []struct {
		name string
		in   State
	}{
		{"NOOP", anyState}, {"LOGIN", NotAuthenticated}, {"LIST", loggedIn}, {"UID FETCH", Selected}, {"FOO", 0},
	}
	for _, test := range tests {
		for _, state := range []State{NotAuthenticated, Authenticated, Selected} {
			if got, want := commands[test.name].in&state != 0, test.in&state != 0; got != want {
				t.Errorf("%s is legal in %d: %t", test.name, state, got)
			}
		}
	}
}

func TestLiterals(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, input, said string }{
		{"synchronizing", "a LOGIN {3}\r\njoe {4}\r\na\r\nb\r\n", "+ OK\r\n+ OK\r\n"},
		{"non-synchronizing", "a LOGIN {3+}\r\njoe {4+}\r\na\r\nb\r\n", ""},
		{"literal8", "a LOGIN ~{3+}\r\njoe ~{4}\r\na\r\nb\r\n", "+ OK\r\n"},
	}
	for _, test := range tests {
		for _, one := range []bool{false, true} {
			r, out := newTestReader(test.input + "b NOOP\r\n")
			if one {
				r.src = iotest.OneByteReader(r.src)
			}
			req, err := r.Next()
			if err != nil || !reflect.DeepEqual(req.Command, &Login{"joe", "a\r\nb"}) || out.said.String() != test.said {
				t.Errorf("%s: %+v, %v, said %q", test.name, req, err, out.said.String())
			}
			if req, err := r.Next(); err != nil || req.Tag != "b" {
				t.Errorf("%s: behind it %+v, %v", test.name, req, err)
			}
		}
	}
}

// TestRefusedLiterals sends literals that are refused, full of commands; none of these may be read.
func TestRefusedLiterals(t *testing.T) {
	t.Parallel()
	evil := "\r\nx DELETE Important\r\nx CREATE pwned {3+}\r\n"
	big := strings.Repeat(evil, 100)
	size := func(s, form string) string { return "{" + string(appendUint(nil, uint64(len(s)))) + form + "}\r\n" + s }
	tests := []struct{ name, input string }{
		{"too large", "a LOGIN " + size(big, "+") + " x\r\n"},
		{"too large, more behind", "a LOGIN " + size(big, "+") + " " + size(evil, "+") + size(evil, "+") + "\r\n"},
		{"unknown command", "a FOO " + size(evil, "+") + " " + size(evil, "+") + "\r\n"},
		{"not wanted", "a NOOP " + size(evil, "+") + "\r\n"},
		{"behind an error", "a LOGIN \"x\\y\" " + size(evil, "+") + "\r\n"},
		{"in an error", "a LOGIN {7x" + size(evil, "+") + "\r\n"},
		{"append, malformed", "a APPEND \"x (\\Seen) " + size(evil, "+") + "\r\n"},
		{"append, refused", "a APPEND x " + size(evil, "+") + "\r\n"},
		{"with NUL", "a LOGIN " + size(evil+"\x00", "+") + " " + size(evil, "+") + "\r\n"},
		{"ends like a literal", "a FOO " + size(evil+"{900+}", "+") + "\r\n"},
		{"append, ends like a literal", "a APPEND x " + size(evil+"{900+}", "+") + "\r\n"},
		{"synchronizing, too large", "a LOGIN {9999}\r\n"},
		{"synchronizing, unknown command", "a FOO {9999}\r\n"},
	}
	for _, test := range tests {
		for _, one := range []bool{false, true} {
			var src io.Reader = io.MultiReader(strings.NewReader(test.input), strings.NewReader("b NOOP\r\n"))
			if one {
				src = iotest.OneByteReader(src)
			}
			r := NewReader(src, &console{})
			r.State = anyState
			req, err := r.Next()
			var refused *CommandError
			if req == nil && (!errors.As(err, &refused) || refused.Tag != "a") {
				t.Errorf("%s: %v", test.name, err)
			}
			if req, err = r.Next(); err != nil || req.Tag != "b" {
				t.Errorf("%s: behind it %+v, %v", test.name, req, err)
			}
		}
	}
}

// TestLimitAnywhere lets the line be too long at every octet of a command with literals.
func TestLimitAnywhere(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"a LOGIN {14+}\r\n\r\nx DELETE y\r\n {3+}\r\nabc\r\n", "a APPEND x {13+}\r\n\r\nx DELETE y\r\n\r\n"} {
		for limit := range 40 {
			r, _ := newTestReader(command)
			r.src = io.MultiReader(r.src, strings.NewReader("b NOOP\r\n"))
			r.Limits.Line = limit
			req, err := r.Next()
			var refused *CommandError
			if err == nil && req.Tag != "a" || err != nil && !errors.As(err, &refused) {
				t.Errorf("limit %d: %+v, %v", limit, req, err)
			}
			r.Limits.Line = 40
			if req, err := r.Next(); err != nil || req.Tag != "b" {
				t.Errorf("limit %d: behind it %+v, %v", limit, req, err)
			}
		}
	}
}

func TestImpatientClient(t *testing.T) {
	t.Parallel()
	for _, input := range []string{"a FOO {9}\r\nx NOOP\r\n", "a LOGIN {9999}\r\nx NOOP\r\n", "a APPEND x {9999}\r\nx NOOP\r\n"} {
		r, _ := newTestReader(input)
		r.Limits = LimitsBeforeLogin
		_, err := r.Next()
		if err == nil {
			_, err = r.Next()
		}
		if !errors.Is(err, ErrImpatient) {
			t.Errorf("%q: %v", input, err)
		}
	}
}

func TestLongSizeIsALiteral(t *testing.T) {
	t.Parallel()
	for _, input := range []string{"a FOO {" + strings.Repeat("0", 60) + "5+}\r\nx NOOP\r\n", "a LOGIN {99999999999999999999+}\r\nx NOOP\r\n"} {
		r, _ := newTestReader(input)
		r.src = iotest.OneByteReader(r.src)
		if _, err := r.Next(); !errors.Is(err, ErrEndless) {
			t.Errorf("%q: %v", input, err)
		}
	}
}

func TestIdleAndDoneInOneBurst(t *testing.T) {
	t.Parallel()
	r, _ := newTestReader("a IDLE\r\ndone\r\nb STATUS x (MESSAGES)\r\nc IDLE\r\nFOO\r\nd NOOP\r\n")
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if err := r.ReadDone(); err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"b", "c"} {
		if req, err := r.Next(); err != nil || req.Tag != tag {
			t.Fatalf("%+v, %v", req, err)
		}
	}
	var refused *CommandError
	if err := r.ReadDone(); !errors.As(err, &refused) || refused.Tag != "c" {
		t.Errorf("FOO for DONE: %v", err)
	}
	if req, err := r.Next(); err != nil || req.Tag != "d" {
		t.Errorf("%+v, %v", req, err)
	}
}

func TestSASL(t *testing.T) {
	t.Parallel()
	r, _ := newTestReader("a AUTHENTICATE PLAIN\r\nAGEAYg==\r\n\r\n*\r\n???\r\nb NOOP\r\n")
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if data, err := r.ReadSASL(); err != nil || string(data) != "\x00a\x00b" {
		t.Errorf("%q, %v", data, err)
	}
	if data, err := r.ReadSASL(); err != nil || len(data) != 0 {
		t.Errorf("empty: %q, %v", data, err)
	}
	if _, err := r.ReadSASL(); err != ErrCancelled {
		t.Errorf("cancelled: %v", err)
	}
	var refused *CommandError
	if _, err := r.ReadSASL(); !errors.As(err, &refused) || refused.Tag != "a" {
		t.Errorf("not base64: %v", err)
	}
	if req, err := r.Next(); err != nil || req.Tag != "b" {
		t.Errorf("%+v, %v", req, err)
	}
}

func TestTakeAndWait(t *testing.T) {
	t.Parallel()
	r, _ := newTestReader("a COMPRESS DEFLATE\r\n\x01\x02\x03")
	if err := r.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if n, ahead := r.Buffered(), r.Take(); n != 3 || !bytes.Equal(ahead, []byte{1, 2, 3}) || r.Buffered() != 0 {
		t.Errorf("%d octets ahead: %q", n, ahead)
	}
	if err := r.Wait(); err != io.EOF {
		t.Errorf("Wait at the end: %v", err)
	}
}

func TestEndOfInput(t *testing.T) {
	t.Parallel()
	for _, input := range []string{"a", "a NOOP", "a LOGIN {5+}\r\nab", "a LOGIN \"", "a FOO {5+}\r\nab"} {
		r, _ := newTestReader(input)
		if _, err := r.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v", input, err)
		}
	}
}

// TestPipeline sends 2,000 commands in one write and answers each, over a connection without buffer.
func TestPipeline(t *testing.T) {
	t.Parallel()
	const commands = 2000
	var input strings.Builder
	for i := range commands {
		input.WriteString("t UID FETCH ")
		input.Write(appendUint(nil, uint64(i+1)))
		input.WriteString(" (BODY.PEEK[])\r\n")
	}
	in, send := io.Pipe()
	answers, out := io.Pipe()
	go func() {
		io.WriteString(send, input.String())
		send.Close()
	}()
	go func() {
		w := NewWriter(out)
		r := NewReader(in, w)
		r.State = anyState
		for {
			req, err := r.Next()
			if err != nil {
				w.Flush()
				out.CloseWithError(err)
				return
			}
			w.Tagged(req.Tag, OK, "", "done")
		}
	}()
	got, err := io.ReadAll(answers)
	if n := bytes.Count(got, []byte("t OK done\r\n")); err != nil || n != commands {
		t.Errorf("%d answers, %v", n, err)
	}
}
