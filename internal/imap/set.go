package imap

import (
	"cmp"
	"slices"
	"strconv"
)

// Range is the numbers from Start to Stop. 0 is "*", the largest number in use; only Stop is it, except in {0, 0}.
type Range struct{ Start, Stop uint32 }

// Set is a sequence set (RFC 3501 §9) of message numbers or UIDs, in the order in which it was given. It is never expanded:
// 1:4294967295 is one range.
type Set []Range

// saved stands for the result of the last SEARCH that was to be saved, the "$" of RFC 5182. No other range looks like it.
var saved = Range{0, 1}

// Saved says whether the set is "$", which is to be replaced before the set is used.
func (s Set) Saved() bool { return len(s) == 1 && s[0] == saved }

// Resolve returns the set in ascending order without overlaps, "*" being max (0 in an empty mailbox). Numbers above max
// stay: whether they are an error is for the command to say.
func (s Set) Resolve(max uint32) Set {
	resolved := make(Set, 0, len(s))
	for _, r := range s {
		if r.Start == 0 {
			r.Start = max
		}
		if r.Stop == 0 {
			r.Stop = max
		}
		if r.Start > r.Stop { // "9:*" where * is 5 is 5:9
			r.Start, r.Stop = r.Stop, r.Start
		}
		if r.Start == 0 { // nothing is in an empty mailbox
			if r.Start = 1; r.Stop == 0 {
				continue
			}
		}
		resolved = append(resolved, r)
	}
	slices.SortFunc(resolved, func(a, b Range) int { return cmp.Compare(a.Start, b.Start) })
	return resolved.merge()
}

func (s Set) merge() Set {
	merged := s[:0]
	for _, r := range s {
		if last := len(merged) - 1; last >= 0 && uint64(r.Start) <= uint64(merged[last].Stop)+1 {
			merged[last].Stop = max(merged[last].Stop, r.Stop)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// Contains says whether n is in a resolved set.
func (s Set) Contains(n uint32) bool {
	_, found := slices.BinarySearchFunc(s, n, func(r Range, n uint32) int {
		switch {
		case n < r.Start:
			return 1
		case n > r.Stop:
			return -1
		}
		return 0
	})
	return found
}

// Add appends n; numbers that come in ascending order become ranges.
func (s Set) Add(n uint32) Set {
	if last := len(s) - 1; last >= 0 && s[last].Stop != 0 && s[last].Stop+1 == n {
		s[last].Stop = n
		return s
	}
	return append(s, Range{n, n})
}

// Len is how many numbers are in a resolved set.
func (s Set) Len() uint64 {
	var n uint64
	for _, r := range s {
		n += uint64(r.Stop) - uint64(r.Start) + 1
	}
	return n
}

// Append appends the set in wire form.
func (s Set) Append(b []byte) []byte {
	if s.Saved() {
		return append(b, '$')
	}
	for i, r := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSeq(b, r.Start)
		if r.Stop != r.Start {
			b = appendSeq(append(b, ':'), r.Stop)
		}
	}
	return b
}

func (s Set) String() string { return string(s.Append(nil)) }

func appendSeq(b []byte, n uint32) []byte {
	if n == 0 {
		return append(b, '*')
	}
	return strconv.AppendUint(b, uint64(n), 10)
}

// set reads a sequence set, or the "$" in the place of one.
func (p *parser) set() Set {
	if p.take('$') {
		return Set{saved}
	}
	var set Set
	for p.err == nil {
		r := Range{Start: p.seq()}
		r.Stop = r.Start
		if p.take(':') {
			r.Stop = p.seq()
		}
		set = set.addRange(r)
		if !p.take(',') {
			break
		}
	}
	return set
}

// numbers reads a set in which each number is one.
func (p *parser) numbers() Set {
	set := p.set()
	for _, r := range set {
		if r.Start == 0 || r.Stop == 0 {
			p.fail("unexpected '*' or '$'")
		}
	}
	return set
}

func (p *parser) seq() uint32 {
	if p.take('*') {
		return 0
	}
	return p.number32()
}

// addRange puts the ends in order and joins the range to the last one where it goes on from it.
func (s Set) addRange(r Range) Set {
	if r.Stop != 0 && (r.Start == 0 || r.Start > r.Stop) {
		r.Start, r.Stop = r.Stop, r.Start
	}
	if last := len(s) - 1; last >= 0 && r.Start > 1 && r.Stop != 0 && s[last].Stop == r.Start-1 {
		s[last].Stop = r.Stop
		return s
	}
	return append(s, r)
}
