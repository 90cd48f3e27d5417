package search

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/imap"
)

// TestKeys looks for texts and dates in the messages of testdata.
func TestKeys(t *testing.T) {
	t.Parallel()
	messages := corpus(t)
	box, names := mailbox(t, messages)
	utf8 := "SEARCH CHARSET UTF-8 "
	for _, c := range []struct{ command, want string }{
		{"SEARCH FROM " + literal("Alice Example <alice@example.org>") + " SUBJECT quarterly", "plain"},
		{"SEARCH FROM " + literal(`"Alice Example" <alice@`) + " SUBJECT quarterly", "plain"},
		{utf8 + "FROM " + literal("jörg müller <joerg"), "words"},
		{"SEARCH TO " + literal("Comment Name"), "words"},
		{"SEARCH CC wilma", "folded"},
		{"SEARCH HEADER X-Empty {0+}\r\n", "folded"},
		{"SEARCH HEADER X-Dup second", "folded"},
		{"SEARCH HEADER X-Long endoflongfield", "longfield"},
		{"SEARCH SUBJECT " + literal("is folded over several"), "folded"},
		{utf8 + "SUBJECT " + literal("caFÉ"), "qp"},
		{utf8 + "SUBJECT " + literal("日本"), "jis"},
		{"SEARCH BODY needle NOT BODY haystack", "base64 longline mixed nomime nul openmultipart qp unknowncharset"},
		{"SEARCH BODY pdfneedle", ""},
		{"SEARCH BODY csvneedle", "mixed"},
		{"SEARCH BODY firmware-needle", ""},
		{"SEARCH TEXT firmware-needle", "mixed"},
		{"SEARCH OR BODY preamble BODY epilogue", ""},
		{"SEARCH BODY " + literal("inner body"), "forward"},
		{utf8 + "BODY " + literal("inner subject é"), ""},
		{utf8 + "TEXT " + literal("inner subject é"), "forward"},
		{"SEARCH BODY final-recipient", "dsn"},
		{"SEARCH BODY " + literal("haystack.\r\nBye"), "plain"},
		{"SEARCH TEXT " + literal("Subject: Quarterly report\r\nDate: Thu"), "plain"},
		{utf8 + "BODY " + literal("Ångström"), "latin1"},
		{utf8 + "BODY " + literal("булок"), "koi8"},
		{utf8 + "BODY " + literal("吾輩"), "jis"},
		{utf8 + "BODY " + literal("übergang"), "border64 borderqp"},
		{"SEARCH CHARSET ISO-8859-1 BODY " + literal("caf\xe9 cr\xe8me"), "qp"},
		{"SEARCH BODY " + literal("Caf\xc3\xa9 cr"), "qp"},
		{"SEARCH SENTON 29-Feb-2020", "date1"},
		{"SEARCH SENTON 1-Mar-2020", "date2 date3"},
		{"SEARCH SENTBEFORE 2-Jan-1970", "baddate binary colonless empty emptyfields mbox nodate noheader nul spacecolon"},
		{"SEARCH ON 27-Mar-2021", "baddate"},
		{"SEARCH LARGER 500000", ""},
		{"SEARCH SMALLER 30", "empty"},
		{"SEARCH MODSEQ 30 1:3", "base64"},
		{"SEARCH YOUNGER 86400", ""},
		{"SEARCH OLDER 86400 SMALLER 30", "empty"},
		{"SEARCH CHARSET ISO-2022-JP 3 BODY " + literal("\x1b(B"), "base64"}, // no characters: in every text
		{"SEARCH CHARSET UTF-16 TEXT " + literal("\xfe\xff") + " HEADER X-Dup " + literal("\xfe\xff"), "folded"},
	} {
		var got []string
		for _, i := range find(t, newQuery(t, c.command, len(box)), box) {
			got = append(got, names[i])
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: found %q, not %q", c.command, s, c.want)
		}
	}
}

