package imap

// ThreadAlgorithm is how THREAD finds threads.
type ThreadAlgorithm uint8

// Thread algorithms: the first two of RFC 5256 §3, then that of draft-ietf-morg-inthread.
const (
	ThreadOrderedSubject ThreadAlgorithm = iota + 1
	ThreadReferences
	ThreadRefs
)

var threadAlgorithms = map[string]ThreadAlgorithm{
	"ORDEREDSUBJECT": ThreadOrderedSubject, "REFERENCES": ThreadReferences, "REFS": ThreadRefs,
}

// Thread is THREAD or UID THREAD (RFC 5256).
type Thread struct {
	Search
	Algorithm ThreadAlgorithm
}

func parseThread(p *parser) Command {
	thread := &Thread{Search: Search{UID: p.uid, Key: Key{Op: KeyAnd}}}
	p.sp()
	if thread.Algorithm = threadAlgorithms[p.word()]; thread.Algorithm == 0 {
		p.fail("unknown thread algorithm")
	}
	p.searchProgram(&thread.Search)
	return thread
}

// Thread writes threads. Messages come before those that answer them, each as its number, 0 for one that is not there, and
// how many answer it.
func (w *Writer) Thread(messages func(yield func(number uint32, answers int) bool)) {
	w.add(append(w.buf, "* THREAD"...))
	var forks []int // the answers still to come, of messages with several
	lone := false   // the next message is the only answer to the one before
	first := true
	for number, answers := range messages {
		b := w.buf
		switch {
		case lone:
			b = append(b, ' ')
		case first:
			b = append(b, " ("...)
		default:
			b = append(b, '(')
		}
		first = false
		if number != 0 {
			b = appendUint(b, uint64(number))
		}
		switch lone = answers == 1; {
		case answers == 0:
			b, forks = closeThreads(append(b, ')'), forks)
		case answers > 1:
			forks = append(forks, answers)
			if number != 0 {
				b = append(b, ' ')
			}
		}
		w.add(b)
	}
	w.line(w.buf)
}

// closeThreads closes what ends with the answer that was written last.
func closeThreads(b []byte, forks []int) ([]byte, []int) {
	for last := len(forks) - 1; last >= 0; last-- {
		if forks[last]--; forks[last] > 0 {
			break
		}
		b, forks = append(b, ')'), forks[:last]
	}
	return b, forks
}
