package thread

// link finds what each message answers (RFC 5256 §3, THREAD=REFERENCES, steps 1 to 3). What a message says of itself goes
// before what others say of it, where the RFC has them in the order of the messages: that is another result only where they
// contradict each other so that following all would go round in circles.
func (f *forest) link() {
	l := linker{forest: f}
	l.identify()
	for m := range f.messages {
		l.linkMessage(int32(m))
	}
	for m := range f.messages {
		l.linkReferences(int32(m))
	}
	for m := range f.messages {
		f.up[m] = l.present(f.up[m])
	}
}

// linker makes trees of messages, also absent ones, in forest.up.
type linker struct {
	*forest
	nodes   map[uint64]int32 // by the hash of an identifier
	joined  []int32          // nodes of one tree lead to the same node
	parents []int32          // the last reference of each message, or none
}

// identify finds the message of each identifier; of several with the same the first. What is only referred to is absent.
func (l *linker) identify() {
	l.nodes = make(map[uint64]int32, 2*len(l.messages))
	for m := range l.messages {
		id, ok := l.messages[m].ID()
		if _, taken := l.nodes[id]; ok && !taken {
			l.nodes[id] = int32(m)
		}
	}
	l.joined = make([]int32, len(l.messages))
	for m := range l.joined {
		l.joined[m] = int32(m)
	}
}

// node is the message with an identifier.
func (l *linker) node(id uint64) int32 {
	n, ok := l.nodes[id]
	if !ok {
		n = l.addAbsent()
		l.nodes[id] = n
		l.joined = append(l.joined, n)
	}
	return n
}

// linkMessage makes a message answer its last reference: step 1 B.
func (l *linker) linkMessage(m int32) {
	if n := l.messages[m].References(); n > 0 {
		l.try(l.node(l.messages[m].Reference(n-1)), m)
	}
}

// linkReferences makes each reference of a message answer the one before: step 1 A. A message that is there and comes later
// undoes what was said of it before.
func (l *linker) linkReferences(m int32) {
	n := l.messages[m].References()
	if n < 2 {
		return
	}
	parent := l.node(l.messages[m].Reference(0))
	for i := 1; i < n; i++ {
		child := l.node(l.messages[m].Reference(i))
		if l.absent(child) || child < m {
			l.try(parent, child)
		}
		parent = child
	}
}

// try makes child answer parent unless it answers something, or would, by others, answer itself.
func (l *linker) try(parent, child int32) {
	if l.up[child] != none {
		return
	}
	a, b := l.tree(parent), l.tree(child)
	if a == b { // child is the top of its tree
		return
	}
	l.up[child], l.joined[b] = parent, a
}

// tree is the same for all nodes of a tree, and shortens the way to it.
func (l *linker) tree(n int32) int32 {
	for l.joined[n] != n {
		l.joined[n] = l.joined[l.joined[n]]
		n = l.joined[n]
	}
	return n
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
