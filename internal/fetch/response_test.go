package fetch

import (
	"bytes"
	"fmt"
	"strconv"
)

// literals reads a response as a client does, which believes the announced sizes, and gives the literals in it.
func literals(out []byte) (found [][]byte, err error) {
	depth := 0
	for i := 0; i < len(out); i++ {
		switch c := out[i]; c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				if rest := out[i+1:]; string(rest) != "\r\n" {
					return nil, fmt.Errorf("after the response %.300q", rest)
				}
				return found, nil
			}
		case '"':
			for i++; i < len(out) && out[i] != '"'; i++ {
				if out[i] == '\\' {
					i++
				}
			}
		case '{':
			digits, rest, ok := bytes.Cut(out[i+1:], []byte("}\r\n"))
			n, err := strconv.Atoi(string(digits))
			if !ok || err != nil || n > len(rest) {
				return nil, fmt.Errorf("literal %.50q, %d octets follow", out[i:], len(rest))
			}
			if bytes.IndexByte(rest[:n], 0) >= 0 && (i == 0 || out[i-1] != '~') {
				return nil, fmt.Errorf("NUL in %.300q", out[i:])
			}
			found = append(found, rest[:n])
			i = len(out) - len(rest) + n - 1
		default:
			if c < ' ' || c >= 0x7f {
				return nil, fmt.Errorf("octet %#x after %.300q", c, out[max(0, i-200):i])
			}
		}
	}
	return nil, fmt.Errorf("no end: %.300q", out)
}
