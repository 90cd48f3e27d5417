package support

import (
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	t.Parallel()
	rows, err := Read(strings.NewReader("# x\n\n1 | 2.3 | a | yes | IDLE | p.TestA q.TestB\n1|2|b|yes|LIMIT=|p.TestA\n1|2|c|no|LIMIT=|-\n1|2|d|part|-|-\n"))
	if err != nil || len(rows) != 4 {
		t.Fatal(rows, err)
	}
	if r := rows[0]; r.Line != 3 || r.Section != "2.3" || r.Capability != "IDLE" || len(r.Tests) != 2 {
		t.Errorf("%+v", r)
	}
	for _, bad := range []string{"1|2|a|yes|IDLE", "1||a|yes|-|p.TestA", "1|2|a|maybe|-|p.TestA", "1|2|a|yes|-|-"} {
		if _, err := Read(strings.NewReader(bad)); err == nil {
			t.Error(bad)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	rows, err := Read(strings.NewReader("1|2|a|yes|IDLE|p.TestA\n1|2|b|yes|LIMIT=|p.TestA\n1|2|c|yes|MOVE|p.TestA\n1|2|d|no|MOVE|-\n1|2|e|yes|before:AUTH=PLAIN|p.TestA\n"))
	if err != nil {
		t.Fatal(err)
	}
	for announced, problems := range map[string]int{
		"IDLE LIMIT=10":                 0,
		"IDLE LIMIT":                    2,
		"IDLE LIMIT=10 MOVE":            1,
		"IDLE LIMIT=10 THREAD=REFS":     1,
		"IDLE LIMIT=10 LIMIT=20 AUTH=X": 1,
	} {
		if got := Compare(rows, strings.Fields(announced), false); len(got) != problems {
			t.Errorf("%s: %q", announced, got)
		}
	}
	if got := Compare(rows, []string{"IDLE"}, true); len(got) != 1 || got[0] != "line 5: AUTH=PLAIN is whole and not announced" {
		t.Errorf("%q", got)
	}
}
