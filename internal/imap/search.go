package imap

import (
	"math"
	"slices"
	"strings"
	"time"
)

// KeyOp is a kind of search key (RFC 3501 §6.4.4).
type KeyOp uint8

// Search keys. NEW is \Recent and not \Seen, OLD is not \Recent; FROM, TO, CC, BCC and SUBJECT are KeyHeader.
const (
	KeyAnd     KeyOp = iota + 1 // all of Keys
	KeyOr                       // either of two Keys
	KeyNot                      // not the one of Keys
	KeyAll                      // every message
	KeySeq                      // Set, of message numbers
	KeyUID                      // Set, of UIDs
	KeyFlag                     // Flag is set; KEYWORD too
	KeyNotFlag                  // Flag is not set
	KeyHeader                   // field Field contains Text; any such field if Text is empty
	KeyBody                     // Text
	KeyText                     // Text, also in the header
	KeyBefore                   // Date, of the internal date
	KeyOn
	KeySince
	KeySentBefore // Date, of the Date field
	KeySentOn
	KeySentSince
	KeyLarger      // Num octets
	KeySmaller     // Num octets
	KeyYounger     // Num seconds since it arrived, or fewer (RFC 5032)
	KeyOlder       // Num seconds, or more
	KeyModSeq      // Num or larger (RFC 7162 §3.1.5)
	KeyEmailID     // Text (RFC 8474)
	KeyThreadID    // Text
	KeySavedBefore // Date, of the time of saving (RFC 8514)
	KeySavedOn
	KeySavedSince
)

// Key is a node of the tree of a search. Its depth and number of nodes are bounded.
type Key struct {
	Op    KeyOp
	Keys  []Key
	Set   Set
	Flag  Flag
	Field string
	Text  string // octets as they came
	Date  time.Time
	Num   uint64
}

// Any says whether something holds of the key or of one below it.
func (k *Key) Any(holds func(*Key) bool) bool {
	return holds(k) || slices.ContainsFunc(k.Keys, func(below Key) bool { return below.Any(holds) })
}

// searchKeys has the keys of fixed form: what follows depends on Op alone, except where flag or field are given.
var searchKeys = map[string]Key{
	"ALL":               {Op: KeyAll},
	"ANSWERED":          {Op: KeyFlag, Flag: FlagAnswered},
	"DELETED":           {Op: KeyFlag, Flag: FlagDeleted},
	"DRAFT":             {Op: KeyFlag, Flag: FlagDraft},
	"FLAGGED":           {Op: KeyFlag, Flag: FlagFlagged},
	"RECENT":            {Op: KeyFlag, Flag: FlagRecent},
	"SEEN":              {Op: KeyFlag, Flag: FlagSeen},
	"UNANSWERED":        {Op: KeyNotFlag, Flag: FlagAnswered},
	"UNDELETED":         {Op: KeyNotFlag, Flag: FlagDeleted},
	"UNDRAFT":           {Op: KeyNotFlag, Flag: FlagDraft},
	"UNFLAGGED":         {Op: KeyNotFlag, Flag: FlagFlagged},
	"OLD":               {Op: KeyNotFlag, Flag: FlagRecent},
	"UNSEEN":            {Op: KeyNotFlag, Flag: FlagSeen},
	"KEYWORD":           {Op: KeyFlag},
	"UNKEYWORD":         {Op: KeyNotFlag},
	"BCC":               {Op: KeyHeader, Field: "Bcc"},
	"CC":                {Op: KeyHeader, Field: "Cc"},
	"FROM":              {Op: KeyHeader, Field: "From"},
	"SUBJECT":           {Op: KeyHeader, Field: "Subject"},
	"TO":                {Op: KeyHeader, Field: "To"},
	"HEADER":            {Op: KeyHeader},
	"BODY":              {Op: KeyBody},
	"TEXT":              {Op: KeyText},
	"BEFORE":            {Op: KeyBefore},
	"ON":                {Op: KeyOn},
	"SINCE":             {Op: KeySince},
	"SENTBEFORE":        {Op: KeySentBefore},
	"SENTON":            {Op: KeySentOn},
	"SENTSINCE":         {Op: KeySentSince},
	"LARGER":            {Op: KeyLarger},
	"SMALLER":           {Op: KeySmaller},
	"UID":               {Op: KeyUID},
	"NOT":               {Op: KeyNot},
	"OR":                {Op: KeyOr},
	"MODSEQ":            {Op: KeyModSeq},
	"EMAILID":           {Op: KeyEmailID},
	"THREADID":          {Op: KeyThreadID},
	"SAVEDBEFORE":       {Op: KeySavedBefore},
	"SAVEDON":           {Op: KeySavedOn},
	"SAVEDSINCE":        {Op: KeySavedSince},
	"SAVEDATESUPPORTED": {Op: KeyAll},
	"YOUNGER":           {Op: KeyYounger},
	"OLDER":             {Op: KeyOlder},
	"UIDAFTER":          {Op: KeyUID}, // RFC 9738 §3.3
	"UIDBEFORE":         {Op: KeyUID},
}

var searchReturns = map[string]SearchReturn{
	"MIN": ReturnMin, "MAX": ReturnMax, "ALL": ReturnAll, "COUNT": ReturnCount, "SAVE": ReturnSave, "PARTIAL": ReturnPartial,
}

// Program is what the messages are to be like, also those of a SORT or THREAD, which are searches, too.
func (s *Search) Program() *Key { return &s.Key }

