package search

import (
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/transform"
)

// holdsASCII says whether octets of ASCII, after a complete character, are just these characters.
func holdsASCII(e encoding.Encoding) bool {
	switch e {
	case japanese.EUCJP, japanese.ShiftJIS, korean.EUCKR, simplifiedchinese.GBK, simplifiedchinese.GB18030, traditionalchinese.Big5:
		return true
	}
	table, ok := e.(*charmap.Charmap)
	for c := 0; ok && c < 0x80; c++ {
		ok = table.DecodeByte(byte(c)) == rune(c)
	}
	return ok
}

// maxCut is more octets than a charset's longest character or escape sequence has.
const maxCut = 16

// recoder turns text in a charset, which comes in pieces, to UTF-8.
type recoder struct {
	decoder transform.Transformer
	ascii   bool // holdsASCII
	cut     []byte
	joined  []byte // cut and a piece
	out     []byte
}

func newRecoder(e encoding.Encoding, out []byte) *recoder {
	return &recoder{decoder: e.NewDecoder(), ascii: holdsASCII(e), out: out}
}

// read passes on the next octets to t and says what t says.
func (c *recoder) read(b []byte, t *text) bool {
	if len(c.cut) > 0 {
		c.joined = append(append(c.joined[:0], c.cut...), b...)
		b = c.joined
	} else if c.ascii && asciiPrefix(b) == len(b) {
		return t.read(b)
	}
	for {
		n, used, err := c.decoder.Transform(c.out, b, false)
		if t.read(c.out[:n]) {
			return true
		}
		b = b[used:]
		if err != transform.ErrShortDst || n == 0 && used == 0 {
			break
		}
	}
	c.cut = c.cut[:0]
	if len(b) <= maxCut {
		c.cut = append(c.cut, b...)
	}
	return false
}
