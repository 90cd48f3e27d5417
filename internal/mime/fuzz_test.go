package mime

import (
	"bufio"
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// FuzzScan holds the scanner to what must be true of every message.
func FuzzScan(f *testing.F) {
	for i, g := range goldens(f) {
		if i%7 == 0 && len(g.Message) < 2000 {
			f.Add(octets(f, g.Message))
		}
	}
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n--b\n\n--c\n--b--\n--c\n"))
	f.Fuzz(func(t *testing.T, message []byte) {
		root, err := Scan(bytes.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		if err := check(root); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(root, scanByLine(message)) {
			t.Fatal("another tree by single lines")
		}
		if root.Header.Start.Off != 0 || root.Body.End.Off != int64(len(message)) {
			t.Fatalf("the message is %+v %+v of %d octets", root.Header, root.Body, len(message))
		}
		places(t, message, root)
		slow, err := Scan(iotest.OneByteReader(bytes.NewReader(message)))
		if err != nil || !bytes.Equal(AppendBodyStructure(nil, slow, true), AppendBodyStructure(nil, root, true)) {
			t.Fatalf("the structure depends on how the message is read (%v)", err)
		}
		sameWithCRLF(t, message, root)
		measured(t, message, root)
		open(t, message, root)
	})
}

// places compares sizes with the text that they are of.
func places(t *testing.T, message []byte, p *Part) {
	for _, r := range []Range{p.Header, p.Body} {
		text := message[r.Start.Off:r.End.Off]
		if int(r.Size()) != len(naive(text)) || int(r.Lines()) != bytes.Count(text, []byte("\n")) {
			t.Fatalf("%q is not of %d octets and %d lines", text, r.Size(), r.Lines())
		}
	}
	after := p.Body.Start.Off
	for _, c := range p.Parts {
		if c.Header.Start.Off < after || c.Body.End.Off > p.Body.End.Off || c.Header.End.Off > c.Body.Start.Off || c.Envelope != nil != (p.Kind == Message) {
			t.Fatalf("part %+v of %+v after %d", c, p, after)
		}
		after = c.Body.End.Off
		places(t, message, c)
	}
	if p.Kind == Message && len(p.Parts) != 1 || p.Kind == Leaf && p.Parts != nil {
		t.Fatalf("kind %d has %d parts", p.Kind, len(p.Parts))
	}
}

// sameWithCRLF holds that a client cannot see which line ends the file has.
func sameWithCRLF(t *testing.T, message []byte, root *Part) {
	if bytes.IndexByte(message, '\r') >= 0 || len(message) > BufferSize/2 {
		return
	}
	other, err := Scan(bytes.NewReader(bytes.ReplaceAll(message, []byte("\n"), []byte("\r\n"))))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := AppendBodyStructure(nil, root, true), AppendBodyStructure(nil, other, true); !bytes.Equal(a, b) {
		t.Fatalf("with LF %s\nwith CRLF %s", a, b)
	}
	if a, b := AppendEnvelope(nil, root.Envelope), AppendEnvelope(nil, other.Envelope); !bytes.Equal(a, b) {
		t.Fatalf("with LF %s\nwith CRLF %s", a, b)
	}
}

func open(t *testing.T, message []byte, root *Part) {
	for _, spec := range []string{"", "HEADER", "TEXT", "1", "2.MIME", "1.HEADER", "1.1", "HEADER.FIELDS.NOT", "2.HEADER.FIELDS"} {
		s, _ := section(spec)
		s.Fields = []string{"subject"}
		c := opened(t, bytes.NewReader(message), root, s)
		whole, err := textOf(c)
		if err != nil || int64(len(whole)) != c.Size {
			t.Fatalf("BODY[%s]: %d of %d octets: %v", spec, len(whole), c.Size, err)
		}
		if spec == "" && !bytes.Equal(whole, naive(message)) {
			t.Fatalf("BODY[] is %q", whole)
		}
		part, err := textOf(c.Slice(1, 5).Slice(1, 9))
		if err != nil || !bytes.Equal(part, cut(whole)) {
			t.Fatalf("BODY[%s]<2.4> of %q is %q (%v)", spec, whole, part, err)
		}
		pieces(t, c, whole)
	}
}

// pieces reads a text as a client does that asks for one slice after the other, by one Reader with a small buffer.
func pieces(t *testing.T, c Content, whole []byte) {
	r, m := newReader(), Mark{}
	if !c.filtered() {
		r = NewReader(bufio.NewReaderSize(nil, 16))
	}
	var got []byte
	for i := int64(0); i < c.Size && i < 20; i++ {
		r.Reset(c.Slice(i*7, 7).Near(m))
		piece, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got, m = append(got, piece...), r.Mark()
	}
	if !bytes.Equal(got, whole[:min(len(whole), 140)]) {
		t.Fatalf("in slices %q, at once %q", got, whole)
	}
}

// measured compares the quick ways to look at a message with Scan.
func measured(t *testing.T, message []byte, root *Part) {
	whole, err := Measure(bytes.NewReader(message))
	if err != nil || whole.Header != root.Header || whole.Body != root.Body {
		t.Fatalf("Measure(%q) = %+v %+v, Scan says %+v %+v (%v)", message, whole.Header, whole.Body, root.Header, root.Body, err)
	}
	if held := MeasureText(message); held.Header != whole.Header || held.Body != whole.Body {
		t.Fatalf("MeasureText(%q) = %+v, not %+v", message, held, whole)
	}
	slow, err := Measure(iotest.OneByteReader(bytes.NewReader(message)))
	if err != nil || !reflect.DeepEqual(slow, whole) {
		t.Fatalf("Measure(%q) = %+v or %+v (%v)", message, whole, slow, err)
	}
	header, err := MeasureHeader(bytes.NewReader(message))
	if err != nil || header.Header != root.Header {
		t.Fatalf("MeasureHeader(%q) = %+v, not %+v (%v)", message, header.Header, root.Header, err)
	}
	header, err = ScanHeader(bytes.NewReader(message))
	if err != nil || header.Header != root.Header || !reflect.DeepEqual(header.Envelope, root.Envelope) || header.Kind != root.Kind ||
		!reflect.DeepEqual(header.Params, root.Params) || header.Parts != nil || header.Body.Size() != 0 {
		t.Fatalf("ScanHeader(%q) = %+v, Scan says %+v (%v)", message, header, root, err)
	}
}

func cut(b []byte) []byte { return b[min(2, len(b)):min(6, len(b))] }

func FuzzAddress(f *testing.F) {
	for _, g := range goldens(f) {
		if strings.HasPrefix(g.Name, "address ") {
			_, list, _ := strings.Cut(g.Message, "From: ")
			f.Add(octets(f, strings.TrimSuffix(list, "\n\nx\n")))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 5
		list := ParseAddresses(in, limit)
		if len(list) > limit {
			t.Fatalf("%d addresses", len(list))
		}
		for _, a := range list {
			if a.Mailbox == nil && (a.Domain != nil || a.Name != nil || a.Route != nil) {
				t.Fatalf("%q gives %+v", in, a)
			}
		}
		if err := check(&Part{Envelope: &Envelope{From: list}}); err != nil {
			t.Fatal(err)
		}
	})
}