func parseSearch(p *parser) Command {
	search := &Search{UID: p.uid, Key: Key{Op: KeyAnd}}
	s := searchParser{parser: p}
	p.sp()
	name := s.name()
	if name == "RETURN" {
		p.sp()
		search.Extended = true
		p.searchReturn(search)
		p.sp()
		name = s.name()
	}
	if name == "CHARSET" {
		p.sp()
		search.Charset = strings.ToUpper(p.astring())
		p.sp()
		name = s.name()
	}
	search.Key.Keys = append(search.Key.Keys, s.key(name))
	for p.more() {
		search.Key.Keys = append(search.Key.Keys, s.key(s.name()))
	}
	return search
}

func (p *parser) searchReturn(search *Search) {
	p.list(func() {
		option := searchReturns[p.word()]
		if option == 0 {
			p.fail("unknown return option")
		}
		if search.Return |= option; option == ReturnPartial {
			p.sp()
			search.Partial = p.resultRange()
		}
	})
	switch {
	case search.Return == 0:
		search.Return = ReturnAll
	case search.Return&(ReturnAll|ReturnPartial) == ReturnAll|ReturnPartial:
		p.fail("ALL and PARTIAL exclude each other")
	}
}

// resultRange reads 1:100 or -1:-100.
func (p *parser) resultRange() ResultRange {
	sign := int64(1)
	if p.peek() == '-' {
		sign = -1
	}
	place := func() int64 {
		if sign < 0 {
			p.expect('-')
		}
		return int64(p.number32())
	}
	first := place()
	p.expect(':')
	last := place()
	return ResultRange{sign * min(first, last), sign * max(first, last)}
}

// searchParser counts the nodes of the tree and how deep it is.
type searchParser struct {
	*parser
	nodes, depth int
	texts        int // keys that read bodies
	saved        int // keys that are "$"
}

// name reads the name of a key; it is empty before a set and before a parenthesis.
func (s *searchParser) name() string {
	if c := s.peek(); c == '(' || c == '*' || c == '$' || isDigit(c) {
		return ""
	}
	return s.word()
}

// set reads a set. Few may be "$": each is as long as what was found.
func (s *searchParser) set() Set {
	set := s.parser.set()
	if set.Saved() {
		if s.saved++; s.saved > maxSaved {
			s.refuse(BAD, CodeLimit, "too many references to a saved result")
		}
	}
	return set
}

// next reads the key that is an argument of another.
func (s *searchParser) next() Key {
	s.sp()
	return s.key(s.name())
}

func (s *searchParser) key(name string) Key {
	if s.nodes++; s.nodes > maxItems {
		s.refuse(BAD, CodeLimit, "too many search keys")
	}
	if s.depth++; s.depth > maxDepth {
		s.refuse(BAD, CodeLimit, "search keys nested too deeply")
	}
	defer func() { s.depth-- }()
	switch {
	case s.err != nil:
		return Key{}
	case name == "NEW":
		return Key{Op: KeyAnd, Keys: []Key{{Op: KeyFlag, Flag: FlagRecent}, {Op: KeyNotFlag, Flag: FlagSeen}}}
	case name != "":
		return s.named(name)
	case s.peek() != '(':
		return Key{Op: KeySeq, Set: s.set()}
	}
	group := Key{Op: KeyAnd}
	s.list(func() { group.Keys = append(group.Keys, s.key(s.name())) })
	if len(group.Keys) == 0 {
		s.fail("no search keys")
	}
	return group
}

// named reads what follows the name of a key.
func (s *searchParser) named(name string) Key {
	k, ok := searchKeys[name]
	if !ok {
		s.fail("unknown search key")
	}
	switch k.Op {
	case KeyAll:
		return k
	case KeyFlag, KeyNotFlag:
		if k.Flag == "" {
			s.sp()
			k.Flag = Flag(s.atom())
		}
		return k
	case KeyNot:
		k.Keys = []Key{s.next()}
		return k
	case KeyOr:
		k.Keys = []Key{s.next(), s.next()}
		return k
	}
	s.sp()
	switch k.Op {
	case KeyUID:
		k.Set = s.uids(name)
	case KeyHeader:
		if k.Field == "" {
			k.Field = s.fieldName()
			s.sp()
		}
		k.Text = s.astring()
	case KeyBody, KeyText:
		if s.texts++; s.texts > maxTexts {
			s.refuse(BAD, CodeLimit, "too many texts to search bodies for")
		}
		k.Text = s.astring()
	case KeyLarger, KeySmaller:
		k.Num = s.number()
	case KeyYounger, KeyOlder:
		k.Num = uint64(s.number32())
	case KeyEmailID, KeyThreadID:
		k.Text = s.astring()
	case KeyModSeq:
		k.Num = s.modSeq()
	default:
		k.Date = s.date()
	}
	return k
}

// uids reads the UIDs of UID, UIDAFTER and UIDBEFORE.
func (s *searchParser) uids(name string) Set {
	if name == "UID" {
		return s.set()
	}
	n := s.number32()
	switch {
	case name == "UIDAFTER" && n < math.MaxUint32:
		return Set{{n + 1, math.MaxUint32}}
	case name == "UIDBEFORE" && n > 1:
		return Set{{1, n - 1}}
	}
	return nil
}

// modSeq reads [entry-name entry-type] modseq; the entry is of no consequence here (RFC 7162 §3.1.5).
func (s *searchParser) modSeq() uint64 {
	if s.peek() == '"' {
		s.quoted()
		s.sp()
		s.word()
		s.sp()
	}
	return s.number()
}