// TestState has keys for which no file is opened.
func TestState(t *testing.T) {
	t.Parallel()
	box := []*mail{
		{seq: 1, uid: 10, flags: []imap.Flag{imap.FlagSeen, "Work"}},
		{seq: 2, uid: 20, flags: []imap.Flag{imap.FlagRecent}},
		{seq: 3, uid: 30, flags: []imap.Flag{imap.FlagRecent, imap.FlagSeen, imap.FlagFlagged}},
	}
	for _, c := range []struct {
		command string
		want    []int
	}{
		{"SEARCH ALL", []int{0, 1, 2}},
		{"SEARCH NEW", []int{1}},
		{"SEARCH OLD", []int{0}},
		{"SEARCH KEYWORD wORK", []int{0}},
		{"SEARCH UNKEYWORD work SEEN", []int{2}},
		{"SEARCH NOT (SEEN FLAGGED)", []int{0, 1}},
		{"SEARCH OR FLAGGED KEYWORD work", []int{0, 2}},
		{"SEARCH *", []int{2}},
		{"SEARCH 9:*", []int{2}},
		{"SEARCH UID 40:*", []int{2}},
		{"SEARCH UID 11:25", []int{1}},
		{"SEARCH NOT 2", []int{0, 2}},
		{"SEARCH OR UNSEEN (SEEN 3)", []int{1, 2}},
	} {
		q := newQuery(t, c.command, len(box))
		if got := find(t, q, box); !slices.Equal(got, c.want) {
			t.Errorf("%s: found %v, not %v", c.command, got, c.want)
		}
		if q.NeedsFile() {
			t.Errorf("%s: files are needed", c.command)
		}
	}
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"SEARCH ALL":                        "1:50",
		"SEARCH 5 TEXT x":                   "5",
		"SEARCH 2:30 (10:40 (1:11,20:*))":   "10:11,20:30",
		"SEARCH OR 1 2":                     "1:50",
		"SEARCH NOT 1":                      "1:50",
		"SEARCH 1:10 11:20":                 "",
		"SEARCH 51":                         "",
		"SEARCH 49:4294967295":              "49:50",
		"SEARCH UID 5 BODY needle 3,1,7:70": "1,3,7:50",
	} {
		if got := newQuery(t, command, 50).Candidates(50).String(); got != want {
			t.Errorf("%s: %q, not %q", command, got, want)
		}
	}
	if got := newQuery(t, "SEARCH *", 0).Candidates(0); got != nil {
		t.Error("candidates in an empty mailbox:", got)
	}
}

func TestCharsets(t *testing.T) {
	t.Parallel()
	for charset, known := range map[string]bool{
		"UTF-8": true, "US-ASCII": true, "ISO-8859-15": true, "KOI8-R": true, "ISO-2022-JP": true, "GB18030": true, "BIG5": true,
		"UTF-16": true, "CP850": true, "X-NONSENSE": false, "UTF-7": false, "ISO-2022-KR": false,
	} {
		_, err := New(parse(t, "SEARCH CHARSET "+charset+" ALL"), 1, 1)
		if known && err != nil || !known && !errors.Is(err, ErrCharset) {
			t.Errorf("%s: %v", charset, err)
		}
	}
}

