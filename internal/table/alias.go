package table

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"strings"

	"postrider/internal/address"
	"postrider/internal/problem"
)

// MemberKind says what a member of an alias is.
type MemberKind int

// The kinds of aliases(5).
const (
	MemberAddress MemberKind = iota // user or user@domain
	MemberMailbox                   // \user: that user's mailbox, no alias
	MemberCommand                   // "|command": Text without the bar
	MemberFile                      // /file: Text
	MemberInclude                   // :include:/file: Text is the file
)

// Member is one target of an alias.
type Member struct {
	Kind    MemberKind
	Address address.Address // of MemberAddress and MemberMailbox
	Text    string          // of the others
}

// Alias is one line of an alias file.
type Alias struct {
	Name    string // case-folded
	Members []Member
	File    string
	Line    int
}

// OnlyAddresses says that every member is an address or a mailbox, so that the alias can be expanded by whoever
// accepts the mail.
func (a Alias) OnlyAddresses() bool {
	for _, m := range a.Members {
		if m.Kind != MemberAddress && m.Kind != MemberMailbox {
			return false
		}
	}
	return true
}

// Aliases are alias files (aliases(5)); where several have a name, the first counts.
type Aliases struct {
	files []*file[map[string]Alias]
}

// NewAliases reads alias files when they are first asked for.
func NewAliases(paths []string, o Options) *Aliases {
	a := &Aliases{}
	for _, path := range paths {
		a.files = append(a.files, newFile(path, o, parseAliases))
	}
	return a
}

// Lookup finds a name in any case. An error wraps ErrUnavailable.
func (a *Aliases) Lookup(name string) (Alias, bool, error) {
	name = strings.ToLower(name)
	for _, f := range a.files {
		s := f.get()
		if alias, ok := s.entries[name]; ok {
			return alias, true, nil
		}
		if s.err != nil {
			return Alias{}, false, s.err
		}
	}
	return Alias{}, false, nil
}

// All yields every alias that Lookup can find, in no order.
func (a *Aliases) All() iter.Seq[Alias] {
	return func(yield func(Alias) bool) {
		for i, f := range a.files {
			for alias := range maps.Values(f.get().entries) {
				if !a.hidden(alias.Name, i) && !yield(alias) {
					return
				}
			}
		}
	}
}

// hidden says that a file before the nth has the name.
func (a *Aliases) hidden(name string, n int) bool {
	for _, f := range a.files[:n] {
		if _, ok := f.get().entries[name]; ok {
			return true
		}
	}
	return false
}

// Load reads the files now and returns everything wrong with them.
func (a *Aliases) Load() problem.List {
	var problems problem.List
	for _, f := range a.files {
		problems = append(problems, f.load()...)
	}
	return problems
}

func parseAliases(path, text string) (map[string]Alias, problem.List) {
	r := &reading{path: path}
	aliases := make(map[string]Alias)
	for line, logical := range r.lines(text, true) {
		name, rest, err := aliasName(logical)
		if err != nil {
			r.fail(line, "%v", err)
			continue
		}
		if before, ok := aliases[name]; ok {
			r.problems.Warn(path, line, "%s is defined in line %d already; this line is ignored", name, before.Line)
			continue
		}
		if strings.Contains(name, "@") {
			r.problems.Warn(path, line, "%s: an alias has no domain; use the virtual table", name)
		}
		members, err := parseMembers(rest)
		if err != nil {
			r.fail(line, "%s: %v", name, err)
			continue
		}
		aliases[name] = Alias{name, members, path, line}
	}
	return aliases, r.problems
}

var errNoColon = errors.New("expected `name: member, ...`")

