package mime

import (
	"bytes"
	"strings"
	"testing"
)

// TestAppendFields compares with a Reader, of headers that end in all ways, and so does AppendWire.
func TestAppendFields(t *testing.T) {
	t.Parallel()
	samples := []string{"", "\n", "\r\n", "a: b", "a: b\r", "a: b\nc: d", " folded\na: b\n c\nA: d\n\nbody", "a\n\n", "a: b\n\rc: d\n\n", "\rx: y\n", "a: b\r\r\nc: d\r\n\r\n"}
	for _, g := range goldens(t) {
		samples = append(samples, string(octets(t, g.Message)))
	}
	for _, text := range samples {
		root, err := Scan(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		header, err := textOf(opened(t, strings.NewReader(text), root, Section{Text: Header}))
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendWire(nil, []byte(text)[:root.Header.End.Off]); !bytes.Equal(got, header) {
			t.Errorf("%.60q: %q, want %q", text, got, header)
		}
		for _, s := range []Section{
			{Text: HeaderFields, Fields: []string{"A"}}, {Text: HeaderFieldsNot, Fields: []string{"a"}},
			{Text: HeaderFields, Fields: []string{"subject", "From", "content-type"}}, {Text: HeaderFieldsNot, Fields: []string{"date"}},
		} {
			want, err := textOf(opened(t, strings.NewReader(text), root, s))
			if err != nil {
				t.Fatal(err)
			}
			if got := AppendFields(nil, header, &s); !bytes.Equal(got, want) {
				t.Errorf("%.60q %+v: %q, want %q", text, s, got, want)
			}
		}
	}
}
