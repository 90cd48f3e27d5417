package search

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/text/encoding"

	"postrider/internal/imap"
)

// cost is what it takes to decide a key. The cheapest of several is tried first.
type cost uint8

const (
	costState  cost = iota // what the session knows
	costInfo               // perhaps a system call
	costSent               // perhaps the file's header is read
	costHeader             // it is looked at
	costBody               // the file is read
)

// key is a node of the tree, ready to be tried.
type key struct {
	op     imap.KeyOp
	cost   cost
	keys   []key
	set    imap.Set // resolved
	flag   imap.Flag
	field  string
	needle *needle // nil: the field is there
	day    int64
	time   time.Time // of YOUNGER and OLDER
	num    uint64
	text   string // an identifier
}

type compiler struct {
	charset          encoding.Encoding // of the texts; nil is UTF-8
	lastSeq, lastUID uint32
	now              time.Time
}

func (c *compiler) compile(in *imap.Key) key {
	k := key{op: in.Op, flag: in.Flag, field: in.Field, num: in.Num, text: in.Text}
	switch in.Op {
	case imap.KeyAnd, imap.KeyOr, imap.KeyNot:
		for i := range in.Keys {
			k.keys = append(k.keys, c.compile(&in.Keys[i]))
			k.cost = max(k.cost, k.keys[i].cost)
		}
		slices.SortStableFunc(k.keys, func(a, b key) int { return int(a.cost) - int(b.cost) })
	case imap.KeySeq:
		k.set = in.Set.Resolve(c.lastSeq)
	case imap.KeyUID:
		k.set = in.Set.Resolve(c.lastUID)
	case imap.KeyBefore, imap.KeyOn, imap.KeySince:
		k.cost, k.day = costInfo, day(in.Date)
	case imap.KeySavedBefore, imap.KeySavedOn, imap.KeySavedSince:
		k.cost, k.day = costInfo, day(in.Date)
	case imap.KeyThreadID:
		k.cost = costHeader
	case imap.KeySentBefore, imap.KeySentOn, imap.KeySentSince:
		k.cost, k.day = costSent, day(in.Date)
	case imap.KeyLarger, imap.KeySmaller:
		k.cost = costInfo
	case imap.KeyYounger, imap.KeyOlder:
		k.cost, k.time = costInfo, c.now.Add(-time.Duration(in.Num)*time.Second)
	case imap.KeyHeader:
		k.cost, k.needle = costHeader, c.needle(in.Text)
	case imap.KeyBody, imap.KeyText:
		if k.cost, k.needle = costBody, c.needle(in.Text); k.needle == nil {
			return key{op: imap.KeyAll}
		}
	}
	return k
}

// needle prepares a text. It is nil for one without characters, which is in every text.
func (c *compiler) needle(text string) *needle {
	if c.charset != nil {
		if decoded, err := c.charset.NewDecoder().String(text); err == nil {
			text = decoded
		}
	}
	if text == "" {
		return nil
	}
	return newNeedle(strings.ReplaceAll(text, "\r\n", "\n"))
}

// all says that the key is true for every message that candidates leaves.
func (k *key) all() bool {
	if k.op == imap.KeyAnd {
		return !slices.ContainsFunc(k.keys, func(k key) bool { return !k.all() })
	}
	return k.op == imap.KeyAll || k.op == imap.KeySeq
}

// candidates narrows a set to the numbers that the key allows.
func (k *key) candidates(set imap.Set) imap.Set {
	switch k.op {
	case imap.KeySeq:
		return intersect(set, k.set)
	case imap.KeyAnd:
		for i := range k.keys {
			set = k.keys[i].candidates(set)
		}
	}
	return set
}

// intersect gives what is in both of two resolved sets.
func intersect(a, b imap.Set) imap.Set {
	var both imap.Set
	for len(a) > 0 && len(b) > 0 {
		r := imap.Range{Start: max(a[0].Start, b[0].Start), Stop: min(a[0].Stop, b[0].Stop)}
		if r.Start <= r.Stop {
			both = append(both, r)
		}
		if a[0].Stop < b[0].Stop {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return both
}
