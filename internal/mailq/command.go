package mailq

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/envelope"
)

const usage = `usage: mailq [-j] [-C file] [list] [filter ...] [id ...]
       mailq [-nv] [-C file] [--files] hold|release|retry|delete [filter ...] [ALL | id ... | -]
       mailq [-nv] [-C file] [--files] flush [filter ...] [id ...]
       mailq [-C file] cat id ...
filters: --sender, --recipient address; --domain domain; --user name; --older, --newer time; --larger, --smaller size;
         --state state,...; --channel local|remote; --reason text
`

// command is a command line.
type command struct {
	Request
	config string
	stdin  bool // ids come on standard input
	named  bool // the action
	tests  map[string][]Test
}

// verbs are the words that name what is to be done.
var verbs = []Verb{List, Hold, Release, Retry, Delete, Cat, Flush}

// parse reads a command line. Options may stand anywhere; those of sendmail's mailq are accepted and do nothing.
func parse(args []string) (*command, error) {
	c := &command{config: config.DefaultPath, Request: Request{Do: List}, tests: make(map[string][]Test)}
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		var err error
		switch {
		case word == "--":
			for _, w := range args {
				err = errors.Join(err, c.word(w))
			}
			args = nil
		case strings.HasPrefix(word, "--"):
			args, err = c.long(word[2:], args)
		case len(word) > 1 && word[0] == '-':
			args, err = c.short(word, args)
		default:
			err = c.word(word)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.tests)) {
		c.Filter = append(c.Filter, either(c.tests[name]))
	}
	if c.Do == Delete && len(c.Filter) > 0 && c.tests["state"] == nil && !c.All {
		c.Filter = append(c.Filter, Not(inState(control.Corrupt))) // kept until somebody means them
	}
	return c, c.check()
}

// word takes what is no option: the action comes first.
func (c *command) word(w string) error {
	first := !c.named && len(c.IDs) == 0 && !c.All && !c.stdin
	switch {
	case first && slices.Contains(verbs, Verb(w)):
		c.Do, c.named = Verb(w), true
	case w == "-":
		c.stdin = true
	case w == "ALL":
		c.All = true
	case first && !envelope.ValidID(w):
		return fmt.Errorf("%.40q is neither an action nor a queue id", w)
	case !slices.Contains(c.IDs, w):
		c.IDs = append(c.IDs, w)
	}
	return nil
}

func (c *command) short(word string, rest []string) ([]string, error) {
	switch word {
	case "-Ac", "-Am", "-bp":
		return rest, nil
	}
	for letters := word[1:]; letters != ""; letters = letters[1:] {
		switch letters[0] {
		case 'j':
			c.JSON = true
		case 'n':
			c.DryRun = true
		case 'v':
			c.Verbose = true
		case 'C', 'c':
			if c.config = letters[1:]; c.config != "" {
				return rest, nil
			}
			if len(rest) == 0 {
				return nil, fmt.Errorf("option -%c needs an argument", letters[0])
			}
			c.config = rest[0]
			return rest[1:], nil
		default:
			return nil, fmt.Errorf("unknown option -%.20s", letters)
		}
	}
	return rest, nil
}

func (c *command) long(name string, rest []string) ([]string, error) {
	name, value, joined := strings.Cut(name, "=")
	if as, ok := aliases[name]; ok {
		name = as
	}
	switch {
	case name == "dry-run" && !joined:
		c.DryRun = true
		return rest, nil
	case name == "files" && !joined:
		c.Files = true
		return rest, nil
	case filters[name] == nil:
		return nil, fmt.Errorf("unknown option --%.20s", name)
	}
	if !joined {
		if len(rest) == 0 {
			return nil, fmt.Errorf("option --%s needs a value", name)
		}
		value, rest = rest[0], rest[1:]
	}
	if value == "" {
		return nil, fmt.Errorf("option --%s needs a value; the null sender is <>", name)
	}
	t, err := filters[name](value)
	if err != nil {
		return nil, fmt.Errorf("option --%s: %w", name, err)
	}
	c.tests[name] = append(c.tests[name], t)
	return rest, nil
}

// check refuses what is not meant, above all an action on everything by mistake.
func (c *command) check() error {
	chosen := c.All || c.stdin || len(c.IDs) > 0
	switch {
	case c.Do == Cat && (len(c.Filter) > 0 || c.All || c.DryRun):
		return errors.New("cat takes ids only")
	case c.Do == Cat && !chosen:
		return errors.New("cat needs an id")
	case c.Do != List && c.Do != Flush && !chosen && len(c.Filter) == 0:
		return fmt.Errorf("%s needs ids, a filter, or ALL", c.Do)
	case c.All && (c.stdin || len(c.IDs) > 0):
		return errors.New("ids or ALL, not both")
	case c.JSON && c.Do != List && !c.DryRun:
		return errors.New("option -j is for listings")
	case c.Files && c.Do == Cat:
		return errors.New("option --files is for actions")
	}
	return nil
}

// Bounds of a list of ids on standard input.
const (
	maxInputIDs  = 1_000_000
	maxInputLine = 64 << 10
)

// readIDs adds the first word of each line. No line is no id.
func (c *command) readIDs(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxInputLine)
	seen := setOf(c.IDs)
	if seen == nil {
		seen, c.IDs = make(map[string]bool), []string{}
	}
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || seen[words[0]] {
			continue
		}
		if len(c.IDs) == maxInputIDs {
			return fmt.Errorf("more than %d ids", maxInputIDs)
		}
		seen[words[0]] = true
		c.IDs = append(c.IDs, words[0])
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read ids: %w", err)
	}
	return nil
}
