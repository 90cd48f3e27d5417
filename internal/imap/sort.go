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

func parseSort(p *parser) Command {
	sort := &Sort{Search: Search{UID: p.uid, Key: Key{Op: KeyAnd}}}
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
