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

	"postrider/internal/cache"
	"postrider/internal/crew"
	"postrider/internal/imap"
)

// Source is a message in its mailbox. Those of different messages are used at the same time.
type Source interface {
	// Name is the name under which a cache has the message, the base name of its file, and the size of that, negative if it
	// is not known without a look at it.
	Name() (base string, size int64)
	// Known says that Info is known, so that nothing has to be read.
	Known() bool
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
	EmailID  string      // these three only where they are asked for
	ThreadID string
	Saved    time.Time
	Source   Source
}

// Fetcher answers for one session in one mailbox; it keeps the structure of the messages it looked at last. Between two commands
// it holds neither files nor buffers, if Done was called. It is not for concurrent use. The zero value is ready.
type Fetcher struct {
	Cache *cache.Cache // of the mailbox; nil = none
	Crew  *crew.Crew   // helps to read ahead; nil = nobody does

	kept   []*known // the newest first
	window cache.Window
	batch  cache.Batch // what is to be written to the cache
	filter filter
	room   *room // for texts, between the first body of a command and its end
	ahead  *ahead
	answer answer // the one in the making
}

// Forget drops what is kept of messages, as their mailbox is closed.
func (f *Fetcher) Forget() {
	f.drop()
	*f = Fetcher{Cache: f.Cache, Crew: f.Crew}
}

// Done ends a command: what was learnt of messages is written to the cache.
func (f *Fetcher) Done() {
	f.drop()
	if f.Cache != nil && !f.batch.Empty() {
		f.Cache.Append(&f.batch) // if that fails it is learnt again
	}
	f.window, f.batch, f.filter = cache.Window{}, cache.Batch{}, filter{}
	f.leaveRoom()
}

// Answer writes the response for a message. Items of few octets come first, as in Dovecot, then the others in their order;
// an item that is not a section is answered once. All but the octets of literals is read before the first one is written:
// an error of the Source comes back as it is, one of reading wrapped, and then nothing was written. An error while a literal
// is written stays in the Writer, too: what the client then takes for the rest of the literal must not follow, so the
// connection can only be closed.
func (f *Fetcher) Answer(ctx context.Context, w *imap.Writer, m *Message, items []imap.FetchItem) error {
	if err := w.Err(); err != nil {
		return err
	}
	a := &f.answer
	defer f.end()
	err := f.begin(ctx, m, items)
	if err == nil {
		err = a.prepare(ctx, f, items)
	}
	if err != nil {
		return err
	}
	a.write(w, items, &f.filter)
	return w.Err()
}

// begin goes on with what was read ahead of the message, if that was done.
func (f *Fetcher) begin(ctx context.Context, m *Message, items []imap.FetchItem) (err error) {
	if r := f.take(ctx, m.Source); r != nil {
		f.answer, err = r.answer, r.err
		r.answer = answer{}
		f.remember(m.Source, f.answer.record)
	} else {
		f.answer = answer{source: m.Source, need: f.need(items)}
		f.answer.room = f.roomFor(&f.answer.need)
	}
	f.answer.message = m
	return err
}

// end gives back what the answer held.
func (f *Fetcher) end() {
	f.answer.close()
	f.answer = answer{}
}
