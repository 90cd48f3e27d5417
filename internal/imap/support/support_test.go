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
	whole, others := Whole(rows)
	if _, ok := whole["IDLE"]; !ok || len(whole) != 1 || len(others) != 1 {
		t.Error(whole, others)
	}
	if n := Name("LIMIT=10", rows); n != "LIMIT=" {
		t.Error(n)
	}
	if n := Name("THREAD=REFS", rows); n != "THREAD=REFS" {
		t.Error(n)
	}
	for _, bad := range []string{"1|2|a|yes|IDLE", "1||a|yes|-|p.TestA", "1|2|a|maybe|-|p.TestA", "1|2|a|yes|-|-"} {
		if _, err := Read(strings.NewReader(bad)); err == nil {
			t.Error(bad)
		}
	}
}
