package sendmail

import (
	"fmt"
	"path/filepath"
	"strings"

	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/mailq"
)

// mode is what the program is asked to do.
type mode int

const (
	modeMail    mode = iota // -bm: send what comes on standard input
	modeSMTP                // -bs: speak SMTP on standard input and output
	modeVerify              // -bv: ask about recipients
	modeQueue               // -bp
	modeAliases             // -bi, -I, newaliases
	modeFlush               // -q, runq
	modeNothing             // accepted without recipients, has no meaning here
)

// options are the command line.
type options struct {
	mode       mode
	config     string
	headers    bool        // -t: recipients from the header
	ignoreDots bool        // -i: a line with a single dot does not end the message
	sender     *string     // -f, -r; nil = the login name
	fullName   string      // -F
	body       string      // -B: "", "7bit" or "8bitmime"
	notify     []string    // -N, lower case
	ret        string      // -R: "", "full" or "hdrs"
	envID      string      // -V
	aliases    string      // -oA: an aliases file instead of those configured
	flushID    string      // -qI: only this message
	flushOnly  []selection // -qI, -qR, -qS: only messages like that
	interval   bool        // -q30m: a daemon is asked for, which runs already
	verbose    bool        // -v
	args       []string    // what follows the options
	warnings   []string
}

// selection is of messages that have a part in their id (I), sender (S) or a recipient (R); with others, that have not.
type selection struct {
	letter byte
	others bool
	part   string
}

// The option letters by what follows them. Those without a case in set are swallowed: they steer parts of sendmail that
// have no counterpart here.
const (
	flags    = "GIUcimntvx"         // nothing
	optional = "JQdq"               // perhaps an argument, joined only
	required = "ABCDFLNORVXbefhopr" // an argument, joined or the next word
)

// parse reads the command line as sendmail does: options may be joined (-ti) and their arguments too (-fuser); the first
// word that is no option, or --, ends them. The program's name decides what it does by default.
func parse(name string, words []string) (*options, error) {
	o := &options{config: config.DefaultPath}
	switch programName(name) {
	case "newaliases":
		o.mode = modeAliases
	case "runq":
		o.mode = modeFlush
	}
	for len(words) > 0 {
		word := words[0]
		if len(word) < 2 || word[0] != '-' {
			break
		}
		words = words[1:]
		if word == "--" {
			break
		}
		var err error
		if words, err = o.cluster(word[1:], words); err != nil {
			return nil, err
		}
	}
	o.args = words
	if o.mode == modeMail && o.interval && len(o.args) == 0 && !o.headers {
		o.mode = modeNothing
	}
	return o, o.check()
}

// programName is what a program was called as, without a directory or a suffix that tells mail systems apart.
func programName(path string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	return name
}

// cluster takes the letters of one word, and the next word if the last letter wants it.
func (o *options) cluster(letters string, words []string) ([]string, error) {
	for letters != "" {
		letter := letters[0]
		letters = letters[1:]
		switch {
		case strings.IndexByte(flags, letter) >= 0:
			if err := o.set(letter, ""); err != nil {
				return nil, err
			}
			continue
		case strings.IndexByte(optional, letter) >= 0:
			return words, o.set(letter, letters)
		case strings.IndexByte(required, letter) < 0:
			return nil, fmt.Errorf("unknown option -%c", letter)
		}
		argument := letters
		if argument == "" {
			if len(words) == 0 {
				return nil, fmt.Errorf("option -%c needs an argument", letter)
			}
			argument, words = words[0], words[1:]
		}
		if letter == 'o' && eximPair[argument] && len(words) > 0 {
			words = words[1:]
		}
		return words, o.set(letter, argument)
	}
	return words, nil
}

// eximPair are -o options whose value is always the next word, as Exim's callers write them.
var eximPair = map[string]bool{"Ma": true, "Maa": true, "Mai": true, "Mas": true, "Mi": true, "Mm": true, "Mr": true, "Ms": true, "Mt": true, "Mvr": true}

