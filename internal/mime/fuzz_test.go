package mime

import (
	"bytes"
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
		if root.Header.Start.Off != 0 || root.Body.End.Off != int64(len(message)) {
			t.Fatalf("the message is %+v %+v of %d octets", root.Header, root.Body, len(message))
		}
		places(t, message, root)
		slow, err := Scan(iotest.OneByteReader(bytes.NewReader(message)))
		if err != nil || !bytes.Equal(AppendBodyStructure(nil, slow, true), AppendBodyStructure(nil, root, true)) {
			t.Fatalf("the structure depends on how the message is read (%v)", err)
		}
		sameWithCRLF(t, message, root)
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
		s, err := ParseSection(spec)
		if err != nil {
			t.Fatal(err)
		}
		s.Fields = []string{"subject"}
		c, err := Open(bytes.NewReader(message), root, s)
		if err != nil {
			t.Fatal(err)
		}
		var whole, part bytes.Buffer
		if n, err := c.WriteTo(&whole); err != nil || n != c.Size || whole.Len() != int(n) {
			t.Fatalf("BODY[%s]: %d of %d octets: %v", spec, n, c.Size, err)
		}
		if spec == "" && !bytes.Equal(whole.Bytes(), naive(message)) {
			t.Fatalf("BODY[] is %q", whole.Bytes())
		}
		if _, err := c.Slice(1, 5).Slice(1, 9).WriteTo(&part); err != nil || !bytes.Equal(part.Bytes(), cut(whole.Bytes())) {
			t.Fatalf("BODY[%s]<2.4> of %q is %q (%v)", spec, whole.Bytes(), part.Bytes(), err)
		}
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

func FuzzSection(f *testing.F) {
	for _, s := range []string{"", "1.2.HEADER", "TEXT", "1.MIME", "2.header.fields.not", "0", "1..2", "MIME", "1.TEXT.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		s, err := ParseSection(spec)
		if err != nil {
			return
		}
		if s.Text == MIME && len(s.Path) == 0 {
			t.Fatalf("%q is %+v", spec, s)
		}
		(&Part{}).Find(s)
	})
}
