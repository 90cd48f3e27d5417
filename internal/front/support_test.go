package front

import (
	"strings"
	"testing"

	"postrider/internal/imap/support"
)

// TestSupportTable keeps docs/imap-support.txt true of what is announced before the login.
func TestSupportTable(t *testing.T) {
	t.Parallel()
	var announced []string
	for _, connect := range []func(*rig) *client{(*rig).remote, (*rig).local, (*rig).secure} {
		greeting := connect(newRig(t, IMAP, nil)).line()
		_, list, _ := strings.Cut(greeting, "[CAPABILITY ")
		list, _, ok := strings.Cut(list, "]")
		if !ok {
			t.Fatal(greeting)
		}
		announced = append(announced, strings.Fields(list)...)
	}
	for _, problem := range support.Compare(support.Load(t), announced, true) {
		t.Error(problem)
	}
}
