package front

import (
	"slices"
	"strings"
	"testing"

	"postrider/internal/imap/support"
)

// TestSupportTable keeps docs/imap-support.txt true of what is announced before the login.
func TestSupportTable(t *testing.T) {
	t.Parallel()
	rows, err := support.Load(support.Path)
	if err != nil {
		t.Fatal(err)
	}
	var announced []string
	for _, connect := range []func(*rig) *client{(*rig).remote, (*rig).local, (*rig).secure} {
		greeting := connect(newRig(t, IMAP, nil)).line()
		_, list, _ := strings.Cut(greeting, "[CAPABILITY ")
		list, _, ok := strings.Cut(list, "]")
		if !ok {
			t.Fatal(greeting)
		}
		for _, name := range strings.Fields(list) {
			announced = append(announced, support.Name(name, rows))
		}
	}
	whole, _ := support.Whole(rows)
	for _, name := range announced {
		if _, ok := whole[name]; !ok {
			t.Errorf("%s is announced, and in the table it is not whole, or not there", name)
		}
	}
	for name, row := range whole {
		if row.Before && !slices.Contains(announced, name) {
			t.Errorf("line %d: %s is whole and never announced", row.Line, name)
		}
	}
}
