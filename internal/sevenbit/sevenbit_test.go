package sevenbit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	stdmultipart "mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// wire writes lines as they go over the wire.
func wire(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func convert(message string) (string, error) {
	c, err := Convert(strings.NewReader(message), int64(len(message)))
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(c.Reader())
	return string(b), err
}

func TestConvert(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, out string }{
		{"no MIME", "Subject: x\n\ngrün\n",
			"Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\ngr=C3=BCn\n"},
		{"text", "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\nX: y\n\na=b \n\tü\n\n",
			"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nX: y\nContent-Transfer-Encoding: quoted-printable\n\na=3Db=20\n\t=C3=BC\n\n"},
		{"no charset", "MIME-Version: 1.0\nContent-Type: text/html;\n format=flowed ;\n\nü\n",
			"MIME-Version: 1.0\nContent-Type: text/html;\n format=flowed;\n charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n"},
		{"labelled 7bit", "MIME-Version: 1.0\ncontent-type: text/plain; CharSet=\"iso-8859-1\"\nContent-transfer-encoding: 7bit\n\n\xfc\n",
			"MIME-Version: 1.0\ncontent-type: text/plain; CharSet=\"iso-8859-1\"\nContent-Transfer-Encoding: quoted-printable\n\n=FC\n"},
		{"other", "MIME-Version: 1.0\nContent-Type: application/x-tar\nContent-Transfer-Encoding: binary\n\nü\n",
			"MIME-Version: 1.0\nContent-Type: application/x-tar\nContent-Transfer-Encoding: base64\n\nw7wNCg==\n"},
		{"multipart", "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b c\"\nContent-Transfer-Encoding: 8bit\n\npreämble\n--b c\n\nü\n--b c \nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\nplain \n--b c\nContent-Type: image/x\n\nü\n--b c--\nepilogue ü\n",
			"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b c\"\nContent-Transfer-Encoding: 7bit\n\npre??mble\n--b c\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--b c \nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\nplain \n--b c\nContent-Type: image/x\nContent-Transfer-Encoding: base64\n\nw7w=\n--b c--\nepilogue ??\n"},
		{"nested", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=ab\n\n--ab\n\nü\n--ab\n\nx\n--a\n\ny\n--a--\n",
			"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=ab\n\n--ab\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--ab\n\nx\n--a\n\ny\n--a--\n"},
		{"message", "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: inner\n\nü\n",
			"Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: inner\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n"},
		{"message with a From line", "Content-Type: message/rfc822\n\n>From x@y Mon Jan 1 00:00:00 2024\nMIME-Version: 1.0\n\nü\n",
			"Content-Type: message/rfc822\n\n>From x@y Mon Jan 1 00:00:00 2024\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n"},
		{"digest", "Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nü\n--a--\n",
			"Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--a--\n"},
		{"global", "Content-Type: message/global\nContent-Transfer-Encoding: 8bit\nMIME-Version: 1.0\n\nSubject: ü\n\nü",
			"Content-Type: message/global\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte("Subject: ü\r\n\r\nü")) + "\n"},
		{"signed beside", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/signed; boundary=b\n\n--b\nContent-Transfer-Encoding: 8bit\n\nseven \n--b--\n--a\n\nü\n--a--\n",
			"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/signed; boundary=b\n\n--b\nContent-Transfer-Encoding: 8bit\n\nseven \n--b--\n--a\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--a--\n"},
		{"no empty line", "Subject: x\nthis is no field: ü\n",
			"Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\nthis is no field: =C3=BC\n"},
		{"no header", "\nü", "MIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC"},
		{"long line", "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n" + strings.Repeat("-", 160) + "ü\n",
			"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" +
				strings.Repeat("-", 75) + "=\n=2D" + strings.Repeat("-", 72) + "=\n=2D" + strings.Repeat("-", 11) + "=C3=BC\n"},
		{"seven", "Subject: x\nContent-Transfer-Encoding: 8bit\n\nplain\n.\n", "Subject: x\nContent-Transfer-Encoding: 8bit\n\nplain\n.\n"},
		{"empty", "", ""},
	} {
		got, err := convert(wire(c.in))
		if err != nil || got != wire(c.out) {
			t.Errorf("%s: %v\n got %q\nwant %q", c.name, err, got, wire(c.out))
		}
		if again, err := convert(got); err != nil || again != got {
			t.Errorf("%s: again: %v\n%q", c.name, err, again)
		}
	}
}

func TestImpossible(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("Content-Type: message/rfc822\n\n", maxDepth+1)
	for name, message := range map[string]string{
		"header":            "Subject: ü\n\nx\n",
		"folded":            "Subject: x\n ü\n\nx\n",
		"part's header":     "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Description: ü\n\nx\n--a--\n",
		"message's header":  "Content-Type: message/rfc822\n\nSubject: ü\n\nx\n",
		"signed":            "Content-Type: multipart/signed; boundary=a\n\n--a\n\nü\n--a--\n",
		"encrypted":         "Content-Type: Multipart/Encrypted; boundary=a\n\n--a\n\nü\n--a--\n",
		"in signed":         "Content-Type: multipart/signed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nü\n--b--\n--a--\n",
		"encoded":           "Content-Type: text/plain\nContent-Transfer-Encoding: Base64 (x)\n\nü\n",
		"unknown encoding":  "Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n\nü\n",
		"encoded message":   "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nü\n",
		"encoded multipart": "Content-Type: multipart/mixed; boundary=a\nContent-Transfer-Encoding: quoted-printable\n\n--a\n\nü\n--a--\n",
		"partial":           "Content-Type: message/partial; id=x; number=1\n\nSubject: x\n\nü\n",
		"status":            "Content-Type: message/delivery-status\n\nFinal-Recipient: ü\n",
		"no boundary":       "Content-Type: multipart/mixed\n\n--a\n\nü\n--a--\n",
		"long boundary":     "Content-Type: multipart/mixed; boundary=" + strings.Repeat("a", maxBoundary+1) + "\n\nü\n",
		"deep":              deep + "\nü\n",
		"long field":        "X: " + strings.Repeat("x", maxField) + "\nContent-Type: text/plain\n\nü\n",
		"many parts":        "Content-Type: multipart/mixed; boundary=a\n" + strings.Repeat("\n--a\n", maxParts+5) + "\nü\n",
	} {
		if got, err := convert(wire(message)); !errors.Is(err, ErrImpossible) {
			t.Errorf("%s: %v, %.200q", name, err, got)
		}
		plain := strings.ReplaceAll(wire(message), "ü", "ue")
		if got, err := convert(plain); err != nil || got != plain {
			t.Errorf("%s without umlauts: %v", name, err)
		}
	}
}

func TestScan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want Content
	}{
		{"Subject: x\n\nx\n", Content{}},
		{"Subject: x\n\nü\n", Content{BodyEightBit: true}},
		{"Subject: ü\n\nx\n", Content{HeaderEightBit: true}},
		{"Subject: ü\n\nü\n", Content{true, true}},
		{"Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Description: ü\n\nx\n--a--\n", Content{HeaderEightBit: true}},
		{"Content-Type: multipart/mixed; boundary=a\n\nü\n--a\n\nx\n--a--\n", Content{BodyEightBit: true}},
		{"Subject: ü", Content{HeaderEightBit: true}},
		{"X: " + strings.Repeat("x", 3*lineSize) + "ü\n\n", Content{HeaderEightBit: true}},
		{"\n" + strings.Repeat("x", 3*lineSize) + "ü\n", Content{BodyEightBit: true}},
	} {
		if got, err := Scan(iotest.HalfReader(strings.NewReader(wire(c.in)))); got != c.want || err != nil {
			t.Errorf("%.60q: %+v, %v", c.in, got, err)
		}
	}
	broken := errors.New("disk")
	if _, err := Scan(io.MultiReader(strings.NewReader("Subject: x\r\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// failing is a source that breaks at an offset.
type failing struct {
	*strings.Reader
	at int64
}

var errDisk = errors.New("disk")

func (f *failing) ReadAt(b []byte, off int64) (int, error) {
	if off+int64(len(b)) > f.at {
		return 0, errDisk
	}
	return f.Reader.ReadAt(b, off)
}

func TestSourceFails(t *testing.T) {
	t.Parallel()
	message := "Subject: x\r\n\r\n" + strings.Repeat("grün\r\n", lineSize)
	f := &failing{strings.NewReader(message), 1000}
	if _, err := Convert(f, int64(len(message))); !errors.Is(err, errDisk) {
		t.Errorf("first pass: %v", err)
	}
	f.at = 1 << 30
	c, err := Convert(f, int64(len(message)))
	if err != nil {
		t.Fatal(err)
	}
	f.at = int64(len(message)) / 2
	if _, err := io.Copy(io.Discard, c.Reader()); !errors.Is(err, errDisk) {
		t.Errorf("second pass: %v", err)
	}
	if _, err := c.Size(); !errors.Is(err, errDisk) {
		t.Errorf("size: %v", err)
	}
}

// TestStreams: what is held does not grow with the message.
func TestStreams(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"lines": strings.Repeat("grün\r\n", 1<<20), "a line": strings.Repeat("grün", 1<<20)} {
		message := "Content-Type: text/plain\r\n\r\n" + body
		c, err := Convert(strings.NewReader(message), int64(len(message)))
		if err != nil {
			t.Fatal(err)
		}
		r := c.Reader().(*reader)
		n, err := io.Copy(io.Discard, r)
		size, _ := c.Size()
		if err != nil || n != size || n < int64(len(message)) || cap(r.converter.out) > 8*lineSize {
			t.Errorf("%s: %d octets of %d, %v, buffer of %d", name, n, size, err, cap(r.converter.out))
		}
	}
}

// part is a part of a message to be made, or what an independent reader finds of one.
type part struct {
	kind  string
	text  string // decoded
	parts []part
}

func (p part) String() string { return fmt.Sprintf("%s %q %v", p.kind, p.text, p.parts) }

// write puts the part into wire form, 8-bit as it is.
func (p part) write(b *strings.Builder, depth int) {
	boundary := fmt.Sprintf("=_%d", depth)
	fmt.Fprintf(b, "Content-Type: %s; boundary=\"%s\"; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", p.kind, boundary)
	if p.kind == "message/rfc822" {
		b.WriteString("MIME-Version: 1.0\r\n")
		p.parts[0].write(b, depth+1)
		return
	}
	if p.parts == nil {
		b.WriteString(p.text)
		return
	}
	for _, q := range p.parts {
		fmt.Fprintf(b, "\r\n--%s\r\n", boundary)
		q.write(b, depth+1)
	}
	fmt.Fprintf(b, "\r\n--%s--\r\n", boundary)
}

// parse reads a part by the standard library.
func parse(contentType, encoding string, body io.Reader) (part, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return part{}, err
	}
	p := part{kind: kind}
	switch {
	case kind == "message/rfc822":
		m, err := mail.ReadMessage(body)
		if err != nil {
			return p, err
		}
		q, err := parse(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
		p.parts = []part{q}
		return p, err
	case strings.HasPrefix(kind, "multipart/"):
		r := stdmultipart.NewReader(body, params["boundary"])
		for {
			next, err := r.NextRawPart()
			if err == io.EOF {
				return p, nil
			}
			if err != nil {
				return p, err
			}
			q, err := parse(next.Header.Get("Content-Type"), next.Header.Get("Content-Transfer-Encoding"), next)
			if err != nil {
				return p, err
			}
			p.parts = append(p.parts, q)
		}
	case encoding == "quoted-printable":
		body = quotedprintable.NewReader(body)
	case encoding == "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	b, err := io.ReadAll(body)
	p.text = string(b)
	return p, err
}

func parseMessage(s string) (part, error) {
	m, err := mail.ReadMessage(strings.NewReader(s))
	if err != nil {
		return part{}, err
	}
	return parse(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
}

// drawPart makes a part at random.
func drawPart(t *rapid.T, depth int) part {
	kinds := []string{"text/plain", "text/html", "application/octet-stream"}
	if depth < 4 {
		kinds = append(kinds, "multipart/mixed", "multipart/alternative", "message/rfc822")
	}
	p := part{kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
	switch {
	case strings.HasPrefix(p.kind, "multipart/"):
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			p.parts = append(p.parts, drawPart(t, depth+1))
		}
	case p.kind == "message/rfc822":
		p.parts = []part{drawPart(t, depth+1)}
	default:
		words := []string{"grün", "a", " ", "\t", "=", "--", "--=_1", ".", "\x00", "\xff", "From ", strings.Repeat("x", 74), strings.Repeat("-", 80), "\r\n", "\r\n\r\n"}
		p.text = strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 30).Draw(t, "text"), "")
		p.text = strings.ReplaceAll("\r\n"+p.text, "\r\n--=_", "\r\n-")[2:] // which would be delimiters
	}
	return p
}

// TestRoundTrip: what a reader makes of the converted message is what it makes of the original.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		b.WriteString("MIME-Version: 1.0\r\n")
		drawPart(t, 0).write(&b, 0)
		message := b.String()
		got, err := convert(message)
		if err != nil {
			t.Fatalf("%q: %v", message, err)
		}
		before, err := parseMessage(message)
		if err != nil {
			t.Skip("a draw that no reader takes for a message, which says nothing of the conversion: ", err)
		}
		after, err := parseMessage(got)
		if err != nil || before.String() != after.String() {
			t.Fatalf("%v\n%q\n%v\n%q\n%v", err, message, before, got, after)
		}
		checkSeven(t, got)
	})
}

