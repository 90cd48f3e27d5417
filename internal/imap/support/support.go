// Package support reads docs/imap-support.txt for the tests that keep it true. It trusts nothing in it.
package support

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// State says how much of a group of requirements is there.
type State string

// The states, from whole to nothing.
const (
	Yes  State = "yes"
	Part State = "part"
	No   State = "no"
)

// Row is a line of the table.
type Row struct {
	Line               int
	RFC, Section, What string
	State              State
	Capability         string   // as announced, "=" at the end for any value; "" where there is none
	Before             bool     // it is announced only before the login
	Tests              []string // "package.TestName"
}

// Path is where the table is, from a package directory below internal.
const Path = "../../docs/imap-support.txt"

// Load reads the table at path.
func Load(path string) ([]Row, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f)
}

// Read reads a table.
func Read(r io.Reader) (rows []Row, err error) {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		row, err := parseRow(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		row.Line = n
		rows = append(rows, row)
	}
	return rows, lines.Err()
}

func parseRow(text string) (Row, error) {
	fields := strings.Split(text, "|")
	if len(fields) != 6 {
		return Row{}, fmt.Errorf("%d fields, not 6", len(fields))
	}
	for i := range fields {
		if fields[i] = strings.TrimSpace(fields[i]); fields[i] == "" {
			return Row{}, fmt.Errorf("field %d is empty", i+1)
		}
	}
	row := Row{RFC: fields[0], Section: fields[1], What: fields[2], State: State(fields[3])}
	switch row.State {
	case Yes, Part, No:
	default:
		return Row{}, fmt.Errorf("unknown state %q", row.State)
	}
	if fields[4] != "-" {
		row.Capability, row.Before = strings.CutPrefix(fields[4], "before:")
	}
	if fields[5] != "-" {
		row.Tests = strings.Fields(fields[5])
	}
	if row.State == Yes && row.Tests == nil {
		return Row{}, fmt.Errorf("%s is said to be there without a test", row.What)
	}
	return row, nil
}

// Whole returns the capabilities of which all rows are yes, and those with rows that are not.
func Whole(rows []Row) (whole, others map[string]Row) {
	whole, others = make(map[string]Row), make(map[string]Row)
	for _, r := range rows {
		if r.Capability != "" && r.State != Yes {
			others[r.Capability] = r
		}
	}
	for _, r := range rows {
		if _, incomplete := others[r.Capability]; r.Capability != "" && !incomplete {
			whole[r.Capability] = r
		}
	}
	return whole, others
}

// Name is a capability that was announced as the table has it: of APPENDLIMIT=1000 it is APPENDLIMIT= where that stands in
// the table.
func Name(announced string, rows []Row) string {
	key, _, valued := strings.Cut(announced, "=")
	for _, r := range rows {
		if valued && r.Capability == key+"=" {
			return r.Capability
		}
	}
	return announced
}
