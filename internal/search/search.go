// Package search decides which messages a SEARCH finds (RFC 3501 §6.4.4). Where the RFC leaves freedom, the answers are
// those of Dovecot 2.3, so that a client finds the same messages after a change of servers:
//
//   - Texts are compared by i;unicode-casemap (RFC 5051): each character is taken to titlecase and decomposed, no accent is
//     dropped. "cafe" finds "Café", "cafés" does not find "cafes".
//   - Fields are unfolded, and their encoded words decoded (RFC 2047); an address list is searched as it stands and in the
//     form `Name <mailbox@domain>, …`; of a subject, white space counts as one space as well.
//   - BODY searches the bodies of text/* and of message/* other than message/rfc822, also of attachments; what is in a
//     message/rfc822 is searched as the message it is. TEXT searches the headers of all parts too. Transfer encodings and
//     charsets are undone, HTML is searched as its source. Other parts, the text around the parts of a multipart and
//     bodies in an unknown transfer encoding are not searched, nor is what is beyond the limits of package mime.
//   - Text in an unknown charset is searched as if it were UTF-8.
//   - Dates are compared as days: that of arrival in the server's time zone, that of the Date field as it is written. A
//     message without a Date that can be understood was sent on 1 January 1970.
//
// Messages are hostile and as long as they like: they are read in pieces of bounded size, in time that grows with their
// length alone. The search itself comes from a user who has logged in, bounded by the parser.
package search

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"postrider/internal/imap"
	"postrider/internal/mime"
)

// Message is one message as SEARCH looks at it.
type Message interface {
	Seq() uint32
	UID() uint32
	ModSeq() uint64                                 // RFC 7162
	EmailID() string                                // RFC 8474
	Has(flag imap.Flag) bool                        // system flags, \Recent and, in any case, keywords
	Wire(ctx context.Context) (int64, error)        // octets with lines ending in CRLF
	Arrived(ctx context.Context) (time.Time, error) // INTERNALDATE
	// Sent is the time in the first Date field, as it is written there, in seconds from 1 January 1970; 0 if it says none.
	Sent(ctx context.Context) (int64, error)
	// Header gives the header with its blank line, or as much of it as there is, at most mime.MaxHeaders octets; lines end in LF or
	// CRLF. It is not to be changed, and valid until the next call.
	Header(ctx context.Context) ([]byte, error)
	// ThreadID is that of RFC 8474, "" if it has none.
	ThreadID(ctx context.Context) (string, error)
	// Saved is when it came into its folder (RFC 8514).
	Saved(ctx context.Context) (time.Time, error)
	// Open gives the message's file; Match closes it.
	Open(ctx context.Context) (*os.File, error)
}

// ErrCharset is a search in a charset that is not known: NO [BADCHARSET (US-ASCII UTF-8)].
var ErrCharset = errors.New("charset not known")

// Query is a prepared search. It is safe for concurrent use.
type Query struct {
	root    key
	zone    *time.Location // of BEFORE, ON and SINCE
	readers sync.Pool      // *reader
}

// New prepares a search. Sets are resolved against the mailbox's last sequence number and UID, 0 in an empty one. Octets of
// a text that are not its charset's are no error. YOUNGER and OLDER count from now. The only error is ErrCharset.
func New(cmd *imap.Search, lastSeq, lastUID uint32) (*Query, error) {
	charset, ok := mime.Charset(cmd.Charset)
	if !ok {
		return nil, ErrCharset
	}
	c := compiler{charset: charset, lastSeq: lastSeq, lastUID: lastUID, now: time.Now()}
	return &Query{
		root:    c.compile(&cmd.Key),
		zone:    time.Local,
		readers: sync.Pool{New: func() any { return newReader() }},
	}, nil
}

// NeedsFile says whether headers or files of messages may have to be looked at.
func (q *Query) NeedsFile() bool { return q.root.cost >= costHeader }

// Slow says whether more than what the session knows of messages may be needed, so that trying several at a time is worth it.
func (q *Query) Slow() bool { return q.root.cost > costState }

// Candidates are the sequence numbers of a mailbox of total messages that may be found. The others need not be tried.
func (q *Query) Candidates(total uint32) imap.Set {
	if total == 0 {
		return nil
	}
	return q.root.candidates(imap.Set{{Start: 1, Stop: total}})
}

// All says that every candidate is found.
func (q *Query) All() bool { return q.root.all() }

// Match says whether a message is found. It opens the message's file and asks for its header once at most, and only if
// nothing cheaper decides. Errors of the message are returned as they are.
func (q *Query) Match(ctx context.Context, m Message) (bool, error) {
	e := examination{ctx: ctx, message: m, zone: q.zone}
	if q.NeedsFile() {
		e.reader = q.readers.Get().(*reader)
		defer q.readers.Put(e.reader)
	}
	defer e.close()
	return e.match(&q.root)
}
