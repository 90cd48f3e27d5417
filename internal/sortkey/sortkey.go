// Package sortkey makes of a message's header what SORT and THREAD compare (RFC 5256, RFC 5957): the time at which the message
// was sent and its key, that is the base subject, the addresses by which messages are sorted, and its place among its
// references. A key is a few hundred octets, in a form that can be kept in memory or on disk as it is.
//
// Headers are of strangers; a key has a bounded size whatever they are. A key read back from disk is checked by Parse.
package sortkey

import (
	"encoding/binary"
	"errors"

	"postrider/internal/imap"
)

// Bounds of a key. What is beyond them does not count in a comparison.
const (
	MaxSubject    = 512 // octets
	MaxAddress    = 128 // octets
	MaxReferences = 64  // the first one and the last
)

// MaxSize is the most octets that a key has.
const MaxSize = headSize + 8*(1+MaxReferences) + MaxSubject + 5*MaxAddress

// Key is the sort key of a message. Texts are casemapped, message identifiers are hashes. The empty Key is that of a message
// without a header.
//
// Its form, integers in little-endian order: version, flags, the number of references, the lengths of six texts in two octets
// each; the hashes of the message identifier, if there is one, and of the references; the texts.
type Key string

const (
	version    = 2
	textsAt    = 3
	headSize   = textsAt + 2*texts
	flagReply  = 1 << 0
	flagID     = 1 << 1
	knownFlags = flagReply | flagID
)

// text is one of a key, in the order in which they stand.
type text int

const (
	subject text = iota
	from
	to
	cc
	displayFrom
	displayTo
	texts = iota
)

// ErrCorrupt is octets that are no key.
var ErrCorrupt = errors.New("corrupt sort key")

// Parse checks that octets are a key, of this version.
func Parse(b string) (Key, error) {
	k := Key(b)
	if b == "" {
		return k, nil
	}
	if len(b) < headSize || b[0] != version || b[1]&^knownFlags != 0 || b[2] > MaxReferences {
		return "", ErrCorrupt
	}
	size := k.hashesEnd()
	for t := range text(texts) {
		n := k.length(t)
		if n > limit(t) {
			return "", ErrCorrupt
		}
		size += n
	}
	if size != len(b) {
		return "", ErrCorrupt
	}
	return k, nil
}

func limit(t text) int {
	if t == subject {
		return MaxSubject
	}
	return MaxAddress
}

func (k Key) has(flag byte) bool { return k != "" && k[1]&flag != 0 }

func (k Key) hashesEnd() int {
	n := int(k[2])
	if k.has(flagID) {
		n++
	}
	return headSize + 8*n
}

func (k Key) length(t text) int {
	at := textsAt + 2*int(t)
	return int(k[at]) | int(k[at+1])<<8
}

func (k Key) text(t text) string {
	if k == "" {
		return ""
	}
	at := k.hashesEnd()
	for before := range t {
		at += k.length(before)
	}
	return string(k[at : at+k.length(t)])
}

func (k Key) uint64(at int) uint64 { return binary.LittleEndian.Uint64([]byte(k[at : at+8])) }

// Subject is the base subject (RFC 5256 §2.1).
func (k Key) Subject() string { return k.text(subject) }

// Reply says that what the base subject lacks shows that the message is a reply or forwarded.
func (k Key) Reply() bool { return k.has(flagReply) }

// Text is what is compared by a criterion: the base subject, the mailbox without the domain of the first address of a field, or the
// name of the first address, else the address itself (RFC 5957 §3).
func (k Key) Text(by imap.SortKey) string {
	switch by {
	case imap.SortCc:
		return k.text(cc)
	case imap.SortDisplayFrom:
		return k.text(displayFrom)
	case imap.SortDisplayTo:
		return k.text(displayTo)
	case imap.SortFrom:
		return k.text(from)
	case imap.SortTo:
		return k.text(to)
	}
	return k.Subject()
}

// ID is the hash of the message identifier; false if there is no valid one.
func (k Key) ID() (uint64, bool) {
	if !k.has(flagID) {
		return 0, false
	}
	return k.uint64(headSize), true
}

// References is how many messages before this one it names, in References or else in In-Reply-To (RFC 5256 §3).
func (k Key) References() int {
	if k == "" {
		return 0
	}
	return int(k[2])
}

// Reference is the hash of the identifier of one of them; the last one is what the message answers.
func (k Key) Reference(i int) uint64 { return k.uint64(k.hashesEnd() - 8*(k.References()-i)) }

// Root is the hash of the identifier of the first message in the thread, as far as this one tells: of its first reference, or its
// own. It is false if there is none.
func (k Key) Root() (uint64, bool) {
	if k.References() > 0 {
		return k.Reference(0), true
	}
	return k.ID()
}
