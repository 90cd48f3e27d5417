package imapd

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"postrider/internal/fetch"
	"postrider/internal/imap"
	"postrider/internal/mailstore"
	"postrider/internal/mime"
)

// source is a message in the selected mailbox, for package fetch.
type source struct {
	box *mailstore.Mailbox
	*mailstore.Message
}

// Name is the name under which the mailbox's cache has the message.
func (s *source) Name() (base string, size int64) { return s.Base(), s.Size() }

func (s *source) Known() bool {
	_, ok := s.box.Known(s.Message)
	return ok
}

func (s *source) Info(ctx context.Context) (wire int64, date time.Time, err error) {
	info, err := s.box.Info(ctx, s.Message)
	return info.Wire, info.Date, err
}

// Wire gives RFC822.SIZE, as the message's name says it if that does.
func (s *source) Wire(ctx context.Context) (int64, error) {
	if _, wire, ok := s.Sizes(); ok {
		return wire, nil
	}
	info, err := s.box.Info(ctx, s.Message)
	return info.Wire, err
}

// Arrived gives INTERNALDATE.
func (s *source) Arrived(ctx context.Context) (time.Time, error) { return s.box.Date(ctx, s.Message) }

func (s *source) Open(ctx context.Context) (*os.File, error) {
	return s.box.OpenMessage(ctx, s.Message)
}

// fetching is a FETCH that is carried out.
type fetching struct {
	*session
	ctx       context.Context
	items     []imap.FetchItem
	withFlags []imap.FetchItem // the items for a message that gets \Seen
	marks     bool             // messages get \Seen
	message   fetch.Message
	headers   headers
	seen      []*mailstore.Message // were sent, and are to get \Seen
	uid       bool
	gone      bool  // a message was not there any more
	answered  bool  // one was
	unknown   bool  // a part could not be decoded
	failure   error // the first of another kind
}

// fetch is FETCH and UID FETCH.
func (s *session) fetch(ctx context.Context, c *imap.Fetch) reply {
	if c.Vanished && !s.on.qresync {
		return bad("QRESYNC is not enabled.")
	}
	if c.ChangedSince != nil || asks(c.Items, imap.FetchModSeq) {
		s.enableCondStore()
	}
	if c.ChangedSince != nil && !s.sync(ctx, viewMode(c.UID), c.UID) {
		return gone()
	}
	spans, found := s.box.find(c.Set, c.UID)
	if !found {
		return badSet()
	}
	f := &fetching{session: s, ctx: ctx, items: c.Items, withFlags: c.Items, uid: c.UID}
	if c.ChangedSince != nil {
		spans = f.changed(c, spans)
	}
	if c.Partial != nil {
		spans = pick(spans, *c.Partial)
		if length(spans) > s.o.limit {
			return s.overLimit()
		}
	}
	spans, lowest := s.limited(spans)
	f.marks = !s.box.readOnly && slices.ContainsFunc(c.Items, func(i imap.FetchItem) bool { return i.SetsSeen() })
	if f.marks && !s.on.condStore { // who has mod-sequences hears of it with the new one, later
		f.withFlags = with(imap.FetchFlags, f.withFlags)
	}
	if c.UID && !s.on.uidOnly {
		f.items, f.withFlags = with(imap.FetchUID, f.items), with(imap.FetchUID, f.withFlags)
	}
	if asks(f.items, imap.FetchModSeq) {
		f.box.tellsModSeqs(spans)
	}
	f.answer(spans)
	f.mark()
	return s.cut(f.reply(), lowest)
}

// changed is what of spans has changed since the client looked (RFC 7162 §3.1.4.1), after it was told what of the set has gone (§3.2.6).
func (f *fetching) changed(c *imap.Fetch, spans []span) []span {
	since := f.box.Since(*c.ChangedSince)
	if c.Vanished {
		f.tellVanished(since, c.Set.Resolve(f.box.UIDNext()-1), 0)
	}
	f.items = append(slices.Clip(f.items), imap.FetchItem{Attr: imap.FetchModSeq})
	f.withFlags = f.items
	return f.box.changedSince(spans, since)
}

// tellsModSeqs notes that the client is told those of spans.
func (b *selection) tellsModSeqs(spans []span) {
	for _, sp := range spans {
		for _, m := range b.Messages()[sp.lo:sp.hi] {
			b.said = max(b.said, m.ModSeq)
		}
	}
}

func asks(items []imap.FetchItem, attr imap.FetchAttr) bool {
	return slices.ContainsFunc(items, func(i imap.FetchItem) bool { return i.Attr == attr })
}

// with puts an item before the others, unless it is there.
func with(attr imap.FetchAttr, items []imap.FetchItem) []imap.FetchItem {
	if asks(items, attr) {
		return items
	}
	return append([]imap.FetchItem{{Attr: attr}}, items...)
}

