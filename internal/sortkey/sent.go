package sortkey

import "postrider/internal/mime"

// Sent is when a message was sent, by the first Date field of its header.
type Sent struct {
	Written int64 // the time as it is written there, in seconds from 1 January 1970
	Zone    int32 // how many of them it is ahead of UTC
	Known   bool  // false where the field says nothing, and the others are 0
}

// Unix is the time in seconds from 1 January 1970 UTC, 0 if it is not known.
func (s Sent) Unix() int64 { return s.Written - int64(s.Zone) }

// parseSent reads the body of a Date field on one line.
func parseSent(body []byte) Sent {
	written, zone, ok := mime.ParseDate(body)
	return Sent{written, int32(zone), ok}
}
