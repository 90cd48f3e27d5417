package imapd

import "postrider/internal/imap"

// enabled is what the client has enabled, for as long as the session lasts (RFC 5161).
type enabled struct {
	utf8      bool // UTF8=ACCEPT (RFC 6855): names are in UTF-8, SEARCH has no CHARSET
	rev2      bool // IMAP4rev2 (RFC 9051): nothing is \Recent, names are in UTF-8, SEARCH is answered with ESEARCH
	condStore bool // RFC 7162: it is told the mod-sequence with the flags
	qresync   bool // RFC 7162 §3.2: it is told UIDs of what has gone
	uidOnly   bool // RFC 9586: it uses no message numbers, and is told none
}

// vanishes says whether the client is told VANISHED, not EXPUNGE.
func (e *enabled) vanishes() bool { return e.qresync || e.uidOnly }

// enable is ENABLE. What is not known is no mistake. To a client that has not enabled UTF-8, messages with UTF-8 in their headers are
// shown as they are, its octets in literals, as Dovecot does: a message downgraded by RFC 6857 or 6858 loses more, has another
// size and is no longer signed. To one that has, they are shown in the same form, which RFC 6855 §3 allows.
func (s *session) enable(c *imap.Enable) reply {
	var done []string
	for _, name := range c.Capabilities {
		if s.enableOne(name) {
			done = append(done, announced(name))
		}
	}
	if len(done) > 0 {
		s.w.Enabled(done)
	}
	return ok("Enabled.")
}

// announced is a name as it is announced.
func announced(name string) string {
	if name == "IMAP4REV2" {
		return "IMAP4rev2"
	}
	return name
}

func (s *session) enableOne(name string) bool {
	switch name {
	case "CONDSTORE":
		s.enableCondStore()
	case "QRESYNC":
		s.enableCondStore()
		s.on.qresync = true
	case "UTF8=ACCEPT":
		s.on.utf8, s.r.UTF8, s.w.UTF8 = true, true, true
	case "IMAP4REV2":
		s.on.rev2, s.r.UTF8, s.w.UTF8 = true, true, true
	case "UIDONLY":
		s.on.uidOnly, s.w.UIDOnly = true, true
	default:
		return false
	}
	return true
}

// enableCondStore is what any command does that has to do with mod-sequences (RFC 7162 §3.1). Who did not ask for them when the
// mailbox was selected hears now where it stands.
func (s *session) enableCondStore() {
	if s.on.condStore {
		return
	}
	if s.on.condStore = true; s.box != nil {
		s.tellModSeq()
	}
}

// tellModSeq says up to which mod-sequence the client knows all.
func (s *session) tellModSeq() {
	s.box.said = s.box.modSeq
	s.w.Untagged(imap.OK, imap.CodeHighestModSeq(s.box.modSeq), "Highest")
}

// tellProgress says it again at the end of a command, if the client cannot see it from what it was told; EXPUNGE and MOVE say it
// in their answer (RFC 7162 §3.2.7). So does every command that told a mod-sequence while something with a smaller one is held back: else
// the client takes the larger one for all that it knows, and after a lost connection never hears of the rest.
func (s *session) tellProgress(command imap.Command, r *reply) {
	if s.box == nil || !s.on.condStore || s.end != "" {
		return
	}
	switch known := s.box.known(); {
	case s.box.said > known:
		s.box.modSeq = known
		s.tellInReply(r)
	case !s.on.qresync || s.box.said >= s.box.modSeq:
	case isRemoval(command):
		s.tellInReply(r)
	default:
		s.tellModSeq()
	}
}

func isRemoval(command imap.Command) bool {
	switch command.(type) {
	case *imap.Expunge, *imap.Move:
		return true
	}
	return false
}

// tellInReply is tellModSeq in the tagged answer, if that has room.
func (s *session) tellInReply(r *reply) {
	if r == nil || r.status != imap.OK || r.code != "" {
		s.tellModSeq()
		return
	}
	s.box.said = s.box.modSeq
	r.code = imap.CodeHighestModSeq(s.box.modSeq)
}
