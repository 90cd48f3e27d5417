package imap

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	_ "time/tzdata" // not every host has it
)

func written(write func(*Writer)) string {
	var b bytes.Buffer
	w := NewWriter(&b)
	write(w)
	if err := w.Flush(); err != nil {
		return err.Error()
	}
	return b.String()
}

func TestResponses(t *testing.T) {
	t.Parallel()
	status := &StatusData{Messages: 231, UIDNext: 44292, Size: 1 << 40, HighestModSeq: 7}
	tests := []struct {
		want  string
		write func(*Writer)
	}{
		{"a1 OK [READ-WRITE] done\r\n", func(w *Writer) { w.Tagged("a1", OK, CodeReadWrite, "done") }},
		{"* BYE a?b\r\n", func(w *Writer) { w.Untagged(BYE, "", "a\nb") }},
		{"* OK .\r\n", func(w *Writer) { w.Untagged(OK, "", "") }},
		{"a NO [TOOBIG] x\r\n", func(w *Writer) { w.Refuse(&CommandError{Tag: "a", Status: NO, Code: CodeTooBig, Text: "x"}) }},
		{"+ idling\r\n", func(w *Writer) { w.Continue("idling") }},
		{"* CAPABILITY IMAP4rev1 IDLE\r\n", func(w *Writer) { w.Capability([]string{"IMAP4rev1", "IDLE"}) }},
		{"* OK [CAPABILITY A B] x\r\n", func(w *Writer) { w.Untagged(OK, CodeCapability([]string{"A", "B"}), "x") }},
		{"* ENABLED\r\n", func(w *Writer) { w.Enabled(nil) }},
		{"* 23 EXISTS\r\n* 0 RECENT\r\n* 44 EXPUNGE\r\n", func(w *Writer) { w.Exists(23); w.Recent(0); w.Expunge(44) }},
		{"* VANISHED (EARLIER) 1:3,5\r\n", func(w *Writer) { w.Vanished(true, Set{{1, 3}, {5, 5}}) }},
		{"* FLAGS (\\Seen $x)\r\n", func(w *Writer) { w.Flags([]Flag{FlagSeen, "a b", "", "x]", "$x"}) }},
		{"* OK [PERMANENTFLAGS (\\Seen \\*)] x\r\n",
			func(w *Writer) { w.Untagged(OK, CodePermanentFlags([]Flag{FlagSeen}, true), "x") }},
		{"* OK [UIDVALIDITY 3] x\r\n", func(w *Writer) { w.Untagged(OK, CodeUIDValidity(3), "x") }},
		{"a OK [APPENDUID 38505 3:5,7] x\r\n", func(w *Writer) { w.Tagged("a", OK, CodeAppendUID(38505, Set{{3, 5}, {7, 7}}), "x") }},
		{"a NO [BADURL /a%20b;UID=1%5D%C3] x\r\n", func(w *Writer) { w.Tagged("a", NO, CodeBadURL("/a b;UID=1]\xc3"), "x") }},
		{"a OK [APPENDUID 38505 3955] x\r\n", func(w *Writer) { w.Tagged("a", OK, CodeAppendUID(38505, Set{{3955, 3955}}), "x") }},
		{"a OK [COPYUID 38505 304,319:320 3956:3958] x\r\n", func(w *Writer) {
			w.Tagged("a", OK, CodeCopyUID(38505, Set{{304, 304}, {319, 320}}, Set{{3956, 3958}}), "x")
		}},
		{"* LIST (\\HasNoChildren \\Sent) \".\" \"Gr&APYA3w-e &- Co\"\r\n", func(w *Writer) {
			w.List(&ListData{Attrs: []MailboxAttr{AttrHasNoChildren, AttrSent}, Delimiter: '.', Mailbox: "Größe & Co"})
		}},
		{"* LSUB () NIL INBOX\r\n", func(w *Writer) { w.List(&ListData{LSub: true, Mailbox: "INBOX"}) }},
		{"* LIST () \"\\\\\" \"\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n",
			func(w *Writer) { w.List(&ListData{Delimiter: '\\', Subscribed: true}) }},
		{"* NAMESPACE ((\"\" \"/\")(\"#x&APw-/\" \"/\")) NIL NIL\r\n",
			func(w *Writer) { w.Namespace([]NamespaceData{{"", '/'}, {"#xü/", '/'}}, nil, nil) }},
		{"* ID NIL\r\n* ID (\"name\" \"x\" \"os\" NIL)\r\n",
			func(w *Writer) { w.ID(nil); w.ID([]IDParam{{"name", "x", true}, {"os", "", false}}) }},
		{"* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)\r\n",
			func(w *Writer) { w.Status("blurdybloop", StatusMessages|StatusUIDNext, status) }},
		{"* STATUS \"nil\" (SIZE 1099511627776 HIGHESTMODSEQ 7)\r\n",
			func(w *Writer) { w.Status("nil", StatusSize|StatusHighestModSeq, status) }},
		{"* SEARCH\r\n* SEARCH 2 84 85\r\n", func(w *Writer) { w.Search(&SearchResult{}); w.Search(&SearchResult{Found: Set{{2, 2}, {84, 85}}}) }},
		{"* ESEARCH (TAG \"a\\\"\") UID MIN 2 MAX 85 ALL 2,84:85 COUNT 3\r\n", func(w *Writer) {
			w.ESearch(`a"`, &SearchResult{UID: true, Return: ReturnMin | ReturnMax | ReturnCount | ReturnAll, Found: Set{{2, 2}, {84, 85}}})
		}},
		{"* ESEARCH (TAG \"a\") COUNT 0\r\n",
			func(w *Writer) {
				w.ESearch("a", &SearchResult{Return: ReturnMin | ReturnMax | ReturnCount | ReturnAll})
			}},
	}
	for _, test := range tests {
		if got := written(test.write); got != test.want {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
	}
}

func TestFetchResponse(t *testing.T) {
	t.Parallel()
	section := &FetchItem{Attr: FetchSection, Partial: &Partial{2, 4}, Section: Section{Part: []uint32{1, 2},
		Specifier: SectionHeaderFields, Fields: []string{"Date", "a b"}}}
	text := &FetchItem{Attr: FetchRFC822Text}
	octets := int64(0)
	got := written(func(w *Writer) {
		w.BeginFetch(12)
		w.FetchFlags([]Flag{FlagSeen})
		w.FetchUID(9)
		w.FetchInternalDate(time.Date(1996, 7, 7, 2, 44, 25, 0, time.FixedZone("", -7*3600)))
		w.FetchSize(4286)
		w.FetchModSeq(3)
		w.FetchWire(FetchEnvelope, []byte("(NIL)"))
		w.FetchLiteral(section, 4, strings.NewReader("a\x00cd"))
		w.FetchLiteral(text, 3, iotest.OneByteReader(strings.NewReader("x\x00zzz")))
		w.EndFetch()
		octets = w.MessageOctets()
	})
	if octets != 7 {
		t.Errorf("%d octets of messages", octets)
	}
	want := "* 12 FETCH (FLAGS (\\Seen) UID 9 INTERNALDATE \"07-Jul-1996 02:44:25 -0700\" RFC822.SIZE 4286 MODSEQ (3) " +
		"ENVELOPE (NIL) BODY[1.2.HEADER.FIELDS (DATE \"A B\")]<2> {4}\r\na\x80cd RFC822.TEXT {3}\r\nx\x80z)\r\n"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// countingWriter says how it was written to.
type countingWriter struct {
	writes, largest int
	n               int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	c.writes++
	c.largest = max(c.largest, len(b))
	c.n += int64(len(b))
	return len(b), nil
}

func TestLargeWrites(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	var c countingWriter
	w := NewWriter(&c)
	item := &FetchItem{Attr: FetchSection}
	w.BeginFetch(1)
	w.FetchLiteral(item, size, io.LimitReader(zeros{}, size))
	w.EndFetch()
	for range 10000 {
		w.Exists(1)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if c.n < size || c.writes > size/writeSize+10 || c.largest > 4*writeSize || cap(w.buf) > keepSize {
		t.Errorf("%+v, still holds %d", c, cap(w.buf))
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestBrokenLiterals(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	tests := []struct {
		src  io.Reader
		want error
	}{
		{strings.NewReader("abc"), ErrShort},
		{iotest.ErrReader(broken), broken},
		{stuck{}, io.ErrNoProgress},
	}
	for _, test := range tests {
		w := NewWriter(io.Discard)
		w.BeginFetch(1)
		w.FetchLiteral(&FetchItem{Attr: FetchSection}, 100, test.src)
		w.EndFetch()
		if err := w.Flush(); !errors.Is(err, test.want) {
			t.Errorf("%v, want %v", err, test.want)
		}
	}
}

func TestWriterError(t *testing.T) {
	t.Parallel()
	in, out := io.Pipe()
	in.Close()
	w := NewWriter(out)
	w.Exists(1)
	if w.Flush() == nil || w.Err() == nil || w.Continue("x") == nil {
		t.Error("the error of the connection is lost")
	}
}

// TestRoundTrip reads strings, names and sections as they are written.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "a", "NIL", "a b", `q"\`, "line\r\n", "größe", strings.Repeat("x", 5000), "(x", "]"} {
		b := appendAString([]byte("t1 LOGIN "), text)
		b = appendString(append(b, ' '), text)
		r, _ := newTestReader(string(b) + "\r\n")
		req, err := r.Next()
		if err != nil || *req.Command.(*Login) != (Login{text, text}) {
			t.Errorf("%q as %q: %+v, %v", text, b, req, err)
		}
	}
	for _, name := range []string{"INBOX", "a/b c", "R&D", "日本語", `\"`, "[x]", "%", "nil"} {
		b := new(Writer).appendMailbox([]byte("t1 SELECT "), name)
		r, _ := newTestReader(string(b) + "\r\n")
		req, err := r.Next()
		if err != nil || req.Command.(*Select).Mailbox != name {
			t.Errorf("%q as %q: %+v, %v", name, b, req, err)
		}
	}
}

func BenchmarkFetchFlags(b *testing.B) {
	w := NewWriter(io.Discard)
	flags := []Flag{FlagSeen, FlagAnswered}
	b.ReportAllocs()
	for i := range uint32(b.N) {
		w.BeginFetch(i)
		w.FetchUID(i)
		w.FetchFlags(flags)
		w.EndFetch()
	}
}

func BenchmarkFetchLiteral(b *testing.B) {
	const size = 32 << 10
	w := NewWriter(io.Discard)
	item := &FetchItem{Attr: FetchSection}
	src := bytes.NewReader(bytes.Repeat([]byte("x"), size))
	b.SetBytes(size)
	b.ReportAllocs()
	for i := range uint32(b.N) {
		src.Seek(0, io.SeekStart)
		w.BeginFetch(i)
		w.FetchLiteral(item, size, src)
		w.EndFetch()
	}
}

func BenchmarkNext(b *testing.B) {
	line := "A0001 UID FETCH 1304:1339 (UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (From To Subject Date)])\r\n"
	r, _ := newTestReader(strings.Repeat(line, b.N))
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for range b.N {
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdleConnection shows what a connection costs while nothing happens on it.
func BenchmarkIdleConnection(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		w := NewWriter(io.Discard)
		r := NewReader(strings.NewReader("a NOOP\r\n"), w)
		if _, err := r.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestDateTime(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"UTC", "Asia/Kathmandu", "America/St_Johns", "Africa/Monrovia"} {
		place, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, seconds := range []int64{0, -2e9, 1, 86399, 951782400, 1795322951, 4107542399, 60e9, 2e11, -6e10} {
			at := time.Unix(seconds, 0).In(place)
			if got, want := string(appendDateTime(nil, at)), at.Format(`"02-Jan-2006 15:04:05 -0700"`); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	}
}
