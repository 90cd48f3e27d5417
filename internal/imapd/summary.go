package imapd

import "fmt"

// Summary is what there was of a session, for the log.
type Summary struct {
	Reason                   string // why it ended
	In, Out                  int64  // octets of the connection
	Deleted                  int    // messages that got \Deleted
	Expunged                 int    // messages removed
	Trashed                  int    // messages copied or moved to the folder for \Trash
	HeaderCount, BodyCount   int    // messages of which the header alone, or more, was fetched
	HeaderOctets, BodyOctets int64
}

// String is in Dovecot's form.
func (s *Summary) String() string {
	return fmt.Sprintf("%s in=%d out=%d deleted=%d expunged=%d trashed=%d hdr_count=%d hdr_bytes=%d body_count=%d body_bytes=%d",
		s.Reason, s.In, s.Out, s.Deleted, s.Expunged, s.Trashed, s.HeaderCount, s.HeaderOctets, s.BodyCount, s.BodyOctets)
}

func (s *session) summary() *Summary {
	sum := s.sum
	sum.Reason, sum.In, sum.Out = s.end, s.stream.in, s.stream.out
	return &sum
}
