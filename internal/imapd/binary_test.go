package imapd

import (
	"strings"
	"testing"
)

// TestBinary has a message as in RFC 3516 §8, and one that cannot be decoded.
func TestBinary(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliver("", "1000000.M1P1.h", "MIME-Version: 1.0\nContent-Type: MULTIPART/MIXED; BOUNDARY=d3438gr7324\n\n--d3438gr7324\n"+
		"Content-Type: TEXT/PLAIN; CHARSET=\"US-ASCII\"\nContent-Transfer-Encoding: 7BIT\n\nYadda yadda yadda\n\n--d3438gr7324\n"+
		"Content-Type: IMAGE/PNG\nContent-Transfer-Encoding: BASE64\n\nVHJhbnNmZXIAZW5jb2RpbmcK\n\n--d3438gr7324--\n")
	s.deliver("", "1000001.M1P1.h", "MIME-Version: 1.0\nContent-Transfer-Encoding: x-none\n\nx\n")
	c := s.selected()
	c.dialogue(strings.ReplaceAll(`
		C: a FETCH 1:2 (BINARY.SIZE[1] UID)
		S: * 1 FETCH (UID 1 BINARY.SIZE[1] 19)
		S: a NO [UNKNOWN-CTE] …
		C: b FETCH 1 BINARY.PEEK[1]
		S: * 1 FETCH (BINARY[1] {19}\r\nYadda yadda yadda\r\n)
		S: b OK …
		C: c UID FETCH 1 (BINARY.SIZE[2] BINARY[2])
		S: * 1 FETCH (UID 1 FLAGS (\Seen \Recent) BINARY.SIZE[2] 18 BINARY[2] ~{18}\r\nTransfer0encoding…)
		S: c OK …
		C: d FETCH 1 (FLAGS BINARY[2]<8.3>)
		S: * 1 FETCH (FLAGS (\Seen \Recent) BINARY[2]<8> ~{3}\r\n0en)
		S: d OK …
		C: e FETCH 1 BINARY[2.MIME]
		S: e BAD …
		C: f FETCH 2 BINARY[1]
		S: f NO [UNKNOWN-CTE] …
		C: g FETCH 2 (FLAGS BINARY.PEEK[]<0.3>)
		S: * 2 FETCH (FLAGS (\Recent) BINARY[]<0> {3}\r\nMIM)
		S: g OK …
	`, "0e", "\x00e"))
}
