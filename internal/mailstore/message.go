package mailstore

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
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

// Message is a message as a view has it. It never changes: another name of the file is another Message.
type Message struct {
	UID      uint32
	Flags    Flags
	Keywords Keywords
	ModSeq   uint64 // grows with each change of flags or keywords (RFC 7162)

	name  string // of the file
	inNew bool
	keys  string // what the uidlist says beside: "S12 W14"
	info  atomic.Pointer[Info]
}

// Info is what needs more than the file's name.
type Info struct {
	Size int64     // octets of the file
	Wire int64     // octets as a client is served, with CRLF: RFC822.SIZE
	Date time.Time // of arrival: the file's mtime, as Dovecot has it
}

func newMessage(uid uint32, name, keys string, inNew bool, modSeq uint64) *Message {
	m := &Message{UID: uid, name: name, keys: keys, inNew: inNew, ModSeq: modSeq}
	m.Flags, m.Keywords = parseInfo(name)
	return m
}

// named is the message under another name, with the larger mod-sequence if it has other flags by that.
func (m *Message) named(name string, inNew bool, modSeq uint64) *Message {
	if m.name == name && m.inNew == inNew {
		return m
	}
	n := newMessage(m.UID, name, m.keys, inNew, modSeq)
	if n.Flags == m.Flags && n.Keywords == m.Keywords {
		n.ModSeq = m.ModSeq
	}
	n.info.Store(m.info.Load())
	return n
}

// Known is what was already found out about the message.
func (m *Message) Known() (Info, bool) {
	if i := m.info.Load(); i != nil {
		return *i, true
	}
	return Info{}, false
}

// Know takes what a caller found out who has read the message's file anyway.
func (m *Message) Know(i Info) { m.info.Store(&i) }

// Size is the size of the file, negative if only a look at it tells.
func (m *Message) Size() int64 {
	if i := m.info.Load(); i != nil {
		return i.Size
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
	size, wire = nameSize(m.Base(), ",S="), nameSize(m.Base(), ",W=")
	if v, ok := m.Key('S'); ok && size < 0 {
		size = parseSize(v)
	}
	if v, ok := m.Key('W'); ok && wire < 0 {
		wire = parseSize(v)
	}
	return size, wire
}

func nameSize(base, key string) int64 {
	_, value, ok := strings.Cut(base, key)
	if !ok {
		return -1
	}
	value, _, _ = strings.Cut(value, ",")
	return parseSize(value)
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
	var letters []byte
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
	slices.Sort(letters)
	new := baseOf(name) + ":2," + string(letters)
	if more {
		new += "," + rest
	}
	return new
}

func knownLetter(c byte) bool { return 'a' <= c && c <= 'z' || strings.IndexByte("DFRST", c) >= 0 }
