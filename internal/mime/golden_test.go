package mime

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

type golden struct {
	Name, Message string
	Answers       map[string]string
}

// octets undoes the form in which testdata/capture.py keeps them.
func octets(t testing.TB, s string) []byte {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			t.Fatalf("%q holds %U", s, r)
		}
		b = append(b, byte(r))
	}
	return b
}

func goldens(t testing.TB) []golden {
	raw, err := os.ReadFile("testdata/dovecot.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []golden
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

var peek = regexp.MustCompile(`^BODY\.PEEK\[([^ \]]*)(?: \((.*)\))?\](?:<(\d+)\.(\d+)>)?$`)

// answer is what a server says for one FETCH item.
func answer(t *testing.T, message []byte, root *Part, item string) string {
	switch item {
	case "RFC822.SIZE":
		return fmt.Sprintf("RFC822.SIZE %d", root.Size())
	case "ENVELOPE":
		return "ENVELOPE " + string(AppendEnvelope(nil, root.Envelope))
	case "BODY", "BODYSTRUCTURE":
		return item + " " + string(AppendBodyStructure(nil, root, item != "BODY"))
	}
	m := peek.FindStringSubmatch(item)
	if m == nil {
		t.Fatalf("item %q", item)
	}
	s, ok := section(m[1])
	if !ok {
		return "BAD"
	}
	name := m[1]
	if m[2] != "" {
		s.Fields = strings.Fields(m[2])
		name += " (" + strings.ToUpper(m[2]) + ")"
	}
	c := opened(t, bytes.NewReader(message), root, s)
	name = "BODY[" + name + "]"
	if m[3] != "" {
		offset, _ := strconv.ParseInt(m[3], 10, 64)
		count, _ := strconv.ParseInt(m[4], 10, 64)
		c = c.Slice(offset, count)
		name += "<" + m[3] + ">"
	}
	text, err := textOf(c)
	if err != nil || int64(len(text)) != c.Size {
		t.Fatalf("%s: %d of %d octets: %v", item, len(text), c.Size, err)
	}
	return fmt.Sprintf("%s {%d}\r\n%s", name, len(text), bytes.ReplaceAll(text, []byte{0}, []byte{0x80}))
}

// section reads what stands in the brackets of BODY[], without a list of fields.
func section(spec string) (s Section, ok bool) {
	names := map[string]Text{"": Whole, "HEADER": Header, "HEADER.FIELDS": HeaderFields, "HEADER.FIELDS.NOT": HeaderFieldsNot,
		"TEXT": BodyText, "MIME": MIME}
	for {
		if s.Text, ok = names[spec]; ok {
			return s, s.Text != MIME || len(s.Path) > 0
		}
		number, rest, _ := strings.Cut(spec, ".")
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return s, false
		}
		s.Path, spec = append(s.Path, uint32(n)), rest
	}
}

func newReader() *Reader { return NewReader(bufio.NewReaderSize(nil, BufferSize)) }

func opened(t testing.TB, file io.ReaderAt, root *Part, s Section) Content {
	t.Helper()
	c, err := newReader().Open(file, root, s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func textOf(c Content) ([]byte, error) {
	r := newReader()
	r.Reset(c)
	return io.ReadAll(r)
}

// differences are the answers in which this package does not follow Dovecot 2.3.
var differences = map[[2]string]string{
	{"no body", "BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT TO)]"}:                       "a blank line always ends the fields",
	{"no body, no last newline", "BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT TO)]"}:      "a blank line always ends the fields",
	{"rfc822 base64", "BODY.PEEK[1.HEADER.FIELDS (SUBJECT)]"}:                      "a blank line always ends the fields",
	{"rfc822 empty, last", "BODY.PEEK[1.HEADER.FIELDS (SUBJECT)]"}:                 "a blank line always ends the fields",
	{"rfc822 header only, no newline", "BODY.PEEK[2.HEADER.FIELDS.NOT (SUBJECT)]"}: "Dovecot goes on into the next part",
}

func TestDovecot(t *testing.T) {
	t.Parallel()
	for _, g := range goldens(t) {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			message := octets(t, g.Message)
			root, err := Scan(bytes.NewReader(message))
			if err != nil {
				t.Fatal(err)
			}
			for item, want := range g.Answers {
				got := answer(t, message, root, item)
				if strings.HasPrefix(want, "BAD") {
					want = "BAD"
				}
				same := got == string(octets(t, want))
				if why := differences[[2]string{g.Name, item}]; why != "" {
					if same {
						t.Errorf("%s is as Dovecot's, but is listed as different: %s", item, why)
					}
				} else if !same {
					t.Errorf("%s of %q\n got %q\nwant %q", item, message, got, octets(t, want))
				}
			}
		})
	}
}
