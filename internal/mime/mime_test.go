package mime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestRFC3501 has the examples of RFC 3501 §7.4.2 and §8.
func TestRFC3501(t *testing.T) {
	t.Parallel()
	message := "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\nFrom: Terry Gray <gray@cac.washington.edu>\n" +
		"Subject: IMAP4rev1 WG mtg summary and minutes\nTo: imap@cac.washington.edu\n" +
		"cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\nMessage-Id: <B27397-0100000@cac.washington.edu>\n" +
		"MIME-Version: 1.0\nContent-Type: TEXT/PLAIN; CHARSET=US-ASCII\n\n" + strings.Repeat(strings.Repeat("x", 31)+"\n", 92)
	root, err := Scan(strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	gray := `(("Terry Gray" NIL "gray" "cac.washington.edu"))`
	want := `("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" ` + gray + " " + gray + " " + gray +
		` ((NIL NIL "imap" "cac.washington.edu")) ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) ` +
		`NIL NIL "<B27397-0100000@cac.washington.edu>")`
	if got := string(AppendEnvelope(nil, root.Envelope)); got != want {
		t.Errorf("envelope\n got %s\nwant %s", got, want)
	}
	want = fmt.Sprintf(`("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7bit" %d 92)`, 92*33)
	if got := string(AppendBodyStructure(nil, root, false)); got != want {
		t.Errorf("body\n got %s\nwant %s", got, want)
	}
}

// TestSectionTree walks the example tree of RFC 3501 §6.4.5; each leaf says its own number.
func TestSectionTree(t *testing.T) {
	t.Parallel()
	part := func(kind, number string) string { return "Content-Type: " + kind + "\n\nPART " + number + "\n" }
	multi := func(kind, b string, parts ...string) string {
		m := "Content-Type: multipart/" + kind + "; boundary=" + b + "\n\n"
		for _, p := range parts {
			m += "--" + b + "\n" + p
		}
		return m + "--" + b + "--\n"
	}
	message := multi("mixed", "aa", part("text/plain", "1"), part("application/octet-stream", "2"),
		"Content-Type: message/rfc822\n\nSubject: 3\n"+multi("mixed", "bb", part("text/plain", "3.1"), part("application/octet-stream", "3.2")),
		multi("mixed", "cc", part("image/gif", "4.1"), "Content-Type: message/rfc822\n\nSubject: 4.2\n"+
			multi("mixed", "dd", part("text/plain", "4.2.1"), multi("alternative", "ee", part("text/plain", "4.2.2.1"), part("text/richtext", "4.2.2.2")))))
	root, err := Scan(strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range []string{"1", "2", "3.1", "3.2", "4.1", "4.2.1", "4.2.2.1", "4.2.2.2"} {
		if got := fetch(t, message, root, spec); got != "PART "+spec {
			t.Errorf("BODY[%s] is %q", spec, got)
		}
	}
	for spec, want := range map[string]string{"3.HEADER": "Subject: 3\r\n", "4.2.HEADER": "Subject: 4.2\r\n", "4.2.MIME": "Content-Type: message/rfc822\r\n\r\n",
		"3.TEXT": "--bb\r\n", "4.2.TEXT": "--dd\r\n", "4.2.2": "--ee\r\n", "TEXT": "--aa\r\n"} {
		if got := fetch(t, message, root, spec); !strings.HasPrefix(got, want) {
			t.Errorf("BODY[%s] is %q, want %q...", spec, got, want)
		}
	}
	for _, spec := range []string{"5", "0", "1.2", "3.3", "1.HEADER", "4.TEXT", "4.2.2.3", "4.2.2.1.1.1"} {
		if got := fetch(t, message, root, spec); got != "" {
			t.Errorf("BODY[%s] is %q", spec, got)
		}
	}
}

func fetch(t *testing.T, message string, root *Part, spec string) string {
	t.Helper()
	s, ok := section(spec)
	if !ok {
		t.Fatalf("section %q", spec)
	}
	b, err := textOf(opened(t, strings.NewReader(message), root, s))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSlices compares each slice of a text with the text, whatever its line ends.
func TestSlices(t *testing.T) {
	t.Parallel()
	for _, message := range []string{"a: b\n\nx\n\ny\n", "a: b\r\n\r\nx\r\n\r\ny\r\n", "a: b\n\nx\r\n\ny\r\r\nz\x00"} {
		root, err := Scan(strings.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		c := opened(t, strings.NewReader(message), root, Section{})
		want := naive([]byte(message))
		for from := range len(want) + 2 {
			for to := from; to < len(want)+2; to++ {
				b, err := textOf(c.Slice(int64(from), int64(to-from)))
				if w := want[min(from, len(want)):min(to, len(want))]; err != nil || !bytes.Equal(b, w) {
					t.Errorf("%q[%d:%d] is %q, want %q (%v)", message, from, to, b, w, err)
				}
			}
		}
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	root, err := Scan(io.MultiReader(strings.NewReader("Subject: s\n\nbo"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || root.Size() != 16 || deref(root.Envelope.Subject) != "s" {
		t.Errorf("Scan gives %+v, %v", root, err)
	}
	c := opened(t, strings.NewReader("Subject: s\n\nb"), root, Section{})
	if b, err := textOf(c); len(b) != 15 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("of a file that was cut short: %q, %v", b, err)
	}
	failing := io.NewSectionReader(failingFile{broken}, 0, 100)
	if b, err := textOf(opened(t, failing, root, Section{})); len(b) != 0 || !errors.Is(err, broken) {
		t.Errorf("of a file that cannot be read: %q, %v", b, err)
	}
	if _, err := newReader().Open(failing, root, Section{Text: HeaderFieldsNot}); !errors.Is(err, broken) {
		t.Errorf("the header of a file that cannot be read: %v", err)
	}
	for _, measure := range []func(io.Reader) (*Part, error){Measure, MeasureHeader, ScanHeader} {
		p, err := measure(io.MultiReader(strings.NewReader("Subject: s"), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || p.Header.Size() != 10 {
			t.Errorf("%+v, %v", p, err)
		}
	}
}

type failingFile struct{ err error }

func (f failingFile) ReadAt([]byte, int64) (int, error) { return 0, f.err }
