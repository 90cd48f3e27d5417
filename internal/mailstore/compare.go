package mailstore

import "slices"

// baseSums tell which few of a list's messages may have a base name, without a look at each.
type baseSums []uint32

// baseSum is FNV-1a.
func baseSum(base string) uint32 {
	h := uint32(2166136261)
	for i := range len(base) {
		h = (h ^ uint32(base[i])) * 16777619
	}
	return h
}

func sumBases(list []*Message) baseSums {
	sums := make(baseSums, len(list))
	for i, m := range list {
		sums[i] = baseSum(m.Base())
	}
	return sums
}

// after are the sums of the state that a difference makes; nil where they are not to be had cheaply.
func (s baseSums) after(old *state, d *difference, next *state) baseSums {
	if s == nil || old == nil {
		return nil
	}
	if len(d.gone) > 0 {
		kept, at := make(baseSums, 0, len(s)+len(d.added)), 0
		for _, uid := range d.gone {
			if i, ok := position(old.messages, uid); ok {
				kept, at = append(kept, s[at:i]...), i+1
			}
		}
		s = append(kept, s[at:]...)
	}
	if n := len(s); n > 0 && len(d.added) > 0 && (n >= len(next.messages) || next.messages[n] != d.added[0]) {
		return nil // they are not the last
	}
	for _, m := range d.added {
		s = append(s, baseSum(m.Base()))
	}
	if len(s) != len(next.messages) {
		return nil
	}
	return s
}

// owners finds whose a base name is: of few names by looking at each message, of many by a map.
type owners struct {
	messages []*Message
	sums     baseSums // of the messages
	fresh    []record
	dropped  []bool // messages that are no longer in the uidlist
	byBase   map[string]int
	asked    int
}

// fewNames is how many names are looked for one by one.
const fewNames = 32

// find returns the index of a message, or, above those, of a line; -1 = nobody's. Of two with one name the later counts.
func (o *owners) find(base string) int {
	if o.asked++; o.byBase == nil && o.asked > fewNames {
		o.index()
	}
	if o.byBase != nil {
		if i, ok := o.byBase[base]; ok {
			return i
		}
		return -1
	}
	for i := len(o.fresh) - 1; i >= 0; i-- {
		if o.fresh[i].base == base {
			return len(o.messages) + i
		}
	}
	sum := baseSum(base)
	for i, s := range slices.Backward(o.sums) {
		if s == sum && o.messages[i].hasBase(base) && !o.isDropped(i) {
			return i
		}
	}
	return -1
}

func (o *owners) index() {
	o.byBase = make(map[string]int, len(o.messages)+len(o.fresh))
	for i, m := range o.messages {
		if !o.isDropped(i) {
			o.byBase[m.Base()] = i
		}
	}
	for i, r := range o.fresh {
		o.byBase[r.base] = len(o.messages) + i
	}
}

func (o *owners) isDropped(i int) bool { return o.dropped != nil && o.dropped[i] }

// hasBase says whether the message's file has this base name.
func (m *Message) hasBase(base string) bool {
	n := len(base)
	return len(m.name) >= n && m.name[:n] == base && (len(m.name) == n || m.name[n] == ':')
}

// comparison is what a difference is made of.
type comparison struct {
	folder *folder
	owners
	seen []bool // by index of the owners: the file is there
	next []*Message
	diff difference
}

// compare says how directories and uidlist, as far as they were read, differ from the state.
func (f *folder) compare() difference {
	c := comparison{folder: f, owners: owners{fresh: f.fresh}}
	if f.state != nil {
		if f.sums == nil {
			f.sums = sumBases(f.state.messages)
		}
		c.messages, c.sums = f.state.messages, f.sums
	}
	c.seen, c.next = make([]bool, len(c.messages)+len(c.fresh)), make([]*Message, len(c.messages)+len(c.fresh))
	c.dropLost()
	for base, name := range f.cur.names {
		c.place(base, name, false)
	}
	for base, name := range f.new.names {
		c.place(base, name, true)
	}
	c.gather()
	return c.diff
}

// dropLost finds messages whose lines are no longer in the list, or belong to another file, and takes what the others' say.
func (c *comparison) dropLost() {
	f := c.folder
	if f.whole != nil {
		lines := f.whole
		for i, m := range c.messages {
			for len(lines) > 0 && lines[0].uid < m.UID {
				lines = lines[1:]
			}
			if len(lines) == 0 || lines[0].uid != m.UID || !m.hasBase(lines[0].base) {
				c.drop(i)
			} else if lines[0].keys != m.keys {
				c.next[i] = m.as(new(Message), m.name, m.inNew, m.Flags, m.Keywords)
				c.next[i].keys = lines[0].keys
			}
		}
	}
	c.dropTwice()
}

// dropTwice finds messages whose files have got another UID.
func (c *comparison) dropTwice() {
	if len(c.fresh) <= fewNames {
		older := owners{messages: c.messages, sums: c.sums, dropped: c.dropped}
		for _, r := range c.fresh {
			if i := older.find(r.base); i >= 0 {
				c.drop(i)
			}
		}
		return
	}
	fresh := make(map[string]bool, len(c.fresh))
	for _, r := range c.fresh {
		fresh[r.base] = true
	}
	for i, m := range c.messages {
		if fresh[m.Base()] {
			c.drop(i)
		}
	}
}

func (c *comparison) drop(i int) {
	c.diff.relist = c.diff.relist || !c.folder.cur.whole || !c.folder.new.whole
	if c.dropped == nil {
		c.dropped = make([]bool, len(c.messages))
	}
	c.dropped[i] = true
}

// place notes a file that is there.
func (c *comparison) place(base, name string, inNew bool) {
	f, i := c.folder, c.find(base)
	if i < 0 {
		c.diff.loose = append(c.diff.loose, base)
		return
	}
	if c.seen[i] || inNew && i < len(c.messages) && !c.messages[i].inNew && !f.cur.whole {
		c.diff.both = true
		return
	}
	c.seen[i] = true
	if i >= len(c.messages) {
		r := c.fresh[i-len(c.messages)]
		c.next[i] = newMessage(r.uid, name, r.keys, inNew)
		return
	}
	m := c.messages[i]
	if c.next[i] != nil {
		m = c.next[i]
	}
	if m.name != name || m.inNew != inNew {
		flags, keywords := parseInfo(name)
		keys := m.keys
		c.next[i] = m.as(new(Message), name, inNew, flags, keywords)
		c.next[i].keys = keys
	}
}

// gather makes lists of what was found.
func (c *comparison) gather() {
	f, d := c.folder, &c.diff
	inNew := f.new.whole && f.state != nil && f.state.counts.New > 0
	for i, m := range c.messages {
		lost := c.isDropped(i)
		if !lost && !c.seen[i] && (f.cur.whole && !m.inNew || inNew && m.inNew) {
			lost = true
			d.missing++
		}
		if lost {
			d.gone = append(d.gone, m.UID)
		} else if c.next[i] != nil {
			d.put = append(d.put, c.next[i])
		}
	}
	for k := range c.fresh {
		i := len(c.messages) + k
		if c.seen[i] {
			d.added = append(d.added, c.next[i])
		} else if c.find(c.fresh[k].base) == i {
			d.missing++
		}
	}
}
