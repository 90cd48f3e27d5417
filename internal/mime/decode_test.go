package mime

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// counter counts the octets that are read.
type counter struct {
	*strings.Reader
	octets int
}

func (c *counter) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(b, off)
	c.octets += n
	return n, err
}

func newTestDecoder() *Decoder { return NewDecoder(NewReader(bufio.NewReaderSize(nil, BufferSize))) }

// TestDecoder reads a part as a whole, in pieces forward and in pieces back.
func TestDecoder(t *testing.T) {
	t.Parallel()
	for encoding, line := range map[string]string{
		"base64": "AAECAwQFBgcI!CQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g ISIjJCUm=JygpKissLS4v\n", "7bit": "text \n", "quoted-printable": "a=3Db=\nc=\r\nd =C3=A9\n",
	} {
		message := "MIME-Version: 1.0\nContent-Transfer-Encoding: " + encoding + "\n\n" + strings.Repeat(line, 100_000/len(line))
		root, err := Scan(strings.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		file := &counter{Reader: strings.NewReader(message)}
		d := newTestDecoder()
		c, err := d.Open(file, root, []uint32{1})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Measure(&c); err != nil || c.NUL != (encoding == "base64") {
			t.Fatalf("%s: NUL %v, %v", encoding, c.NUL, err)
		}
		d.Reset(c)
		want, err := io.ReadAll(iotest.OneByteReader(d))
		if err != nil || int64(len(want)) != c.Size || len(want) < 50_000 {
			t.Fatalf("%s: %d octets of %d, %v", encoding, len(want), c.Size, err)
		}
		place, step := Place{}, int64(3001)
		file.octets = 0
		for at := int64(0); at < c.Size; at += step {
			d.Reset(c.Slice(at, step).From(place))
			if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, want[at:min(at+step, c.Size)]) {
				t.Fatalf("%s: %d octets from %d on are others, %v", encoding, len(got), at, err)
			}
			place = d.Place()
		}
		if most := len(message) + int(c.Size/step+1)*(2*BufferSize); file.octets > most {
			t.Errorf("%s: %d octets were read for %d", encoding, file.octets, len(message))
		}
		for _, at := range []int64{c.Size - 5, 20_000, 0} {
			d.Reset(c.Slice(at, 5).From(place))
			if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, want[at:at+5]) {
				t.Errorf("%s: back at %d: %q, %v", encoding, at, got, err)
			}
		}
	}
}

func TestUnknownEncoding(t *testing.T) {
	t.Parallel()
	message := strings.NewReader("MIME-Version: 1.0\nContent-Transfer-Encoding: x-uuencode\n\nbegin\n")
	root, err := Scan(message)
	if err != nil {
		t.Fatal(err)
	}
	d := newTestDecoder()
	if _, err := d.Open(message, root, []uint32{1}); !errors.Is(err, ErrEncoding) {
		t.Error(err)
	}
	c, err := d.Open(message, root, nil)
	if err == nil {
		err = d.Measure(&c)
	}
	if err != nil || c.Size != root.Size() {
		t.Errorf("the message as it stands: %d octets, %v", c.Size, err)
	}
}
