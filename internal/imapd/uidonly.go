package imapd

import (
	"slices"

	"postrider/internal/imap"
)

// numbered are the commands that go by message numbers.
var numbered = []string{"FETCH", "STORE", "SEARCH", "COPY", "MOVE", "SORT", "THREAD", "REPLACE"}

// usesNumbers says whether a command has message numbers in it, or is answered with some (RFC 9586 §3).
func usesNumbers(req *imap.Request) bool {
	if slices.Contains(numbered, req.Name) {
		return true
	}
	switch c := req.Command.(type) {
	case *imap.Select:
		return c.QResync != nil && c.QResync.MatchSeq != nil
	case searching:
		return c.Program().Any(ofNumbers)
	}
	return false
}

// searching is SEARCH, SORT and THREAD.
type searching interface{ Program() *imap.Key }

func ofNumbers(k *imap.Key) bool { return k.Op == imap.KeySeq && !k.Set.Saved() }

func uidRequired() reply {
	return reply{status: imap.BAD, code: imap.CodeUIDRequired, text: "Message numbers are not used in this session."}
}
