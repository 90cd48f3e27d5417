package mailstore

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// assign gives UIDs to the files that have none, in the order of their arrival, and writes them down first.
func (f *folder) assign(lock *folderLock, d *difference) error {
	sortByArrival(d.loose)
	_, err := f.record(lock, d.loose, func() []record {
		var old []*Message
		if f.state != nil {
			old = f.state.messages
		}
		return recordsOf(d.applied(old))
	})
	return err
}

func recordsOf(messages []*Message) []record {
	list := make([]record, len(messages))
	for i, m := range messages {
		list[i] = record{uid: m.UID, keys: m.keys, base: m.Base()}
	}
	return list
}

// rewriteDue says that the list is better written anew: it is not ours to append to, or half of it (and more than 100) are messages that went.
func (f *folder) rewriteDue() bool {
	l := f.list
	if l.damaged || l.version != 3 {
		return true
	}
	present := len(f.fresh)
	if f.state != nil {
		present += len(f.state.messages)
	}
	return l.lines-present > l.lines/2+100
}

// record gives UIDs to base names and makes that durable. kept are the lines that stay if the list is written anew.
func (f *folder) record(lock *folderLock, bases []string, kept func() []record) ([]record, error) {
	due := f.rewriteDue()
	if len(bases) == 0 && !due {
		return nil, nil
	}
	if err := lock.mayWrite(); err != nil {
		return nil, err
	}
	if uint64(f.list.next)+uint64(len(bases)) > maxUID {
		return nil, fmt.Errorf("assign UIDs: there are none left under UIDVALIDITY %d", f.list.validity)
	}
	records := make([]record, len(bases))
	for i, base := range bases {
		records[i] = record{uid: f.list.next + uint32(i), keys: f.newKeys[base], base: base}
	}
	if f.list.appendable() && !due {
		if err := f.list.append(f.path(uidlistFile), records); err != nil {
			return nil, fmt.Errorf("append to uidlist: %w: %w", ErrUnwritable, diskError(err))
		}
		for _, base := range bases {
			delete(f.newKeys, base)
		}
		f.fresh = append(f.fresh, records...)
		return records, nil
	}
	list := *f.list
	list.uidlist = f.list.with(records)
	lines := append(kept(), records...)
	err := list.rewrite(f.dir, lines, lock.dot)
	if err == nil {
		f.store.modSeqs.reserve(f.nextModSeq(0)) // it shares the journal's commit
		err = syncDir(f.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("write uidlist: %w: %w", ErrUnwritable, diskError(err))
	}
	f.list, f.fresh, f.newKeys = &list, append(f.fresh, records...), nil
	if f.whole != nil {
		f.whole = lines
	}
	return records, nil
}

// with is the list's head after more lines.
func (l *uidlist) with(more []record) *uidlist {
	c := *l
	for _, r := range more {
		c.next = max(c.next, r.uid+1)
	}
	return &c
}

// sortByArrival orders names as they were made: they begin with seconds. What they begin with is taken out of each once, because comparing
// that settles nearly all.
func sortByArrival(bases []string) {
	type name struct {
		seconds uint64
		base    string
	}
	names := make([]name, len(bases))
	for i, base := range bases {
		seconds, err := strconv.ParseUint(base[:digits(base)], 10, 64)
		if err != nil {
			seconds = math.MaxUint64
		}
		names[i] = name{seconds, base}
	}
	slices.SortFunc(names, func(a, b name) int {
		if a.seconds != b.seconds {
			return cmp.Compare(a.seconds, b.seconds)
		}
		return byArrival(a.base, b.base)
	})
	for i := range names {
		bases[i] = names[i].base
	}
}

// byArrival orders names of one second: numbers that grow follow, M and the microseconds, which some write without zeros in front, Q or
// an underscore and a count. So runs of digits are compared as numbers.
func byArrival(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		i, j := digits(x), digits(y)
		if i > 0 && j > 0 {
			n, m := strings.TrimLeft(x[:i], "0"), strings.TrimLeft(y[:j], "0")
			if c := cmp.Or(cmp.Compare(len(n), len(m)), cmp.Compare(n, m)); c != 0 {
				return c
			}
			x, y = x[i:], y[j:]
			continue
		}
		if x[0] != y[0] {
			return cmp.Compare(x[0], y[0])
		}
		x, y = x[1:], y[1:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(a, b))
}

// digits is how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}
