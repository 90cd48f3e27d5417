package imap

import "strings"

// Flag is a system flag, in canonical case, or a keyword as the client spells it (RFC 3501 §2.3.2).
type Flag string

// The system flags.
const (
	FlagSeen     Flag = `\Seen`
	FlagAnswered Flag = `\Answered`
	FlagFlagged  Flag = `\Flagged`
	FlagDeleted  Flag = `\Deleted`
	FlagDraft    Flag = `\Draft`
	FlagRecent   Flag = `\Recent`
)

var systemFlags = [...]Flag{FlagSeen, FlagAnswered, FlagFlagged, FlagDeleted, FlagDraft, FlagRecent}

// canonical returns a system flag as the RFC spells it, or "".
func canonical(flag Flag) Flag {
	for _, f := range systemFlags {
		if strings.EqualFold(string(f), string(flag)) {
			return f
		}
	}
	return ""
}

// flags reads a list of flags.
func (p *parser) flags() []Flag {
	var flags []Flag
	p.list(func() { flags = p.addFlag(flags) })
	return flags
}

// addFlag reads a flag that a client may set: \Recent is not.
func (p *parser) addFlag(flags []Flag) []Flag {
	system := p.take('\\')
	flag := Flag(p.atom())
	if p.err != nil {
		return flags
	}
	if !system {
		return append(flags, flag)
	}
	if flag = canonical(`\` + flag); flag == "" || flag == FlagRecent {
		p.fail("no flag to be set")
	}
	return append(flags, flag)
}
