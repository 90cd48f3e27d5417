package imapd

import "postrider/internal/imap"

// maxMessages is how many messages one command works on (RFC 9738). It is far above what clients that do not know of a limit
// have in a folder, as they would take what they get for all.
const maxMessages = 1_000_000

// limited is what of spans a command works on: the messages with the highest UIDs. uid is then the lowest of those, else 0.
func (s *session) limited(spans []span) (within []span, uid uint32) {
	if within = pick(spans, imap.ResultRange{First: -1, Last: -int64(s.o.limit)}); length(within) == length(spans) {
		return spans, 0
	}
	return within, s.box.Messages()[within[0].lo].UID
}

// overLimit refuses what is done for all messages or for none.
func (s *session) overLimit() reply {
	return no(imap.CodeMessageLimit(s.o.limit, 0), "Too many messages for one command.")
}

// cut adds to the answer of a command that it was for some messages only, down to a UID; 0 = it was for all.
func (s *session) cut(r reply, uid uint32) reply {
	if uid == 0 || r.status != imap.OK {
		return r
	}
	code := imap.CodeMessageLimit(s.o.limit, uid)
	if r.code != "" {
		s.w.Untagged(imap.NO, code, "Too many messages for one command.")
		return r
	}
	return reply{status: imap.OK, code: code, text: "Done for some messages only."}
}
