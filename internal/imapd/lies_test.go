package imapd

import "testing"

// TestSizesThatLie: a name may say what it likes of the file, as when another program has changed it.
func TestSizesThatLie(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	const text = "Subject: x\n\nbody\n" // 17 octets, 20 on the wire
	for _, sizes := range []string{"1,S=17,W=99", "2,S=17,W=3", "3,S=99,W=20", "4,S=3,W=4", "5,S=17", "6,W=99", "7,S=x,W=-1"} {
		s.deliver("", sizes, text)
	}
	c := s.selected()
	for n := 1; n <= 7; n++ {
		got, answer := c.do("FETCH %d (RFC822.SIZE BODY.PEEK[] BODY.PEEK[TEXT])", n)
		if len(got) != 1 || !like("* … FETCH (RFC822.SIZE 20 BODY[] {20}\r\nSubject: x\r\n\r\nbody\r\n BODY[TEXT] {6}\r\nbody\r\n)", got[0]) {
			t.Errorf("%d: %q %s", n, got, answer)
		}
	}
}