// aliasName cuts a logical line after the name and its colon.
func aliasName(line string) (name, rest string, err error) {
	if strings.HasPrefix(line, `"`) {
		if name, rest, err = cutQuoted(line); err != nil {
			return "", "", err
		}
		rest = strings.TrimLeft(rest, " \t")
	} else {
		i := strings.IndexByte(line, ':')
		if i < 0 {
			return "", "", errNoColon
		}
		name, rest = strings.TrimRight(line[:i], " \t"), line[i:]
		if strings.ContainsAny(name, " \t\"") {
			return "", "", fmt.Errorf("%q: quote a name that has blanks", name)
		}
	}
	if !strings.HasPrefix(rest, ":") {
		return "", "", errNoColon
	}
	if name == "" {
		return "", "", errors.New("no name")
	}
	return strings.ToLower(name), rest[1:], nil
}

// parseMembers reads the right side of an alias.
func parseMembers(text string) ([]Member, error) {
	var members []Member
	for text != "" {
		var item string
		var err error
		if item, text, err = cutMember(text); err != nil {
			return nil, err
		}
		if item == "" {
			continue // as after a last comma
		}
		member, err := parseMember(item)
		if err != nil {
			return nil, err
		}
		if members = append(members, member); len(members) > maxMembers {
			return nil, fmt.Errorf("more than %d members", maxMembers)
		}
	}
	if members == nil {
		return nil, errors.New("no members")
	}
	return members, nil
}

// cutMember cuts text at the first comma that is not within quotes.
func cutMember(text string) (item, rest string, err error) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return strings.TrimSpace(text[:i]), text[i+1:], nil
		}
	}
	if quoted {
		return "", "", errUnterminated
	}
	return strings.TrimSpace(text), "", nil
}

// parseMember reads one member: what it is shows in its first characters, within quotes or without.
func parseMember(item string) (Member, error) {
	plain := item
	if strings.HasPrefix(item, `"`) {
		inner, rest, err := cutQuoted(item)
		if err != nil {
			return Member{}, err
		}
		if rest == "" {
			plain = inner
		}
	}
	switch {
	case plain == "":
		return Member{}, errors.New("empty member")
	case plain[0] == '|':
		return command(strings.TrimSpace(plain[1:]))
	case plain[0] == '/':
		return Member{Kind: MemberFile, Text: plain}, nil
	case plain[0] == ':':
		return include(plain)
	case plain[0] == '\\':
		return addressMember(MemberMailbox, plain[1:])
	}
	if i := strings.IndexByte(item, '<'); i >= 0 && strings.HasSuffix(item, ">") {
		item = item[i+1 : len(item)-1] // Full Name <address>
	}
	return addressMember(MemberAddress, item)
}

func addressMember(kind MemberKind, text string) (Member, error) {
	a, err := address.Parse(text)
	if err == nil && a.Local == "" {
		err = errors.New("empty local part")
	}
	return Member{Kind: kind, Address: a}, err
}

// command accepts the spelling |"command arguments" beside "|command arguments".
func command(text string) (Member, error) {
	if strings.HasPrefix(text, `"`) {
		if inner, rest, err := cutQuoted(text); err == nil && rest == "" {
			text = inner
		}
	}
	if text == "" {
		return Member{}, errors.New("no command after |")
	}
	return Member{Kind: MemberCommand, Text: text}, nil
}

func include(text string) (Member, error) {
	path, ok := strings.CutPrefix(text, ":include:")
	if !ok {
		return Member{}, fmt.Errorf("%.40q is neither an address nor :include:/file", text)
	}
	if path = strings.TrimSpace(path); !strings.HasPrefix(path, "/") {
		return Member{}, fmt.Errorf(":include: needs an absolute path, not %.40q", path)
	}
	return Member{Kind: MemberInclude, Text: path}, nil
}

var errUnterminated = errors.New("unterminated quote")

// cutQuoted reads a quoted string at the start of text, and what follows it.
func cutQuoted(text string) (inner, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			return b.String(), text[i+1:], nil
		case '\\':
			if i++; i == len(text) {
				return "", "", errUnterminated
			}
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errUnterminated
}
