package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/imap"
)

// mail is a Source that counts what is asked of it.
type mail struct {
	path         string
	wire         int64
	date         time.Time
	err          error
	infos, opens int
}

func (m *mail) Name() (string, int64) {
	return filepath.Base(filepath.Dir(m.path)) + filepath.Base(m.path), -1
}

func (m *mail) Known() bool { return false }

func (m *mail) Info(context.Context) (int64, time.Time, error) {
	m.infos++
	return m.wire, m.date, m.err
}

func (m *mail) Open(context.Context) (*os.File, error) {
	m.opens++
	if m.err != nil {
		return nil, m.err
	}
	return os.Open(m.path)
}

// newMail puts a message into a file. Its Info lies about the size.
func newMail(t testing.TB, text string) *mail {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mail")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &mail{path: path, wire: 1, date: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)}
}

// parse reads the items of a FETCH as the session does.
func parse(t testing.TB, items string) []imap.FetchItem {
	t.Helper()
	got, err := parseItems(items)
	if err != nil {
		t.Fatalf("%s: %v", items, err)
	}
	return got
}

func parseItems(items string) ([]imap.FetchItem, error) {
	r := imap.NewReader(strings.NewReader("a FETCH 1 "+items+"\r\n"), imap.NewWriter(io.Discard))
	r.State = imap.Selected
	req, err := r.Next()
	if err != nil {
		return nil, err
	}
	fetch, ok := req.Command.(*imap.Fetch)
	if !ok {
		return nil, fmt.Errorf("%s is not a FETCH", req.Name)
	}
	return fetch.Items, nil
}

// ask is what a client sees.
func ask(t testing.TB, f *Fetcher, src Source, items string) string {
	t.Helper()
	var out bytes.Buffer
	w := imap.NewWriter(&out)
	m := &Message{Seq: 7, UID: 9, ModSeq: 3, Flags: []imap.Flag{imap.FlagSeen}, Source: src}
	if err := f.Answer(t.Context(), w, m, parse(t, items)); err != nil {
		t.Fatalf("%s: %v", items, err)
	}
	if err := w.Flush(); err != nil {
		t.Fatalf("%s: %v", items, err)
	}
	return out.String()
}

const plain = "From: a@b\nTo: c@d\nSubject: s\n\nhello\nworld\n"

const mixed = "From: a@b\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\none\ntwo\n--b\n" +
	"Content-Type: message/rfc822\n\nSubject: in\n\nthree\n--b--\n"

func TestAnswer(t *testing.T) {
	t.Parallel()
	const envelope = `ENVELOPE (NIL "s" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "c" "d")) NIL NIL NIL NIL)`
	const header = "From: a@b\r\nTo: c@d\r\nSubject: s\r\n\r\n"
	for _, c := range []struct{ mail, items, want string }{
		{plain, "FLAGS", `FLAGS (\Seen)`},
		{plain, "(UID MODSEQ)", "UID 9 MODSEQ (3)"},
		{plain, "FAST", `FLAGS (\Seen) INTERNALDATE "21-Nov-2026 10:00:00 +0000" RFC822.SIZE 1`},
		{plain, "ENVELOPE", envelope},
		{plain, "(RFC822.SIZE RFC822.SIZE ENVELOPE UID ENVELOPE)", "RFC822.SIZE 1 UID 9 " + envelope},
		{plain, "BODY", `BODY ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 14 2)`},
		{plain, "BODY.PEEK[]", "BODY[] {48}\r\n" + header + "hello\r\nworld\r\n"},
		{plain, "(BODY[] RFC822.SIZE)", "RFC822.SIZE 48 BODY[] {48}\r\n" + header + "hello\r\nworld\r\n"},
		{plain, "RFC822", "RFC822 {48}\r\n" + header + "hello\r\nworld\r\n"},
		{plain, "RFC822.HEADER", "RFC822.HEADER {34}\r\n" + header},
		{plain, "(RFC822.TEXT ENVELOPE)", "RFC822.TEXT {14}\r\nhello\r\nworld\r\n " + envelope},
		{plain, "BODY[TEXT]", "BODY[TEXT] {14}\r\nhello\r\nworld\r\n"},
		{plain, "BODY[HEADER]", "BODY[HEADER] {34}\r\n" + header},
		{plain, `BODY[HEADER.FIELDS (to "x y" From)]`, "BODY[HEADER.FIELDS (TO \"X Y\" FROM)] {22}\r\nFrom: a@b\r\nTo: c@d\r\n\r\n"},
		{plain, "BODY[HEADER.FIELDS.NOT (to from)]<3.100>", "BODY[HEADER.FIELDS.NOT (TO FROM)]<3> {11}\r\nject: s\r\n\r\n"},
		{plain, "(BODY[]<35.3> BODY[1]<100.1> UID)", "UID 9 BODY[]<35> {3}\r\nell BODY[1]<100> {0}\r\n"},
		{plain, "BODY[2.MIME]", "BODY[2.MIME] {0}\r\n"},
		{mixed, "(BODY[1] BODY[1.MIME] BODY[2.HEADER] BODY[2.TEXT] BODY[3] BODY[1] FLAGS)", "FLAGS (\\Seen) BODY[1] {8}\r\none\r\ntwo" +
			" BODY[1.MIME] {27}\r\nContent-Type: text/html\r\n\r\n BODY[2.HEADER] {15}\r\nSubject: in\r\n\r\n BODY[2.TEXT] {5}\r\nthree" +
			" BODY[3] {0}\r\n BODY[1] {8}\r\none\r\ntwo"},
		{"Subject: a\x00b\n\nc\x00", "(BODY[] BODY[HEADER.FIELDS (SUBJECT)])",
			"BODY[] {18}\r\nSubject: a\x80b\r\n\r\nc\x80 BODY[HEADER.FIELDS (SUBJECT)] {16}\r\nSubject: a\x80b\r\n\r\n"},
		{"", "(BODY[] BODY[HEADER] BODY[TEXT] RFC822.SIZE)", "RFC822.SIZE 0 BODY[] {0}\r\n BODY[HEADER] {0}\r\n BODY[TEXT] {0}\r\n"},
	} {
		wantAnswer(t, c.mail, c.items, c.want)
	}
}

