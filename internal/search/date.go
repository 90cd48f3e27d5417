package search

import (
	"time"

	"postrider/internal/imap"
)

// day counts the days of a time's calendar from 1 January 1970.
func day(t time.Time) int64 {
	_, zone := t.Zone()
	return dayOf(t.Unix() + int64(zone))
}

// dayOf is the same of seconds from then.
func dayOf(seconds int64) int64 {
	const length = 24 * 60 * 60
	d := seconds / length
	if seconds%length < 0 {
		d--
	}
	return d
}

func compareDay(op imap.KeyOp, have, want int64) bool {
	switch op {
	case imap.KeyBefore, imap.KeySentBefore, imap.KeySavedBefore:
		return have < want
	case imap.KeyOn, imap.KeySentOn, imap.KeySavedOn:
		return have == want
	}
	return have >= want
}
