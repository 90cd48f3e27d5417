package mailstore

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// assign gives UIDs to the files that have none, in the order of their arrival, and writes them down first.
func (f *folder) assign(lock *folderLock) error {
	if err := f.fromCourier(); err != nil {
		return err
	}
	var bases []string
	for _, names := range []map[string]string{f.new, f.cur} {
		for base := range names {
			if f.uid(base) == 0 {
				bases = append(bases, base)
			}
		}
	}
	slices.SortFunc(bases, byArrival)
	return f.record(lock, bases)
}

// record gives UIDs to base names and makes that durable.
func (f *folder) record(lock *folderLock, bases []string) error {
	if len(bases) == 0 && !f.list.damaged && f.list.version == 3 && len(f.gone) <= len(f.list.records)/2+100 {
		return nil
	}
	if err := lock.mayWrite(); err != nil {
		return err
	}
	if uint64(f.list.next)+uint64(len(bases)) > maxUID {
		return fmt.Errorf("assign UIDs: there are none left under UIDVALIDITY %d", f.list.validity)
	}
	records := make([]record, len(bases))
	for i, base := range bases {
		records[i] = record{uid: f.list.next + uint32(i), keys: f.newKeys[base], base: base}
	}
	if f.list.appendable() && len(f.gone) <= len(f.list.records)/2+100 {
		if err := f.list.append(f.path(uidlistFile), records); err != nil {
			return fmt.Errorf("append to uidlist: %w: %w", ErrUnwritable, diskError(err))
		}
		for _, base := range bases {
			delete(f.newKeys, base)
		}
		return nil
	}
	list := &uidfile{uidlist: f.list.with(records, func(r record) bool { return f.counts(r) })}
	if err := list.rewrite(f.dir, lock.dot); err != nil {
		return fmt.Errorf("write uidlist: %w: %w", ErrUnwritable, diskError(err))
	}
	f.list, f.gone, f.newKeys = list, make(map[uint32]bool), nil
	return nil
}

// with is a copy of the list with the records for which keep says yes and with more; the UIDs of the others stay used.
func (l *uidlist) with(more []record, keep func(record) bool) *uidlist {
	c := *l
	c.records = make([]record, 0, len(l.records)+len(more))
	c.uids = make(map[string]uint32, cap(c.records))
	for _, r := range l.records {
		if keep(r) {
			c.add(r)
		}
	}
	for _, r := range more {
		c.add(r)
	}
	return &c
}

// byArrival orders names as they were made: they begin with seconds, and numbers that grow follow: M and the microseconds, which some
// write without zeros in front, Q or an underscore and a count. So runs of digits are compared as numbers.
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
