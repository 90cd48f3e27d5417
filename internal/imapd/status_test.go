package imapd

import "testing"

func TestStatusSize(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliverSome(3)
	c := s.connect()
	c.dialogue(`
		C: a STATUS INBOX (MESSAGES SIZE DELETED)
		S: * STATUS INBOX (MESSAGES 3 SIZE 96 DELETED 0)
		S: a OK Status completed.
		C: b LIST "" INBOX RETURN (STATUS (SIZE HIGHESTMODSEQ))
		S: * LIST () "." INBOX
		S: * STATUS INBOX (SIZE 96 HIGHESTMODSEQ …)
		S: b OK List completed.
	`)
}
