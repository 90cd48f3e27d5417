package mime

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func encode(to io.Writer, from io.Reader) error {
	e := NewEncoder(to)
	if _, err := io.Copy(e, from); err != nil {
		return err
	}
	return e.Close()
}

func TestEncode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                "",
		"Subject: x\r\n\r\nbody \x00\r\n": "Subject: x\r\n\r\nbody \x00\r\n",
		"Content-Transfer-Encoding: binary\r\n\r\nno MIME\x00": "Content-Transfer-Encoding: binary\r\n\r\nno MIME\x00",
		"MIME-Version: 1.0\nContent-transfer-encoding:\n BINARY\nContent-Transfer-Encoding: 7bit\nA: b\n\n\x00\x01\x02\r\n\n": "MIME-Version: 1.0\n" +
			"Content-Transfer-Encoding: base64\r\nA: b\n\nAAECDQoK\r\n",
		"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\npre\x00\r\n--b\r\nContent-Type: image/gif\r\n" +
			"Content-Transfer-Encoding: binary\r\n\r\n\x00\n\r\r\n--bad is --b too\r\n\r\ntext\r\n--b\r\nContent-Transfer-Encoding: binary\r\n\r\n--b--\r\npost\n": "" +
			"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\npre\x00\r\n--b\r\nContent-Type: image/gif\r\n" +
			"Content-Transfer-Encoding: base64\r\n\r\nAAoN\r\n--bad is --b too\r\n\r\ntext\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n--b--\r\npost\n",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nMIME-Version: 1.0\nContent-Transfer-Encoding: binary\n\n" +
			strings.Repeat("\x00", 58) + "\n--b": "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nMIME-Version: 1.0\n" +
			"Content-Transfer-Encoding: base64\r\n\n" + strings.Repeat("A", 76) + "\r\nAA==\r\n--b",
	} {
		for _, from := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in))} {
			var out strings.Builder
			if err := encode(&out, from); err != nil || out.String() != want {
				t.Errorf("%q\n became %q,\nnot    %q, %v", in, out.String(), want, err)
			}
		}
	}
}

// TestEncodeCut has lines that are cut where the buffer ends, between CR and LF too.
func TestEncodeCut(t *testing.T) {
	t.Parallel()
	const header = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: binary\r\n\r\n"
	for n := BufferSize - 3; n <= BufferSize+3; n++ {
		body := strings.Repeat("\x00", n)
		var out bytes.Buffer
		if err := encode(&out, strings.NewReader(header+body+"\r\n--b\r\n\r\nend\r\n--b--\r\n")); err != nil {
			t.Fatal(err)
		}
		if got := leaves(t, out.Bytes()); len(got) != 2 || string(got[0]) != body || string(got[1]) != "end" {
			t.Errorf("%d octets became %d in %d parts", n, len(got[0]), len(got))
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("X: "+strings.Repeat("x", 1000)+"\n", MaxPartHeader/1000+1) + "\nbody\n"
	if err := encode(io.Discard, strings.NewReader("MIME-Version: 1.0\nContent-Transfer-Encoding: binary\n"+long)); !errors.Is(err, ErrEncoding) {
		t.Errorf("binary behind a long header: %v", err)
	}
	var out strings.Builder
	if err := encode(&out, strings.NewReader(long)); err != nil || out.String() != long {
		t.Errorf("a long header: %d octets of %d, %v", out.Len(), len(long), err)
	}
	if err := encode(brokenWriter{}, strings.NewReader("a: b\n\nc")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v, want a write error", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// leaves are the parts of a message that hold octets, decoded.
func leaves(t *testing.T, message []byte) (texts [][]byte) {
	t.Helper()
	root, err := Scan(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	var visit func(p *Part)
	visit = func(p *Part) {
		if p.Kind == Leaf {
			text := message[p.Body.Start.Off:p.Body.End.Off]
			if d, known := NewTransferDecoder(p.Encoding); known {
				text = d.End(slices.Clone(d.Decode(nil, text)))
			}
			texts = append(texts, text)
		}
		for _, inner := range p.Parts {
			visit(inner)
		}
	}
	visit(root)
	return texts
}

// FuzzEncode: every part means the same as before, none is binary, and a message without such a part stays as it is.
func FuzzEncode(f *testing.F) {
	f.Add([]byte("MIME-Version: 1.0\nContent-Transfer-Encoding: binary\n\na\r\nb\x00\n"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: binary\n--b\nContent-Transfer-Encoding: binary\n\n\r\n\n--b--\n"))
	f.Fuzz(func(t *testing.T, message []byte) {
		var out bytes.Buffer
		if err := encode(&out, bytes.NewReader(message)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(bytes.ToLower(message), []byte("binary")) && !bytes.Equal(out.Bytes(), message) {
			t.Fatalf("%q became %q", message, out.Bytes())
		}
		before, after := leaves(t, message), leaves(t, out.Bytes())
		if len(before) != len(after) {
			t.Fatalf("%q, of %d parts, became %q, of %d", message, len(before), out.Bytes(), len(after))
		}
		for i := range before {
			if !bytes.Equal(before[i], after[i]) {
				t.Fatalf("part %d of %q became %q: %q, not %q", i, message, out.Bytes(), after[i], before[i])
			}
		}
	})
}
