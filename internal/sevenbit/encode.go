package sevenbit

import "encoding/base64"

// maxLine is how long an encoded line may be (RFC 2045 §6.7, §6.8).
const maxLine = 76

const hex = "0123456789ABCDEF"

// quoted writes quoted-printable (RFC 2045 §6.7). The zero value is at the start of a line.
type quoted struct {
	column int
	blank  byte // a space or tab that is held back, since it may be the line's last; 0 = none
	soft   bool // it is at the start of a line that continues another
}

// append encodes a piece of a line. CR and LF in it are data.
func (q *quoted) append(out, text []byte) []byte {
	for len(text) > 0 {
		if q.blank != 0 {
			out = q.plain(out, q.blank)
			q.blank = 0
		}
		if n := plainRun(text, maxLine-1-q.column); n > 0 && !q.soft {
			q.column += n
			out = append(out, text[:n]...)
			text = text[n:]
			continue
		}
		c := text[0]
		text = text[1:]
		switch {
		case c == ' ' || c == '\t':
			q.blank = c
		case isPlain(c):
			out = q.plain(out, c)
		default:
			out = q.escaped(out, c)
		}
	}
	return out
}

// isPlain says that a character stands for itself anywhere.
func isPlain(c byte) bool { return c > ' ' && c < 0x7f && c != '=' }

// plainRun counts the characters at the start of text, at most max, that stand for themselves. A blank does if another follows.
func plainRun(text []byte, max int) int {
	n := 0
	for n < len(text) && n < max && (isPlain(text[n]) || (text[n] == ' ' || text[n] == '\t') && n+1 < len(text)) {
		n++
	}
	return n
}

// line ends the line.
func (q *quoted) line(out []byte) []byte {
	out = append(q.finish(out), crlf...)
	*q = quoted{}
	return out
}

// finish ends the content, wherever it ends.
func (q *quoted) finish(out []byte) []byte {
	if q.blank != 0 {
		out = q.escaped(out, q.blank)
	}
	*q = quoted{}
	return out
}

func (q *quoted) plain(out []byte, c byte) []byte {
	out = q.room(out, 1)
	if c == '-' && q.soft { // or the line might look like a delimiter, which it was not
		return q.escaped(out, c)
	}
	q.column++
	q.soft = false
	return append(out, c)
}

func (q *quoted) escaped(out []byte, c byte) []byte {
	out = q.room(out, 3)
	q.column += 3
	q.soft = false
	return append(out, '=', hex[c>>4], hex[c&15])
}

// room begins another line if n more octets and a soft line break do not fit this one.
func (q *quoted) room(out []byte, n int) []byte {
	if q.column+n < maxLine {
		return out
	}
	q.column, q.soft = 0, true
	return append(out, "=\r\n"...)
}

// based writes base64 (RFC 2045 §6.8) in lines.
type based struct {
	group [maxLine / 4 * 3]byte
	n     int
}

func (b *based) append(out, data []byte) []byte {
	for len(data) > 0 {
		n := copy(b.group[b.n:], data)
		data = data[n:]
		if b.n += n; b.n == len(b.group) {
			out = b.finish(out)
		}
	}
	return out
}

// finish writes what is left as the last line.
func (b *based) finish(out []byte) []byte {
	if b.n == 0 {
		return out
	}
	out = base64.StdEncoding.AppendEncode(out, b.group[:b.n])
	b.n = 0
	return append(out, crlf...)
}
