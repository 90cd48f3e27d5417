package search

import (
	"context"
	"os"
	"time"

	"postrider/internal/imap"
	"postrider/internal/mime"
)

// examination is what is known of one message so far.
type examination struct {
	ctx     context.Context
	message Message
	zone    *time.Location
	reader  *reader // nil if no key needs the file

	headed bool // header is there
	header []byte
	file   *os.File
	tree   *mime.Part
}

func (e *examination) match(k *key) (bool, error) {
	switch k.op {
	case imap.KeyAnd:
		return e.all(k.keys, true)
	case imap.KeyOr:
		none, err := e.all(k.keys, false)
		return !none && err == nil, err
	case imap.KeyNot:
		found, err := e.match(&k.keys[0])
		return !found && err == nil, err
	case imap.KeyAll:
		return true, nil
	case imap.KeySeq:
		return k.set.Contains(e.message.Seq()), nil
	case imap.KeyUID:
		return k.set.Contains(e.message.UID()), nil
	case imap.KeyFlag:
		return e.message.Has(k.flag), nil
	case imap.KeyNotFlag:
		return !e.message.Has(k.flag), nil
	case imap.KeyEmailID:
		return e.message.EmailID() == k.text, nil
	case imap.KeyThreadID:
		id, err := e.message.ThreadID(e.ctx)
		return err == nil && id == k.text, err
	case imap.KeySavedBefore, imap.KeySavedOn, imap.KeySavedSince:
		return e.matchSaved(k)
	case imap.KeyModSeq:
		return e.message.ModSeq() >= k.num, nil
	case imap.KeyBefore, imap.KeyOn, imap.KeySince, imap.KeyYounger, imap.KeyOlder:
		return e.matchArrived(k)
	case imap.KeyLarger, imap.KeySmaller:
		return e.matchSize(k)
	case imap.KeySentBefore, imap.KeySentOn, imap.KeySentSince:
		return e.matchSent(k)
	case imap.KeyHeader:
		return e.matchHeader(k)
	case imap.KeyBody, imap.KeyText:
		return e.matchParts(k)
	}
	return false, nil
}

// all says whether the answer is as wanted for every key. It stops at the first for which it is not.
func (e *examination) all(keys []key, want bool) (bool, error) {
	for i := range keys {
		if found, err := e.match(&keys[i]); err != nil || found != want {
			return false, err
		}
	}
	return true, nil
}

func (e *examination) matchArrived(k *key) (bool, error) {
	date, err := e.message.Arrived(e.ctx)
	if err != nil {
		return false, err
	}
	switch k.op {
	case imap.KeyYounger:
		return !date.Before(k.time), nil
	case imap.KeyOlder:
		return !date.After(k.time), nil
	}
	return compareDay(k.op, day(date.In(e.zone)), k.day), nil
}

func (e *examination) matchSize(k *key) (bool, error) {
	wire, err := e.message.Wire(e.ctx)
	if err != nil {
		return false, err
	}
	if k.op == imap.KeyLarger {
		return uint64(wire) > k.num, nil
	}
	return uint64(wire) < k.num, nil
}

// matchSaved compares the day on which the message was saved.
func (e *examination) matchSaved(k *key) (bool, error) {
	saved, err := e.message.Saved(e.ctx)
	if err != nil {
		return false, err
	}
	return compareDay(k.op, day(saved.In(e.zone)), k.day), nil
}

// matchSent compares the day that the Date field names, as it is written there.
func (e *examination) matchSent(k *key) (bool, error) {
	written, err := e.message.Sent(e.ctx)
	if err != nil {
		return false, err
	}
	return compareDay(k.op, dayOf(written), k.day), nil
}

func (e *examination) matchHeader(k *key) (bool, error) {
	if !e.headed {
		header, err := e.message.Header(e.ctx)
		if err != nil {
			return false, err
		}
		e.headed, e.header = true, header
	}
	return e.reader.matchField(e.header, k.field, k.needle), nil
}

func (e *examination) matchParts(k *key) (bool, error) {
	if e.file == nil {
		file, err := e.message.Open(e.ctx)
		if err != nil {
			return false, err
		}
		e.file = file
		e.reader.open(e.ctx, file)
	}
	if e.tree == nil {
		tree, err := e.reader.scan()
		if err != nil {
			return false, err
		}
		e.tree = tree
	}
	return e.reader.matchParts(e.tree, k.needle, k.op == imap.KeyText)
}

func (e *examination) close() {
	if e.file != nil {
		e.file.Close() // it was only read
		e.reader.close()
	}
}