// answer writes the response for each message, until the session is to end.
func (f *fetching) answer(spans []span) {
	if f.fetcher.UsesCache(f.items) || asks(f.items, imap.FetchThreadID) {
		f.box.Cache().Refresh()
	}
	defer f.fetcher.Done()
	defer f.headers.done(f.box.Mailbox)
	step := f.fetcher.Lookahead(f.items)
	if step == 0 {
		step = maxStep
	}
	for _, sp := range spans {
		for ; sp.lo < sp.hi; sp.lo += step {
			if !f.some(span{sp.lo, min(sp.lo+step, sp.hi)}) {
				return
			}
		}
	}
}

// maxStep is how many messages are answered at a time of which nothing is to be read.
const maxStep = 256

// some answers for as many messages as are read ahead. It is false when the session is to end.
func (f *fetching) some(sp span) bool {
	view := f.box.Messages()[sp.lo:sp.hi]
	window, sources := make([]source, len(view)), make([]fetch.Source, len(view)) // new ones: helpers may still read those before
	for i, m := range view {
		window[i] = source{f.box.Mailbox, m}
		sources[i] = &window[i]
	}
	f.fetcher.Ahead(f.ctx, sources, f.items)
	for i, m := range view {
		if f.ctx.Err() != nil || f.w.Err() != nil {
			return false
		}
		f.message.Source = sources[i]
		f.one(sp.lo+i, m)
	}
	return true
}

func (f *fetching) one(i int, m *mailstore.Message) {
	f.message.Seq, f.message.UID, f.message.ModSeq = f.number(i, m), m.UID, m.ModSeq
	items, marked := f.items, f.marks && m.Flags&mailstore.Seen == 0
	if marked {
		items = f.withFlags
	}
	f.message.Flags = f.flagsWith(m, marked)
	before := f.w.MessageOctets()
	err := f.identify(m)
	if err == nil {
		err = f.fetcher.Answer(f.ctx, f.w, &f.message, items)
	}
	switch {
	case errors.Is(err, mailstore.ErrExpunged):
		f.gone = true
	case errors.Is(err, mime.ErrEncoding):
		f.unknown = true
	case err != nil:
		if f.failure == nil {
			f.failure = err
		}
	default:
		f.answered = true
		f.sum.fetched(f.items, f.w.MessageOctets()-before)
		if marked {
			f.seen = append(f.seen, m)
		}
	}
}

// flagsWith are the flags of a message, with \Seen if it is to get that.
func (f *fetching) flagsWith(m *mailstore.Message, seen bool) []imap.Flag {
	if !seen {
		f.flags = f.box.flagNames(f.flags[:0], m)
		return f.flags
	}
	marked := mailstore.Message{UID: m.UID, Flags: m.Flags | mailstore.Seen, Keywords: m.Keywords}
	f.flags = f.box.flagNames(f.flags[:0], &marked)
	return f.flags
}

// mark sets \Seen on what was sent. If that cannot be done the client hears how it is; it has the messages, so the FETCH
// is none the worse.
func (f *fetching) mark() {
	if len(f.seen) == 0 {
		return
	}
	now, err := f.box.StoreFlags(context.WithoutCancel(f.ctx), f.seen, mailstore.AddFlags, mailstore.Seen, nil)
	if err != nil {
		f.o.Log.Warn("mark as read in %s: %v", f.box.name, err)
		now = f.seen
	}
	f.newKeywords()
	if f.on.condStore {
		f.tell(now, f.uid)
		return
	}
	f.tell(otherThan(now, f.seen, func(m *mailstore.Message) (mailstore.Flags, mailstore.Keywords) {
		return m.Flags | mailstore.Seen, m.Keywords
	}), f.uid)
}

func (f *fetching) reply() reply {
	switch {
	case f.ctx.Err() != nil:
		return no(imap.CodeUnavailable, "Server shutting down.")
	case f.failure != nil && f.w.Err() == nil:
		return f.refusal("fetch from", f.box.name, f.failure)
	case f.unknown:
		return no(imap.CodeUnknownCTE, "Unknown Content-Transfer-Encoding.")
	case f.gone && (f.uid || f.answered): // a UID that is not there is no error (RFC 3501 §6.4.8); NO would be one of the others, too
		return reply{status: imap.OK, code: imap.CodeExpungeIssued, text: someGone}
	case f.gone:
		return expunged()
	}
	return ok("Fetch completed.")
}

// fetched counts a message of which octets were sent.
func (s *Summary) fetched(items []imap.FetchItem, octets int64) {
	header := false
	for i := range items {
		switch {
		case !items[i].HasSection():
		case len(items[i].Section.Part) > 0 || !ofHeader(items[i].Section.Specifier):
			s.BodyCount++
			s.BodyOctets += octets
			return
		default:
			header = true
		}
	}
	if header {
		s.HeaderCount++
		s.HeaderOctets += octets
	}
}

func ofHeader(s imap.Specifier) bool {
	return s == imap.SectionHeader || s == imap.SectionHeaderFields || s == imap.SectionHeaderFieldsNot
}
