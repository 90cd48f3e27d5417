// Package thread finds which messages answer which (RFC 5256 §3): the algorithms of THREAD=ORDEREDSUBJECT and
// THREAD=REFERENCES, and THREAD=REFS, which is the latter without regard to subjects and with the threads in the order of
// their latest message, as in Dovecot.
//
// Identifiers and references are of strangers: whatever they are, a thread is a tree, and finding all takes no more than time
// that grows with the number of messages and their references, but for sorting the messages once.
package thread

import (
	"cmp"
	"math"
	"slices"

	"postrider/internal/sortkey"
)

// Message is one of those that are threaded.
type Message struct {
	sortkey.Key
	Date int64 // when it was sent, or else when it arrived (RFC 5256 §2.2), in seconds from 1 January 1970 UTC
}

// Node is a message in its thread.
type Node struct {
	Message int32 // its index, or Absent
	Answers int32 // how many answer it; of a message that is absent at least two
}

// Absent is a message that several others refer to, but is not there.
const Absent = -1

// OrderedSubject has the messages of each base subject in one thread: all are answers to the one that was sent first. Each
// message in the result is followed by the threads of its answers.
func OrderedSubject(messages []Message) []Node {
	f := newForest(messages)
	first := make(map[string]int32)
	for _, m := range f.order {
		subject := messages[m].Subject()
		if parent, ok := first[subject]; ok {
			f.up[m] = parent
		} else {
			first[subject] = m
		}
	}
	return f.nodes(f.sorted())
}

// References is THREAD=REFERENCES: messages answer the last one that they refer to, threads of one base subject are joined.
func References(messages []Message) []Node {
	f := newForest(messages)
	f.link()
	f.joinSubjects()
	return f.nodes(f.sorted())
}

// Refs is THREAD=REFS.
func Refs(messages []Message) []Node {
	f := newForest(messages)
	f.link()
	tops := f.sorted()
	latest := make(map[int32]int64, len(tops))
	for _, top := range tops {
		latest[top] = f.latest(top)
	}
	slices.SortStableFunc(tops, func(a, b int32) int { return cmp.Compare(latest[a], latest[b]) })
	return f.nodes(tops)
}

// none is no message.
const none = -1

// forest is messages, 0 to len(messages)-1, and behind them those that are absent.
type forest struct {
	messages []Message
	order    []int32 // the messages by date
	up       []int32 // what a message answers, or none

	first, last, next []int32 // the answers of a message, and its siblings
	count             []int32 // how many answer it
}

func newForest(messages []Message) *forest {
	f := &forest{messages: messages, order: make([]int32, len(messages)), up: make([]int32, len(messages))}
	for i := range f.order {
		f.order[i], f.up[i] = int32(i), none
	}
	slices.SortFunc(f.order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(messages[a].Date, messages[b].Date), cmp.Compare(a, b))
	})
	return f
}

func (f *forest) absent(m int32) bool { return int(m) >= len(f.messages) }

// addAbsent adds a message that is not there.
func (f *forest) addAbsent() int32 {
	f.up = append(f.up, none)
	return int32(len(f.up) - 1)
}

// sorted gives the tops of the threads by date, and makes the lists of answers, by date too. An absent message has the date
// of its first answer; it is at the top, or has no answers.
func (f *forest) sorted() (tops []int32) {
	f.first, f.last, f.next, f.count = filled(len(f.up)), filled(len(f.up)), filled(len(f.up)), make([]int32, len(f.up))
	for _, m := range f.order {
		parent := f.up[m]
		if parent == none {
			tops = append(tops, m)
			continue
		}
		if f.first[parent] == none {
			f.first[parent] = m
			if f.absent(parent) {
				tops = append(tops, parent)
			}
		} else {
			f.next[f.last[parent]] = m
		}
		f.last[parent] = m
		f.count[parent]++
	}
	return f.promoted(tops)
}

func filled(n int) []int32 {
	s := make([]int32, n)
	for i := range s {
		s[i] = none
	}
	return s
}

// promoted has the only answer of an absent message in the place of that.
func (f *forest) promoted(tops []int32) []int32 {
	for i, top := range tops {
		if f.absent(top) && f.count[top] == 1 {
			tops[i] = f.first[top]
			f.up[tops[i]] = none
		}
	}
	return tops
}

// nodes gives each thread as a list.
func (f *forest) nodes(tops []int32) []Node {
	nodes := make([]Node, 0, len(f.up))
	for _, top := range tops {
		f.walk(top, func(m int32) {
			node := Node{m, f.count[m]}
			if f.absent(m) {
				node.Message = Absent
			}
			nodes = append(nodes, node)
		})
	}
	return nodes
}

// walk visits the messages of a thread, each before its answers.
func (f *forest) walk(top int32, visit func(m int32)) {
	for m := top; ; {
		visit(m)
		if f.first[m] != none {
			m = f.first[m]
			continue
		}
		for m != top && f.next[m] == none {
			m = f.up[m]
		}
		if m == top {
			return
		}
		m = f.next[m]
	}
}

// latest is the largest date in a thread.
func (f *forest) latest(top int32) int64 {
	latest := int64(math.MinInt64)
	f.walk(top, func(m int32) {
		if !f.absent(m) {
			latest = max(latest, f.messages[m].Date)
		}
	})
	return latest
}
