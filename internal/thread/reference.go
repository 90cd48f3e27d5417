package thread

// link finds what each message answers (RFC 5256 §3, THREAD=REFERENCES, steps 1 to 3).
func (f *forest) link() {
	l := linker{forest: f, answers: make([]int32, len(f.messages))}
	l.identify()
	for m := range f.messages {
		l.linkMessage(int32(m))
	}
	for m := range f.messages {
		f.up[m] = l.present(f.up[m])
	}
}

// linker makes trees of messages, also absent ones, in forest.up.
type linker struct {
	*forest
	nodes   map[uint64]int32 // by the hash of an identifier
	answers []int32          // how many nodes are below a node
	steps   int              // that may still be taken to find out what goes round in circles
}

// stepsEach is how many steps there are for each message. Threads need few, or none: those of who makes up references to keep
// the server busy end there.
const stepsEach = 200

// identify finds the message of each identifier; of several with the same the first. What is only referred to is absent.
func (l *linker) identify() {
	l.nodes = make(map[uint64]int32, 2*len(l.messages))
	for m := range l.messages {
		id, ok := l.messages[m].ID()
		if _, taken := l.nodes[id]; ok && !taken {
			l.nodes[id] = int32(m)
		}
	}
	l.steps = stepsEach * len(l.messages)
}

// What is kept of messages that are only referred to: of real mail far less, and of made-up references no more.
const (
	absentEach = 4
	absentMore = 100_000
)

// node is the message with an identifier; none if it is absent and there are too many of those.
func (l *linker) node(id uint64) int32 {
	n, ok := l.nodes[id]
	if !ok && len(l.up) >= (1+absentEach)*len(l.messages)+absentMore {
		return none
	}
	if !ok {
		n = l.addAbsent()
		l.nodes[id] = n
		l.answers = append(l.answers, 0)
	}
	return n
}

// linkMessage makes each reference of a message answer the one before, unless it answers another, and the message its last
// reference, whatever was said of it before.
func (l *linker) linkMessage(m int32) {
	last := int32(none)
	for i := range l.messages[m].References() {
		n := l.node(l.messages[m].Reference(i))
		if n == none {
			continue
		}
		if last != none && l.up[n] == none {
			l.add(last, n)
		}
		last = n
	}
	if before := l.up[m]; before != none && before != last {
		l.up[m] = none
		l.answers[before]--
	}
	if last != none && l.up[m] == none {
		l.add(last, m)
	}
}

// add makes child answer parent unless it would, by others, answer itself.
func (l *linker) add(parent, child int32) {
	if l.answers[child] > 0 && l.below(parent, child) || parent == child {
		return
	}
	l.up[child] = parent
	l.answers[parent]++
}

// below says whether n is top or answers it by others, also if there are no more steps to find out.
func (l *linker) below(n, top int32) bool {
	for ; n != none && n != top && l.steps > 0; l.steps-- {
		n = l.up[n]
	}
	return n != none
}

// present is the nearest message at n or above that is there, or the top of the tree, or none. It shortens the way: step 3.
func (l *linker) present(n int32) int32 {
	if n == none {
		return none
	}
	top := n
	for l.absent(top) && l.up[top] != none {
		top = l.up[top]
	}
	for n != top {
		n, l.up[n] = l.up[n], top
	}
	return top
}
