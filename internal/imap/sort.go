package imap

import "strings"

// SortKey is by what SORT compares messages (RFC 5256 §3, RFC 5957 §3).
type SortKey uint8

// Sort keys.
const (
	SortArrival SortKey = iota + 1
	SortCc
	SortDate
	SortDisplayFrom
	SortDisplayTo
	SortFrom
	SortSize
	SortSubject
	SortTo
)

// SortCriterion is a key, ascending unless Reverse is set.
type SortCriterion struct {
	Key     SortKey
	Reverse bool
}

var sortKeys = map[string]SortKey{
	"ARRIVAL": SortArrival, "CC": SortCc, "DATE": SortDate, "DISPLAYFROM": SortDisplayFrom, "DISPLAYTO": SortDisplayTo,
	"FROM": SortFrom, "SIZE": SortSize, "SUBJECT": SortSubject, "TO": SortTo,
}

// Sort is SORT or UID SORT (RFC 5256), with RETURN that of RFC 5267.
type Sort struct {
	Search
	By []SortCriterion // at least one, each key at most once
}

func parseSort(p *parser, uid bool) Command {
	sort := &Sort{Search: Search{UID: uid, Key: Key{Op: KeyAnd}}}
	p.sp()
	if p.peek() != '(' {
		if p.word() != "RETURN" {
			p.fail("expected sort criteria")
		}
		p.sp()
		sort.Extended = true
		p.searchReturn(&sort.Search)
		p.sp()
	}
	sort.By = p.sortCriteria()
	p.searchProgram(&sort.Search)
	return sort
}

// sortCriteria reads the list; of a key that comes again the first counts, as in Dovecot.
func (p *parser) sortCriteria() (by []SortCriterion) {
	var seen [SortTo + 1]bool
	reverse := false
	p.list(func() {
		name := p.word()
		if name == "REVERSE" && !reverse {
			reverse = true
			return
		}
		key := sortKeys[name]
		if key == 0 {
			p.fail("unknown sort criterion")
		}
		if !seen[key] {
			seen[key] = true
			by = append(by, SortCriterion{key, reverse})
		}
		reverse = false
	})
	if reverse || len(by) == 0 {
		p.fail("expected sort criterion")
	}
	return by
}

// searchProgram reads the charset, which is not optional here, and the search keys.
func (p *parser) searchProgram(search *Search) {
	p.sp()
	search.Charset = strings.ToUpper(p.astring())
	s := searchParser{parser: p}
	for ok := p.more() || p.missing(); ok; ok = p.more() {
		search.Key.Keys = append(search.Key.Keys, s.key(s.name()))
	}
}

// missing refuses a command that ends too soon.
func (p *parser) missing() bool {
	p.fail("missing argument")
	return false
}

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

func parseThread(p *parser, uid bool) Command {
	thread := &Thread{Search: Search{UID: uid, Key: Key{Op: KeyAnd}}}
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
