package pop3d

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"

	"postrider/internal/crew"
	"postrider/internal/mailstore"
)

// maildrop is the INBOX as it was at login: message i has the number i+1 to the end (RFC 1939 §4). Beside what all sessions of
// a folder share it costs 17 octets a message.
type maildrop struct {
	box      *mailstore.Mailbox
	messages []*mailstore.Message
	sizes    []int64 // octets with CRLF
	marks    []mark
	total    int64

	deleted     int // how many are marked, and their octets
	deletedSize int64
}

// mark is what a session has done to a message.
type mark uint8

const (
	markDeleted mark = 1 << iota
	markSeen         // it was sent, and gets \Seen when the session ends
)

// openMaildrop reads the mailbox. A message that goes meanwhile is left out; of one that cannot be read now, the size is what its
// name says.
func openMaildrop(ctx context.Context, o Options) (*maildrop, error) {
	box, err := o.Store.Open(ctx, mailstore.Inbox, false)
	if box == nil {
		return nil, err
	}
	if err != nil {
		o.Log.Warn("pop3 session of %s does not see new mail: %v", o.User, err)
	}
	d := &maildrop{box: box}
	if err := d.measure(ctx, o); err != nil {
		box.Close()
		return nil, err
	}
	return d, nil
}

// measure takes the messages with their sizes, which names of our own and of Dovecot have: then no file is opened.
func (d *maildrop) measure(ctx context.Context, o Options) error {
	list := inOrder(d.box.Messages())
	d.count(ctx, o.Crew, list)
	d.messages, d.sizes = make([]*mailstore.Message, 0, len(list)), make([]int64, 0, len(list))
	unreadable := 0
	for _, m := range list {
		size, wire, ok := m.Sizes()
		if !ok {
			info, err := d.box.Info(ctx, m)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, mailstore.ErrExpunged) {
				continue
			}
			if wire = info.Wire; err != nil {
				wire = max(size, 0)
				if unreadable++; unreadable == 1 {
					o.Log.Error("pop3 session of %s: size of message %d: %v", o.User, m.UID, err)
				}
			}
		}
		d.messages, d.sizes = append(d.messages, m), append(d.sizes, wire)
		d.total += wire
	}
	if unreadable > 1 {
		o.Log.Error("pop3 session of %s: %d messages cannot be read", o.User, unreadable)
	}
	d.marks = make([]mark, len(d.messages))
	return nil
}

// count finds out the sizes that names do not have, several at a time. What could not be read is tried once more.
func (d *maildrop) count(ctx context.Context, helpers *crew.Crew, list []*mailstore.Message) {
	known := func(m *mailstore.Message) bool { _, _, ok := m.Sizes(); return ok }
	if !slices.ContainsFunc(list, func(m *mailstore.Message) bool { return !known(m) }) {
		return
	}
	d.box.Cache().Refresh()
	var next atomic.Int64
	helpers.Do(runtime.GOMAXPROCS(0)-1, func(bool) {
		for i := int(next.Add(1)) - 1; i < len(list) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
			if !known(list[i]) {
				d.box.Info(ctx, list[i])
			}
		}
	})
}

// inOrder puts those first that the uidlist gives a place, left by a migration from another server.
func inOrder(list []*mailstore.Message) []*mailstore.Message {
	if !slices.ContainsFunc(list, func(m *mailstore.Message) bool { return place(m) != math.MaxUint32 }) {
		return list
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b *mailstore.Message) int { return cmp.Compare(place(a), place(b)) })
	return list
}

func place(m *mailstore.Message) uint64 {
	v, ok := m.Key('O')
	n, err := strconv.ParseUint(v, 10, 32)
	if !ok || err != nil {
		return math.MaxUint32
	}
	return n
}

// appendUIDL appends a message's unique-id (RFC 1939 §7): the one that it had on another server, or Dovecot's %08Xu%08Xv.
func (d *maildrop) appendUIDL(dst []byte, i int) []byte {
	m := d.messages[i]
	if v, ok := m.Key('P'); ok && validUIDL(v) {
		return append(dst, v...)
	}
	return appendHex(appendHex(dst, m.UID), d.box.UIDValidity())
}

func validUIDL(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= 70
}

func appendHex(dst []byte, n uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[n>>shift&15])
	}
	return dst
}

func (d *maildrop) isDeleted(i int) bool { return d.marks[i]&markDeleted != 0 }

// delete marks a message that is not marked yet.
func (d *maildrop) delete(i int) {
	d.marks[i] |= markDeleted
	d.deleted++
	d.deletedSize += d.sizes[i]
}

// reset takes all marks back.
func (d *maildrop) reset() {
	clear(d.marks)
	d.deleted, d.deletedSize = 0, 0
}

// marked are the messages that have one mark and not another.
func (d *maildrop) marked(with, without mark) (list []*mailstore.Message) {
	for i, m := range d.marks {
		if m&with != 0 && m&without == 0 {
			list = append(list, d.messages[i])
		}
	}
	return list
}

// remove removes the messages that are marked deleted.
func (d *maildrop) remove(ctx context.Context) error {
	list := d.marked(markDeleted, 0)
	if len(list) == 0 {
		return nil
	}
	if err := d.box.Expunge(ctx, list); err != nil {
		return fmt.Errorf("remove %d messages: %w", len(list), err)
	}
	return nil
}

// saveSeen sets \Seen where it was not, except on messages marked with without.
func (d *maildrop) saveSeen(ctx context.Context, without mark) error {
	list := d.marked(markSeen, without)
	if len(list) == 0 {
		return nil
	}
	_, err := d.box.StoreFlags(ctx, list, mailstore.AddFlags, mailstore.Seen, nil)
	return err
}

func (d *maildrop) close() { d.box.Close() }