func (o *options) set(letter byte, argument string) error {
	switch letter {
	case 'C':
		o.config = argument
	case 'F':
		o.fullName = argument
	case 'f', 'r':
		o.sender = &argument
	case 'i':
		o.ignoreDots = true
	case 't':
		o.headers = true
	case 'v':
		o.verbose = true
	case 'I':
		o.mode = modeAliases
	case 'b':
		return o.setMode(argument)
	case 'o', 'O':
		o.setOption(argument)
	case 'q':
		o.setFlush(argument)
	case 'X':
		if strings.HasPrefix(argument, "V") {
			return fmt.Errorf("option -XV (VERP) is not supported")
		}
	case 'B':
		return o.setBody(argument)
	case 'N', 'R', 'V':
		o.setNotice(letter, argument)
	}
	return nil
}

func (o *options) setMode(argument string) error {
	switch argument[:min(1, len(argument))] {
	case "m":
		o.mode = modeMail
	case "s":
		o.mode = modeSMTP
	case "v":
		o.mode = modeVerify
	case "p":
		o.mode = modeQueue
	case "i":
		o.mode = modeAliases
	case "h", "H":
		o.mode = modeNothing
	case "d", "D":
		return fmt.Errorf("option -b%.20s: the daemons are started by the system's service manager", argument)
	default:
		return fmt.Errorf("option -b%.20s is not supported", argument)
	}
	return nil
}

func (o *options) setOption(argument string) {
	switch {
	case argument == "i", strings.EqualFold(argument, "IgnoreDots"), strings.EqualFold(argument, "IgnoreDots=true"):
		o.ignoreDots = true
	case len(argument) > 1 && argument[0] == 'A' && argument[1] == '/':
		o.aliases = argument[1:]
	}
}

// setFlush takes -q and its kin. An interval (-q30m, -qp30m) does not keep mail from being sent. A selection by a part of the
// id, a recipient or the sender (-qI, -qR, -qS, with ! before the letter: all others) is what sendmail makes of it; others that
// are not known here flush more than was asked for.
func (o *options) setFlush(argument string) {
	if argument != "" && (argument[0] == 'p' || '0' <= argument[0] && argument[0] <= '9') {
		o.interval = true
		return
	}
	o.mode = modeFlush
	rest, others := strings.CutPrefix(argument, "!")
	switch {
	case rest == "" || mailq.Containing[rest[0]] == nil:
	case rest[0] == 'I' && !others && envelope.ValidID(rest[1:]):
		o.flushID = rest[1:]
	default:
		o.flushOnly = append(o.flushOnly, selection{rest[0], others, rest[1:]})
	}
}

func (o *options) setBody(argument string) error {
	switch b := strings.ToLower(argument); b {
	case "7bit", "8bitmime":
		o.body = b
		return nil
	}
	return fmt.Errorf("option -B needs 7BIT or 8BITMIME, not %.20q", argument)
}

// maxEnvID is what RFC 3461 §4.4 allows.
const maxEnvID = 100

// setNotice takes the options about delivery status notices. What is wrong with them does not hold up the mail.
func (o *options) setNotice(letter byte, argument string) {
	lower := strings.ToLower(argument)
	switch {
	case letter == 'N' && lower == "never":
		o.notify = []string{lower}
	case letter == 'N' && knownEvents(lower):
		o.notify = strings.Split(lower, ",")
	case letter == 'R' && (lower == "full" || lower == "hdrs"):
		o.ret = lower
	case letter == 'V' && argument != "" && len(argument) <= maxEnvID && printable(argument):
		o.envID = argument
	default:
		o.warnings = append(o.warnings, fmt.Sprintf("bad argument of option -%c ignored: %.40q", letter, argument))
	}
}

func knownEvents(list string) bool {
	seen := make(map[string]bool)
	for event := range strings.SplitSeq(list, ",") {
		switch event {
		case "success", "failure", "delay":
			if seen[event] {
				return false
			}
			seen[event] = true
		default:
			return false
		}
	}
	return true
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// check finds options that contradict each other. What does not send mail takes no recipients: their message would be lost.
func (o *options) check() error {
	switch {
	case o.headers && o.mode != modeMail:
		return fmt.Errorf("option -t is for sending mail")
	case len(o.args) > 0 && o.mode != modeMail && o.mode != modeVerify:
		return fmt.Errorf("unexpected argument %.40q", o.args[0])
	}
	return nil
}