// TestOrder sees that what is cheap decides first, and that a file is opened once, beside asking for the header and for the date in it.
func TestOrder(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	box, _ := mailbox(t, map[string][]byte{"a": []byte("Subject: one\n\nbody\n")})
	for _, c := range []struct {
		command string
		err     error
		found   bool
		opened  int
	}{
		{"SEARCH BODY body SEEN", broken, false, 0},
		{"SEARCH OR BODY body UNSEEN", broken, true, 0},
		{"SEARCH NOT (SUBJECT one SEEN)", broken, true, 0},
		{"SEARCH OR (TEXT one LARGER 1) (BODY x UID 10)", nil, true, 1},
		{"SEARCH BODY body SUBJECT one TEXT body NOT BODY none HEADER Subject {0+}\r\n SENTBEFORE 1-Jan-2000", nil, true, 3},
	} {
		m := *box[0]
		m.err = c.err
		found, err := newQuery(t, c.command, 1).Match(t.Context(), &m)
		if err != nil || found != c.found || m.opened != c.opened {
			t.Errorf("%s: %v, %v, opened %d times", c.command, found, err, m.opened)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	gone := &mail{seq: 1, uid: 1, err: fs.ErrNotExist}
	for _, command := range []string{"SEARCH LARGER 5", "SEARCH BODY x", "SEARCH NOT TEXT x", "SEARCH OR SUBJECT x FROM y", "SEARCH NOT NOT SINCE 1-Jan-2020"} {
		if found, err := newQuery(t, command, 1).Match(t.Context(), gone); found || err != fs.ErrNotExist {
			t.Errorf("%s: %v, %v", command, found, err)
		}
	}
	box, _ := mailbox(t, map[string][]byte{"a": []byte("Subject: one\n\nbody\n")})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, command := range []string{"SEARCH NOT BODY x", "SEARCH NOT TEXT x", "SEARCH OR BODY x BODY y"} {
		q := newQuery(t, command, 1)
		if found, err := q.Match(cancelled, box[0]); found || !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v, %v", command, found, err)
		}
		closed := &closedMail{*box[0]}
		if found, err := q.Match(t.Context(), closed); found || !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s, unreadable: %v, %v", command, found, err)
		}
	}
}

// closedMail has a file that cannot be read.
type closedMail struct{ mail }

func (m *closedMail) Open(ctx context.Context) (*os.File, error) {
	f, err := m.mail.Open(ctx)
	if err == nil {
		f.Close()
	}
	return f, err
}

// TestZone sees that arrival is compared in the zone of the server, and a Date field as it is written.
func TestZone(t *testing.T) {
	t.Parallel()
	m := &mail{seq: 1, uid: 1, date: time.Date(2020, 6, 30, 23, 30, 0, 0, time.UTC)}
	for offset, want := range map[int]bool{-3600: false, 0: false, 3600: true} {
		q := newQuery(t, "SEARCH ON 1-Jul-2020", 1)
		q.zone = time.FixedZone("", offset)
		if got, err := q.Match(t.Context(), m); got != want || err != nil {
			t.Errorf("offset %d: %v, %v", offset, got, err)
		}
	}
}

// TestConcurrent uses one query for several messages at once.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	box, names := mailbox(t, corpus(t))
	q := newQuery(t, "SEARCH OR BODY needle SUBJECT a", len(box))
	want := find(t, q, box)
	if len(want) == 0 || len(want) == len(box) {
		t.Fatal("found", len(want))
	}
	var wg sync.WaitGroup
	for i, m := range box {
		wg.Go(func() {
			if got, err := q.Match(t.Context(), m); err != nil || got != slices.Contains(want, i) {
				t.Error(names[i], got, err)
			}
		})
	}
	wg.Wait()
}

// recorder tells how far a message was read, and how often.
type recorder struct {
	io.ReaderAt
	reads int
	end   int64
}

func (r *recorder) ReadAt(b []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(b, off)
	r.reads++
	r.end = max(r.end, off+int64(n))
	return n, err
}

// TestReads sees that a message which fits is read once.
func TestReads(t *testing.T) {
	t.Parallel()
	message := "Subject: one\nDate: Mon, 1 Jun 2020 00:00:00 +0000\n\n" + strings.Repeat("body\n", 10_000)
	file := &recorder{ReaderAt: strings.NewReader(message)}
	r := newReader()
	r.open(t.Context(), file)
	tree, err := r.scan()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if found, err := r.matchParts(tree, newNeedle("absent"), true); found || err != nil {
			t.Error(found, err)
		}
	}
	if file.reads != 2 {
		t.Errorf("the message took %d reads", file.reads)
	}
}
