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

// Decode adds the meaning of the next octets to dst, which is empty: at most two octets more than src has. The result may
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

// qpDecoder takes an equals sign that means nothing as itself.
type qpDecoder struct {
	state qpState
	digit byte
}

type qpState uint8

const (
	qpText   qpState = iota
	qpEquals         // after "="
	qpDigit          // after "=" and digit
	qpSpace          // after "=" and white space, in front of a line end
)

func (d *qpDecoder) decode(dst, src []byte) []byte {
	if d.state == qpText && bytes.IndexByte(src, '=') < 0 {
		return src
	}
	for len(src) > 0 {
		if d.state == qpText {
			text, rest, found := bytes.Cut(src, []byte{'='})
			dst = append(dst, text...)
			if src = rest; found {
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
