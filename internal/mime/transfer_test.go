package mime

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestDecoders(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ encoding, in, want string }{
		{"base64", "aGVsbG8gd29ybGQ=", "hello world"},
		{"BASE64", "aGVs\r\nbG8g\nd2 9y*bGQ", "hello world"},
		{"base64", "aGVsbG8=IHdvcmxk", "hello world"},
		{"base64", "a", ""},
		{"quoted-printable", "a=3Db =\nc=C3=A9", "a=b cé"},
		{"quoted-printable", "soft=  \r\nbreak =", "softbreak "},
		{"quoted-printable", "=zz =4 =4z ==41", "=zz =4 =4z =A"},
		{"quoted-printable", "= x", "=x"},
		{"quoted-printable", "a  \n b\t \r\n c =\n d=20\n e  ", "a\n b\r\n c  d \n e"},
		{"quoted-printable", "a" + strings.Repeat(" ", 100) + "\n", "a" + strings.Repeat(" ", 100) + "\n"},
		{"8bit", "a=3D", "a=3D"},
	} {
		for size := 1; size <= len(c.in); size++ {
			d, ok := NewTransferDecoder(&c.encoding)
			if !ok {
				t.Fatal(c.encoding)
			}
			if got := decodeAll(&d, []byte(c.in), size); string(got) != c.want {
				t.Errorf("%s of %q, pieces of %d: %q, not %q", c.encoding, c.in, size, got, c.want)
			}
		}
	}
	if _, ok := NewTransferDecoder(new("x-uuencode")); ok {
		t.Error("x-uuencode is known")
	}
}

func decodeAll(d *TransferDecoder, in []byte, size int) (out []byte) {
	for piece := range slices.Chunk(in, size) {
		out = append(out, d.Decode(nil, piece)...)
	}
	return d.End(out)
}

// FuzzTransfer compares decoding in pieces with decoding at once.
func FuzzTransfer(f *testing.F) {
	f.Add([]byte("aGVsbG8gd29y\nbGQ="), uint8(5))
	f.Add([]byte("a=3D=\nb=C3=  \n=x"), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		if size == 0 {
			return
		}
		for _, encoding := range []string{"7bit", "base64", "quoted-printable"} {
			whole, _ := NewTransferDecoder(&encoding)
			parts, _ := NewTransferDecoder(&encoding)
			want, got := decodeAll(&whole, in, max(1, len(in))), decodeAll(&parts, in, int(size))
			if !bytes.Equal(got, want) || len(got) > len(in)+2 {
				t.Errorf("%s of %q, pieces of %d: %q, not %q", encoding, in, size, got, want)
			}
		}
	})
}
