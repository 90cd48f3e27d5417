// Package fetch answers one message of an IMAP FETCH (RFC 3501 §6.4.5, §7.4.2): it reads of the message's file what the
// items ask for, and no more, and writes the response.
//
// The file is whatever someone sent. Sizes that are announced are counted from it, not taken from its name, so that a
// name which lies cannot make the client wait for octets or take text for responses. Work on a message is bounded by its
// size, memory by the limits of package mime; a body is never in memory, nor is the structure of an outsized message
// longer than for one answer.
package fetch

import (
	"context"
	"os"
	"time"

	"postrider/internal/imap"
)

// Source is a message in its mailbox.
type Source interface {
	// Info gives RFC822.SIZE and INTERNALDATE.
	Info(ctx context.Context) (wire int64, date time.Time, err error)
	// Open opens the message's file, a regular one; lines in it may end in LF or CRLF.
	Open(ctx context.Context) (*os.File, error)
}

// Message is one message to answer for.
type Message struct {
	Seq, UID uint32
	ModSeq   uint64      // RFC 7162; the item MODSEQ is refused before where a mailbox has none
	Flags    []imap.Flag // as they are now, \Recent included
	Source   Source
}

// Fetcher answers for one session; it keeps the structure of the messages it looked at last. Between two answers it holds
// neither files nor buffers. It is not for concurrent use. The zero value is ready.
type Fetcher struct {
	kept []*known // the newest first
}

// Forget drops what is kept of messages, as their mailbox is closed.
func (f *Fetcher) Forget() { *f = Fetcher{} }

// Answer writes the response for a message. Items of few octets come first, as in Dovecot, then the others in their order;
// an item that is not a section is answered once. All but the octets of literals is read before the first one is written:
// an error of the Source comes back as it is, one of reading wrapped, and then nothing was written. An error while a literal
// is written stays in the Writer, too: what the client then takes for the rest of the literal must not follow, so the
// connection can only be closed.
func (f *Fetcher) Answer(ctx context.Context, w *imap.Writer, m *Message, items []imap.FetchItem) error {
	if err := w.Err(); err != nil {
		return err
	}
	a := answer{message: m, need: needOf(items)}
	if a.need.file {
		a.open()
		defer a.close()
	}
	if err := a.prepare(ctx, f, items); err != nil {
		return err
	}
	a.write(w, items)
	return w.Err()
}
