package sortkey

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
)

// Value is what a message is compared by in one criterion. The zero Value is smaller than all others.
type Value struct {
	first uint64 // as much of it as tells most apart
	text  string
}

// Number is a Value that is compared as a number.
func Number(n int64) Value { return Value{first: uint64(n) ^ 1<<63} }

// Text is a Value that is compared octet by octet.
func Text(s string) Value {
	var b [8]byte
	copy(b[:], s)
	return Value{binary.BigEndian.Uint64(b[:]), strings.Clone(s)}
}

// Size is how many octets of text there are.
func (v *Value) Size() int { return len(v.text) }

func (v *Value) compare(o *Value) int {
	if v.first != o.first {
		return cmp.Compare(v.first, o.first)
	}
	return strings.Compare(v.text, o.text)
}

// Rank gives the place of each value among all, from 0 on. Those that are equal have the same.
func Rank(values []Value) []uint32 {
	order := make([]int32, len(values))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return values[a].compare(&values[b]) })
	ranks, rank := make([]uint32, len(values)), uint32(0)
	for i, m := range order {
		if i > 0 && values[m] != values[order[i-1]] {
			rank++
		}
		ranks[m] = rank
	}
	return ranks
}

// Column is what ranks messages have by one criterion.
type Column struct {
	Ranks   []uint32
	Reverse bool
}

// Order gives the indices of messages in the order of their columns, of which the first one matters most; those that are equal by all
// of them stay in theirs (RFC 5256 §3).
func Order(columns []Column) []int32 {
	order := make([]int32, len(columns[0].Ranks))
	for i := range order {
		order[i] = int32(i)
	}
	sorted := make([]int32, len(order))
	for _, c := range slices.Backward(columns) {
		c.sort(sorted, order)
		order, sorted = sorted, order
	}
	return order
}

// sort puts messages in the order of one column, by counting: those of one rank stay as they are.
func (c *Column) sort(sorted, messages []int32) {
	last := uint32(0)
	for _, rank := range c.Ranks {
		last = max(last, rank)
	}
	place := func(m int32) uint32 {
		if c.Reverse {
			return last - c.Ranks[m]
		}
		return c.Ranks[m]
	}
	starts := make([]int32, last+2) // of each place, one further on
	for _, m := range messages {
		starts[place(m)+1]++
	}
	for i := range last {
		starts[i+1] += starts[i]
	}
	for _, m := range messages {
		start := &starts[place(m)]
		sorted[*start] = m
		*start++
	}
}