// wantAnswer asks for items of a message whose file has LF, and of one whose file has CRLF.
func wantAnswer(t *testing.T, text, items, want string) {
	t.Helper()
	for _, text := range []string{text, strings.ReplaceAll(text, "\n", "\r\n")} {
		if got := ask(t, &Fetcher{}, newMail(t, text), items); got != "* 7 FETCH ("+want+")\r\n" {
			t.Errorf("%s of %q\n got %q\nwant %q", items, text, got, want)
		}
	}
}

// TestOnlyWhatIsAsked has a message whose body cannot be read in the time that a test has.
func TestOnlyWhatIsAsked(t *testing.T) {
	t.Parallel()
	huge := newMail(t, plain)
	if err := os.Truncate(huge.path, 1<<42); err != nil {
		t.Skipf("this test reads of a file so large that no disk holds it, and the filesystem has no such sparse one: %v", err)
	}
	for _, c := range []struct {
		items        string
		infos, opens int
	}{
		{"(FLAGS UID MODSEQ)", 0, 0},
		{"(FLAGS RFC822.SIZE INTERNALDATE)", 1, 0},
		{"(ENVELOPE BODY.PEEK[HEADER] RFC822.HEADER BODY.PEEK[HEADER.FIELDS (FROM)] BODY.PEEK[HEADER.FIELDS.NOT (FROM)]<1.2>)", 0, 1},
		{"ALL", 1, 1},
	} {
		huge.infos, huge.opens = 0, 0
		ask(t, &Fetcher{}, huge, c.items)
		if huge.infos != c.infos || huge.opens != c.opens {
			t.Errorf("%s: %d times Info, %d times Open", c.items, huge.infos, huge.opens)
		}
	}
	small := newMail(t, plain)
	ask(t, &Fetcher{}, small, "(RFC822.SIZE BODY[] BODYSTRUCTURE BODY[1])")
	if small.infos != 0 || small.opens != 1 {
		t.Errorf("%d times Info, %d times Open", small.infos, small.opens)
	}
}

// TestGone holds that nothing is written for a message that cannot be read.
func TestGone(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	directory := &mail{path: t.TempDir()}
	for _, c := range []struct {
		items string
		src   *mail
		want  error
	}{
		{"(UID RFC822.SIZE)", &mail{err: gone}, gone},
		{"(UID BODY[])", &mail{err: gone}, gone},
		{"(UID ENVELOPE BODY[1] RFC822.SIZE)", &mail{err: gone}, gone},
		{"(UID ENVELOPE)", &mail{path: "/nonexistent"}, os.ErrNotExist},
		{"(UID ENVELOPE)", directory, nil},
		{"(UID BODY[])", directory, nil},
		{"(UID BODY[1])", directory, nil},
		{"(UID BODY[HEADER])", directory, nil},
	} {
		var out bytes.Buffer
		w := imap.NewWriter(&out)
		err := new(Fetcher).Answer(t.Context(), w, &Message{Seq: 1, UID: 1, Source: c.src}, parse(t, c.items))
		if err == nil || c.want != nil && !errors.Is(err, c.want) || c.want == gone && err != gone {
			t.Errorf("%s: %v", c.items, err)
		}
		if err := w.Flush(); err != nil || out.Len() > 0 {
			t.Errorf("%s: wrote %q, %v", c.items, out.String(), err)
		}
	}
}