// checkSeven looks for what must not be in a converted message.
func checkSeven(t interface{ Fatalf(string, ...any) }, s string) {
	if eightBit([]byte(s)) {
		t.Fatalf("8-bit octets left in %q", s)
	}
	if again, err := convert(s); err != nil || again != s {
		t.Fatalf("%q is not left alone: %q, %v", s, again, err)
	}
}

func FuzzConvert(f *testing.F) {
	for _, s := range []string{
		"Subject: x\r\n\r\ngrün\r\n", "Content-Type: multipart/mixed; boundary=a\r\n\r\nü\r\n--a\r\n\r\nü\r\n--a--\r\nü",
		"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nContent-Type: a/b\r\n\r\nü \r\n",
		"Content-Type: multipart/digest; boundary=\"a\\\"\"\r\n--a\"\r\n--a\"\r\n\r\nü", "\r\n\xff\n\r\xff \r\n", "X\r\n ü", "A: b\r\n-\xff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := convert(s)
		content, scanned := Scan(strings.NewReader(s))
		if scanned != nil || (content == Content{}) == eightBit([]byte(s)) {
			t.Fatalf("%+v, %v", content, scanned)
		}
		if err != nil {
			if !errors.Is(err, ErrImpossible) || content == (Content{}) {
				t.Fatal(err)
			}
			return
		}
		if content == (Content{}) && got != s {
			t.Fatalf("changed to %q", got)
		}
		checkSeven(t, got)
		c, _ := Convert(strings.NewReader(s), int64(len(s)))
		slow, err := io.ReadAll(iotest.OneByteReader(c.Reader()))
		if size, _ := c.Size(); err != nil || string(slow) != got || size != int64(len(got)) {
			t.Fatalf("size %d; in other pieces %q, %v", size, slow, err)
		}
	})
}

func BenchmarkScan(b *testing.B) {
	message := []byte("Subject: x\r\n\r\n" + strings.Repeat("This is a line of a usual length, as people write them to each other.\r\n", 10000))
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if c, err := Scan(bytes.NewReader(message)); err != nil || c != (Content{}) {
			b.Fatal(c, err)
		}
	}
}

func BenchmarkConvert(b *testing.B) {
	for _, kind := range []string{"text/plain", "application/octet-stream"} {
		b.Run(kind, func(b *testing.B) {
			message := []byte("MIME-Version: 1.0\r\nContent-Type: " + kind + "\r\n\r\n" + strings.Repeat("Dies ist eine Zeile, wie sie täglich von vielen Leuten geschrieben wird.\r\n", 10000))
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				c, err := Convert(bytes.NewReader(message), int64(len(message)))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, c.Reader()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
