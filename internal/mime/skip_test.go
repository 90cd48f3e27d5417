package mime

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// scanByLine reads one line, or a fragment of one, after the other.
func scanByLine(text []byte) *Part {
	s := newScanner()
	root := s.part
	for line := range bytes.Lines(text) {
		for len(line) > 0 {
			n := min(len(line), BufferSize)
			s.read(line[:n])
			line = line[n:]
		}
	}
	s.finish()
	return root
}

// TestSkip compares with a scan that looks at every line.
func TestSkip(t *testing.T) {
	t.Parallel()
	var samples []string
	for _, g := range goldens(t) {
		samples = append(samples, string(octets(t, g.Message)))
	}
	const head = "Content-Type: multipart/mixed; boundary=x\n\n"
	for _, fill := range []string{"-", "--", "x\n", "\r\n", "-\n", "--\n", "x-\n--x", strings.Repeat("long", 3000) + "\n", "a\r\n-b\n", "\r"} {
		for _, n := range []int{1, 2, 1000, BufferSize/len(fill) - 20, BufferSize / len(fill), BufferSize/len(fill) + 1} {
			if n > 0 {
				samples = append(samples, head+"--x\n\n"+strings.Repeat(fill, n)+"\n--x\n\nb\r\n--x--\nend", "a: b\n\n"+strings.Repeat(fill, n))
			}
		}
	}
	for _, text := range samples {
		got, err := Scan(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if want := scanByLine([]byte(text)); !reflect.DeepEqual(got, want) {
			t.Errorf("%.100q of %d: %+v, want %+v", text, len(text), got, want)
		}
	}
}
