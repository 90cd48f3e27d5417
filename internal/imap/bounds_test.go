package imap

import (
	"errors"
	"strings"
	"testing"
)

// TestReadings: what one command can have read anew of each message is bounded.
func TestReadings(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]func(n int) string{
		"bodies": func(n int) string { return "SEARCH " + strings.Repeat("OR BODY x ", n-1) + "NOT TEXT y" },
		"sections": func(n int) string {
			return "FETCH 1 (UID " + strings.Repeat("BODY[1] ", n-3) + "RFC822 BINARY.SIZE[1] BINARY[1] FLAGS)"
		},
	} {
		most := map[string]int{"bodies": maxTexts, "sections": maxSections}[name]
		r, _ := newTestReader("t1 " + command(most) + "\r\nt2 " + command(most+1) + "\r\nt3 NOOP\r\n")
		if req, err := r.Next(); err != nil {
			t.Errorf("%s: %+v, %v", name, req, err)
		}
		var refused *CommandError
		if _, err := r.Next(); !errors.As(err, &refused) || refused.Code != "LIMIT" || refused.Tag != "t2" {
			t.Errorf("%s: %v, want LIMIT", name, err)
		}
		if req, err := r.Next(); err != nil || req.Tag != "t3" {
			t.Errorf("%s: behind it %+v, %v", name, req, err)
		}
	}
}
