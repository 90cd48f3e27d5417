package search

import (
	"time"

	"postrider/internal/imap"
	"postrider/internal/mime"
)

// day counts the days of a time's calendar from 1 January 1970.
func day(t time.Time) int64 {
	year, month, d := t.Date()
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
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

// parseDay gives the day that a Date field names, as it is written there, or false.
func parseDay(value []byte) (int64, bool) {
	written, _, ok := mime.ParseDate(value)
	return day(time.Unix(written, 0).UTC()), ok
}
