// Package support reads docs/imap-support.txt for the tests that keep it true. It trusts nothing in it.
package support

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
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

// Load reads the table, from a test of a package directly below internal.
func Load(t testing.TB) []Row {
	t.Helper()
	f, err := os.Open("../../docs/imap-support.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return rows
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

// Compare says where the table and what is announced, before the login or after it, do not agree: what is announced has to be whole,
// and what is whole announced.
func Compare(rows []Row, announced []string, before bool) (problems []string) {
	names := make(map[string]bool)
	for _, name := range announced {
		names[tableName(name, rows)] = true
	}
	whole := whole(rows)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if _, ok := whole[name]; !ok {
			problems = append(problems, name+" is announced, and in the table it is not whole, or not there")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		if row := whole[name]; row.Before == before && !names[name] {
			problems = append(problems, fmt.Sprintf("line %d: %s is whole and not announced", row.Line, name))
		}
	}
	return problems
}

// whole are the capabilities of which all rows say yes.
func whole(rows []Row) map[string]Row {
	whole := make(map[string]Row)
	for _, r := range rows {
		if r.Capability != "" {
			whole[r.Capability] = r
		}
	}
	for _, r := range rows {
		if r.State != Yes {
			delete(whole, r.Capability)
		}
	}
	return whole
}

// tableName is a capability that was announced as the table has it: of APPENDLIMIT=1000 it is APPENDLIMIT= where that stands there.
func tableName(announced string, rows []Row) string {
	key, _, valued := strings.Cut(announced, "=")
	for _, r := range rows {
		if valued && r.Capability == key+"=" {
			return r.Capability
		}
	}
	return announced
}
