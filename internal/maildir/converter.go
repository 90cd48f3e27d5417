package maildir

import (
	"bytes"
	"strconv"
	"strings"
)

// Converter turns wire form into LF line ends and counts both sizes. The zero value is ready.
type Converter struct {
	size, wire int64 // octets as stored, and as a client is served
	cr         bool  // a CR is kept back
	last       byte  // last octet stored
}

// Convert appends what src becomes to dst: at most one octet more than src has.
func (c *Converter) Convert(dst, src []byte) []byte {
	start := len(dst)
	for len(src) > 0 {
		end := bytes.IndexByte(src, '\n')
		line, rest := src, []byte(nil)
		if end >= 0 {
			line, rest = src[:end], src[end+1:]
		}
		if c.cr && len(line) > 0 {
			dst, c.cr, c.last = append(dst, '\r'), false, '\r'
		}
		if n := len(line); n > 0 {
			if line[n-1] == '\r' {
				c.cr = true
				line = line[:n-1]
			}
			if len(line) > 0 {
				dst, c.last = append(dst, line...), line[len(line)-1]
			}
		}
		if end >= 0 {
			if c.last != '\r' {
				c.wire++
			}
			dst, c.cr, c.last = append(dst, '\n'), false, '\n'
		}
		src = rest
	}
	c.count(len(dst) - start)
	return dst
}

// End appends a CR that nothing followed.
func (c *Converter) End(dst []byte) []byte {
	if c.cr {
		c.cr = false
		c.count(1)
		dst = append(dst, '\r')
	}
	return dst
}

// The fields of a file name that tell the size of the file, and that with CRLF line ends.
const (
	SizeField = ",S="
	WireField = ",W="
)

// Sizes are the fields of a file name that tell both sizes, as Dovecot writes them: ",S=12,W=14".
func (c *Converter) Sizes() string {
	return SizeField + strconv.FormatInt(c.size, 10) + WireField + strconv.FormatInt(c.wire, 10)
}

// NameSize is the number of octets that a file name tells in a field, up to a comma, the colon before the flags, or the end.
func NameSize(name, field string) (octets int64, ok bool) {
	_, rest, ok := strings.Cut(name, field)
	if !ok {
		return 0, false
	}
	if i := strings.IndexAny(rest, ":,"); i >= 0 {
		rest = rest[:i]
	}
	n, err := strconv.ParseUint(rest, 10, 63)
	return int64(n), err == nil
}

func (c *Converter) count(n int) {
	c.size += int64(n)
	c.wire += int64(n)
}
