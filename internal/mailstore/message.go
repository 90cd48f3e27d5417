package mailstore

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"postrider/internal/maildir"
)

// Flags are a message's system flags.
type Flags uint8

// The system flags, with their letters in a file name.
const (
	Answered Flags = 1 << iota // R
	Flagged                    // F
	Deleted                    // T
	Seen                       // S
	Draft                      // D
)

// flagLetters in the order of their letters.
var flagLetters = []struct {
	letter byte
	flag   Flags
}{{'D', Draft}, {'F', Flagged}, {'R', Answered}, {'S', Seen}, {'T', Deleted}}

// Keywords is a set of a folder's keywords: bit i is the letter 'a'+i, whose name is line i of dovecot-keywords.
type Keywords uint32

// MaxKeywords is how many letters there are.
const MaxKeywords = 26

// Message is a message as a view has it. It never changes, but for what is found out about its file: another name of the file is
// another Message.
type Message struct {
	UID      uint32
	Flags    Flags
	inNew    bool
	Keywords Keywords
	known    atomic.Uint32 // what the last three fields are
	ModSeq   uint64        // grows with each change of flags or keywords (RFC 7162)

	name string // of the file
	keys string // what the uidlist says beside: "S12 W14"

	size, wire, date int64        // as in Info; the date in ns
	arrived          atomic.Int64 // the date alone, which needs no look at the text; 0 = not known
}

// Info is what needs more than the file's name.
type Info struct {
	Size int64     // octets of the file
	Wire int64     // octets as a client is served, with CRLF: RFC822.SIZE
	Date time.Time // of arrival: the file's mtime, as Dovecot has it
}

// What is known of a message's Info.
const (
	infoNone    = iota
	infoSetting // somebody is about to
	infoKnown   // in memory
	infoSaved   // in the index, too
)

func newMessage(uid uint32, name, keys string, inNew bool) *Message {
	m := &Message{UID: uid, name: name, keys: keys, inNew: inNew}
	m.Flags, m.Keywords = parseInfo(name)
	return m
}

// as makes n, which is empty, the message under another name, with the same mod-sequence.
func (m *Message) as(n *Message, name string, inNew bool, flags Flags, keywords Keywords) *Message {
	n.UID, n.name, n.keys, n.inNew = m.UID, name, m.keys, inNew
	n.Flags, n.Keywords, n.ModSeq = flags, keywords, m.ModSeq
	if m.isKnown() {
		n.size, n.wire, n.date = m.size, m.wire, m.date
		n.known.Store(m.known.Load())
	}
	n.arrived.Store(m.arrived.Load())
	return n
}

// copyAt is the message with another mod-sequence.
func (m *Message) copyAt(modSeq uint64) *Message {
	n := m.as(new(Message), m.name, m.inNew, m.Flags, m.Keywords)
	n.ModSeq = modSeq
	return n
}

func (m *Message) isKnown() bool { return m.known.Load() >= infoKnown }

// Known is what was already found out about the message.
func (m *Message) Known() (Info, bool) {
	if !m.isKnown() {
		return Info{}, false
	}
	return Info{Size: m.size, Wire: m.wire, Date: time.Unix(0, m.date)}, true
}

// know takes what is true for ever: the file of a message does not change.
func (m *Message) know(size, wire, date int64, now uint32) {
	if m.known.CompareAndSwap(infoNone, infoSetting) {
		m.size, m.wire, m.date = size, wire, date
		m.known.Store(now)
	}
}

// Size is the size of the file, negative if only a look at it tells.
func (m *Message) Size() int64 {
	if m.isKnown() {
		return m.size
	}
	size, _ := m.sizes()
	return size
}

// Base is the part of the file name that stays.
func (m *Message) Base() string { return baseOf(m.name) }

// Key returns the value of a key in the uidlist, as 'P', the UIDL that the message had for POP3 clients.
func (m *Message) Key(key byte) (value string, ok bool) {
	for field := range strings.SplitSeq(m.keys, " ") {
		if field != "" && field[0] == key {
			return field[1:], true
		}
	}
	return "", false
}

// sizes returns what name and uidlist say of the sizes; -1 = nothing.
func (m *Message) sizes() (size, wire int64) {
	size, wire = nameSizes(m.Base())
	if m.keys == "" {
		return size, wire
	}
	if v, ok := m.Key('S'); ok && size < 0 {
		size = parseSize(v)
	}
	if v, ok := m.Key('W'); ok && wire < 0 {
		wire = parseSize(v)
	}
	return size, wire
}

// nameSizes returns what a base name says of the sizes; -1 = nothing.
func nameSizes(base string) (size, wire int64) {
	i := strings.IndexByte(base, ',')
	if i < 0 {
		return -1, -1
	}
	return nameSize(base[i:], maildir.SizeField), nameSize(base[i:], maildir.WireField)
}

func nameSize(base, field string) int64 {
	if n, ok := maildir.NameSize(base, field); ok {
		return n
	}
	return -1
}

func parseSize(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 63)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// baseOf is a file name without its flags.
func baseOf(name string) string {
	base, _, _ := strings.Cut(name, ":")
	return base
}

// infoOf are the flags of a name in cur, or "".
func infoOf(name string) string {
	_, info, _ := strings.Cut(name, ":")
	info, ok := strings.CutPrefix(info, "2,")
	if !ok {
		return ""
	}
	return info
}

func parseInfo(name string) (flags Flags, keywords Keywords) {
	info, _, _ := strings.Cut(infoOf(name), ",")
	for i := range len(info) {
		if c := info[i]; 'a' <= c && c <= 'z' {
			keywords |= 1 << (c - 'a')
			continue
		}
		for _, l := range flagLetters {
			if l.letter == info[i] {
				flags |= l.flag
			}
		}
	}
	return flags, keywords
}

// withInfo is a name with other flags. As in Dovecot the letters stand in the order of their codes, unknown ones and what
// follows a comma stay.
func withInfo(name string, flags Flags, keywords Keywords) string {
	info, rest, more := strings.Cut(infoOf(name), ",")
	var room [64]byte
	letters := room[:0]
	for _, l := range flagLetters {
		if flags&l.flag != 0 {
			letters = append(letters, l.letter)
		}
	}
	for i := range MaxKeywords {
		if keywords&(1<<i) != 0 {
			letters = append(letters, 'a'+byte(i))
		}
	}
	for i := range len(info) {
		if c := info[i]; !knownLetter(c) && !slices.Contains(letters, c) {
			letters = append(letters, c)
		}
	}
	if !slices.IsSorted(letters) {
		slices.Sort(letters)
	}
	new := baseOf(name) + ":2," + string(letters)
	if more {
		new += "," + rest
	}
	return new
}

func knownLetter(c byte) bool { return 'a' <= c && c <= 'z' || strings.IndexByte("DFRST", c) >= 0 }
