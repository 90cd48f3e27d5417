package mime

import (
	"reflect"
	"strings"
	"testing"
)

// placesOf is a tree without all but its places.
func placesOf(p *Part) *Part {
	bare := func(m Mark) Mark { return Mark{Off: m.Off, CRLF: m.CRLF} }
	q := &Part{Kind: p.Kind, level: p.level,
		Header: Range{bare(p.Header.Start), bare(p.Header.End)}, Body: Range{bare(p.Body.Start), bare(p.Body.End)}}
	for _, c := range p.Parts {
		c := placesOf(c)
		c.parent = q
		q.Parts = append(q.Parts, c)
	}
	return q
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	samples := []string{"", "\n", "a: b\r\n\r\nx\ny\r\nz", strings.Repeat("Content-Type: message/rfc822\n\n", 120)}
	for _, g := range goldens(t) {
		samples = append(samples, string(octets(t, g.Message)))
	}
	for _, text := range samples {
		p, err := Scan(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		b := AppendPlaces(nil, p)
		got := ParsePlaces(b, int64(len(text)))
		if want := placesOf(p); !reflect.DeepEqual(got, want) {
			t.Errorf("%.60q: %+v, want %+v", text, got, want)
		}
		for i := range b {
			if ParsePlaces(b[:i], int64(len(text))) != nil {
				t.Errorf("%.60q: the first %d octets are taken", text, i)
			}
		}
	}
}

func TestPlacesOfMany(t *testing.T) {
	t.Parallel()
	text := "Content-Type: multipart/mixed; boundary=x\n\n" + strings.Repeat("--x\n\n", maxPlaces)
	p, err := Scan(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if b := AppendPlaces(nil, p); b != nil {
		t.Errorf("%d octets", len(b))
	}
}

func FuzzPlaces(f *testing.F) {
	for _, text := range []string{"a: b\n\nc\n", "Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\n--x\nContent-Type: message/rfc822\n\nb: c\n\nd\n--x--\n"} {
		p, err := Scan(strings.NewReader(text))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(AppendPlaces(nil, p), int64(len(text)))
	}
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		p := ParsePlaces(b, size)
		if p == nil {
			return
		}
		if p.Size() < 0 || p.Body.End.Off > size {
			t.Fatalf("%+v of %d octets", p, size)
		}
		if again := ParsePlaces(AppendPlaces(nil, p), size); !reflect.DeepEqual(again, p) {
			t.Fatalf("%+v, then %+v", p, again)
		}
	})
}
