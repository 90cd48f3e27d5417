package mime

import "bytes"

// TransferDecoder undoes a transfer encoding (RFC 2045 §6) of a body that comes in pieces. Whatever the octets are, they
// mean something. A copy of it goes on from the same place.
type TransferDecoder struct {
	encoding transferEncoding
	base64   base64Decoder
	quoted   qpDecoder
}

type transferEncoding uint8

const (
	identity transferEncoding = iota
	base64Encoding
	quotedPrintable
)

// NewTransferDecoder gives false for an encoding that is unknown; nil is none.
func NewTransferDecoder(name Value) (d TransferDecoder, known bool) {
	switch {
	case name == nil, equalFold(*name, "7bit"), equalFold(*name, "8bit"), equalFold(*name, "binary"):
	case equalFold(*name, "base64"):
		d.encoding = base64Encoding
	case equalFold(*name, "quoted-printable"):
		d.encoding = quotedPrintable
	default:
		return d, false
	}
	return d, true
}

// Decode adds the meaning of the next octets to dst, which is empty: a few octets more than src has. The result may
// also be a part of src.
func (d *TransferDecoder) Decode(dst, src []byte) []byte {
	switch d.encoding {
	case base64Encoding:
		return d.base64.decode(dst, src)
	case quotedPrintable:
		return d.quoted.decode(dst, src)
	}
	return src
}

// End adds to dst what was kept back, at the end of the body.
func (d *TransferDecoder) End(dst []byte) []byte {
	if d.encoding == base64Encoding {
		return d.base64.flush(dst)
	}
	return dst
}

// base64Decoder passes over what is not of the alphabet, and goes on after padding.
type base64Decoder struct {
	bits uint32
	n    int // characters in bits
}

const notBase64 = 1 << 31

// base64Values are the six bits of a character.
var base64Values = func() (values [256]uint32) {
	for c := range values {
		values[c] = notBase64
	}
	for i, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		values[c] = uint32(i)
	}
	return values
}()

func (d *base64Decoder) decode(dst, src []byte) []byte {
	for i := 0; i < len(src); i++ {
		for d.n == 0 && i+4 <= len(src) {
			v0, v1 := base64Values[src[i]], base64Values[src[i+1]]
			v2, v3 := base64Values[src[i+2]], base64Values[src[i+3]]
			if (v0|v1|v2|v3)&notBase64 != 0 {
				break
			}
			v := v0<<18 | v1<<12 | v2<<6 | v3
			dst = append(dst, byte(v>>16), byte(v>>8), byte(v))
			i += 4
		}
		if i < len(src) {
			dst = d.octet(dst, src[i])
		}
	}
	return dst
}

func (d *base64Decoder) octet(dst []byte, c byte) []byte {
	v := base64Values[c]
	switch {
	case c == '=':
		return d.flush(dst)
	case v == notBase64:
		return dst
	}
	d.bits = d.bits<<6 | v
	if d.n++; d.n == 4 {
		dst = append(dst, byte(d.bits>>16), byte(d.bits>>8), byte(d.bits))
		d.n = 0
	}
	return dst
}

// flush adds the octets of a group that is not complete.
func (d *base64Decoder) flush(dst []byte) []byte {
	switch d.n {
	case 2:
		dst = append(dst, byte(d.bits>>4))
	case 3:
		dst = append(dst, byte(d.bits>>10), byte(d.bits>>2))
	}
	d.n = 0
	return dst
}

// qpDecoder takes an equals sign that means nothing as itself, and drops white space in front of a line end (RFC 2045 §6.7).
type qpDecoder struct {
	state qpState
	digit byte
	space [maxSpace]byte // white space that may be in front of one
	n     int            // octets of it
	long  bool           // it was too much, and is text
}

// maxSpace is more than an encoded line may have. Longer white space is text.
const maxSpace = 80

type qpState uint8

const (
	qpText   qpState = iota
	qpEquals         // after "="
	qpDigit          // after "=" and digit
	qpSpace          // after "=" and white space, in front of a line end
)

func (d *qpDecoder) decode(dst, src []byte) []byte {
	if d.state == qpText && d.n == 0 && !d.long && isPlain(src) {
		return src
	}
	for len(src) > 0 {
		if d.state == qpText {
			text, rest, found := bytes.Cut(src, []byte{'='})
			dst = d.text(dst, text)
			if src = rest; found {
				dst = d.keep(dst)
				d.state = qpEquals
			}
			continue
		}
		var used bool
		if dst, used = d.octet(dst, src[0]); used {
			src = src[1:]
		}
	}
	return dst
}

// isPlain says that src means itself, wherever a line ends.
func isPlain(src []byte) bool {
	if bytes.IndexByte(src, '=') >= 0 || len(src) > 0 && isSpace(src[len(src)-1]) {
		return false
	}
	for rest := src; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return true
		}
		if line := bytes.TrimSuffix(rest[:i], []byte{'\r'}); len(line) > 0 && isSpace(line[len(line)-1]) {
			return false
		}
		rest = rest[i+1:]
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

// text adds octets that mean themselves, and keeps white space at their end back.
func (d *qpDecoder) text(dst, text []byte) []byte {
	for len(text) > 0 {
		line, rest, ended := bytes.Cut(text, []byte{'\n'})
		text = rest
		words := bytes.TrimRight(line, " \t\r")
		if len(words) > 0 {
			dst = append(d.keep(dst), words...)
		}
		if space := line[len(words):]; d.long || d.n+len(space) > maxSpace {
			dst = append(d.keep(dst), space...)
			d.long = true
		} else {
			d.n += copy(d.space[d.n:], space)
		}
		if ended {
			dst = d.endLine(dst)
		}
	}
	return dst
}

// keep adds white space that turned out to be text.
func (d *qpDecoder) keep(dst []byte) []byte {
	dst = append(dst, d.space[:d.n]...)
	d.n, d.long = 0, false
	return dst
}

// endLine drops white space but for the CR of a CRLF.
func (d *qpDecoder) endLine(dst []byte) []byte {
	if d.n > 0 && d.space[d.n-1] == '\r' {
		dst = append(dst, '\r')
	}
	d.n, d.long = 0, false
	return append(dst, '\n')
}

// octet takes one behind an equals sign; not used, it is text again.
func (d *qpDecoder) octet(dst []byte, c byte) (_ []byte, used bool) {
	state := d.state
	d.state = qpText
	switch {
	case state == qpEquals && isHex(c):
		d.state, d.digit = qpDigit, c
	case state == qpDigit && isHex(c):
		return append(dst, unhex(d.digit)<<4|unhex(c)), true
	case state == qpDigit:
		return append(dst, '=', d.digit), false
	case c == '\n':
	case c == ' ' || c == '\t' || c == '\r':
		d.state = qpSpace
	default:
		return append(dst, '='), false
	}
	return dst, true
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