// truncating cuts the message short once it begins to be sent.
type truncating struct {
	t    *testing.T
	path string
	bytes.Buffer
}

func (c *truncating) Write(b []byte) (int, error) {
	if err := os.Truncate(c.path, 1000); err != nil {
		c.t.Error(err)
	}
	return c.Buffer.Write(b)
}

// TestCutShort holds that nothing which a client could take for a response follows a literal that cannot be finished.
func TestCutShort(t *testing.T) {
	t.Parallel()
	src := newMail(t, plain+strings.Repeat("line of a large message\n", 50_000))
	out := &truncating{t: t, path: src.path}
	w := imap.NewWriter(out)
	var f Fetcher
	m := &Message{Seq: 1, UID: 1, Source: src}
	items := parse(t, "(BODY[] UID FLAGS)")
	if err := f.Answer(t.Context(), w, m, items); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	w.Tagged("a", imap.OK, "", "done")
	if err := w.Flush(); !errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(out.String(), "done") || out.Len() > 200<<10 {
		t.Errorf("%d octets were sent, %v", out.Len(), err)
	}
	src.opens = 0
	if err := f.Answer(t.Context(), w, m, items); err == nil || src.opens > 0 {
		t.Errorf("another answer to a broken connection: %v", err)
	}
	if got, want := ask(t, &f, src, "(RFC822.SIZE BODY[]<0.5>)"), "* 7 FETCH (RFC822.SIZE 1045 BODY[]<0> {5}\r\nFrom:)\r\n"; got != want {
		t.Errorf("afterwards %q", got)
	}
}

// TestSlices reads a message of every kind of line end as clients do that ask for a piece at a time.
func TestSlices(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{"LF": "line\n", "CRLF": "line\r\n", "both": "line\nand\r\n\r\r\n", "none": "line"} {
		text := plain + strings.Repeat(line, 200<<10/len(line))
		want := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
		src := newMail(t, text)
		var f Fetcher
		var got strings.Builder
		const step = 9973
		for got.Len() < len(want) {
			item := fmt.Sprintf("BODY[]<%d.%d>", got.Len(), step)
			_, answer, _ := strings.Cut(ask(t, &f, src, item), "}\r\n")
			got.WriteString(strings.TrimSuffix(answer, ")\r\n"))
		}
		if got.String() != want {
			t.Errorf("%s: the pieces are not the message", name)
		}
		if len(f.kept) != 1 || name == "LF" && f.kept[0].mark.CRLF < int64(len(want)-step) {
			t.Errorf("%s: kept %d, at %+v", name, len(f.kept), f.kept[0].mark)
		}
		if got := ask(t, &f, src, "BODY[TEXT]<1.5>"); !strings.Contains(got, "{5}\r\n"+want[35:40]) {
			t.Errorf("%s: back at the start %q", name, got)
		}
	}
}

// TestKept shows how long a structure is used.
func TestKept(t *testing.T) {
	t.Parallel()
	var f Fetcher
	src := newMail(t, mixed)
	ask(t, &f, src, "BODYSTRUCTURE")
	first := f.kept[0]
	for _, items := range []string{"BODY[1]", "BODY[]", "ENVELOPE", "BODY[TEXT]<1.2>", "(BODY[2.HEADER] BODY)"} {
		if ask(t, &f, src, items); len(f.kept) != 1 || f.kept[0] != first {
			t.Errorf("%s needs the structure again", items)
		}
	}
	if err := os.WriteFile(src.path, []byte(mixed+"more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if ask(t, &f, src, "BODY[1]"); len(f.kept) != 1 || f.kept[0] == first {
		t.Error("the structure of a file that was changed is used")
	}
	for range 2 * maxKept {
		ask(t, &f, newMail(t, mixed), "BODY[1]") // the same UID: the mailbox has one message
	}
	if len(f.kept) != 1 {
		t.Errorf("one message is kept %d times", len(f.kept))
	}
	if f.Forget(); f.kept != nil {
		t.Error("something is kept of a mailbox that was closed")
	}
}

func TestKeptIsBounded(t *testing.T) {
	t.Parallel()
	var f Fetcher
	w := imap.NewWriter(io.Discard)
	items := parse(t, "BODYSTRUCTURE")
	for uid := range uint32(60) {
		parts := 1 << (uid % 15)
		text := "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", parts)
		if err := f.Answer(t.Context(), w, &Message{Seq: 1, UID: uid, Source: newMail(t, text)}, items); err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, k := range f.kept {
			total += weight(k.part)
		}
		if len(f.kept) > maxKept || total > maxWeight || parts < 100 && f.kept[0].uid != uid {
			t.Fatalf("%d parts: %d kept, %d octets", parts, len(f.kept), total)
		}
	}
}
