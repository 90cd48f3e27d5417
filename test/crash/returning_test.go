//go:build faults

package crash

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"postrider/internal/mailstore"
)

// returning is a client that comes back after the kill with what it was told before (RFC 7162).
type returning struct {
	since uint64
	flags map[uint32]string
}

// remember is a view in one line: UIDVALIDITY, HIGHESTMODSEQ, and each UID with its flags.
func remember(b *mailstore.Mailbox) string {
	line := fmt.Sprint(b.UIDValidity(), " ", b.HighestModSeq())
	for uid, flags := range flagsOf(b) {
		line += fmt.Sprintf(" %d=%s", uid, flags)
	}
	return line
}

func flagsOf(b *mailstore.Mailbox) map[uint32]string {
	flags := make(map[uint32]string)
	for _, m := range b.Messages() {
		flags[m.UID] = fmt.Sprint(m.Flags, ",", strings.Join(b.KeywordNames(m.Keywords), ","))
	}
	return flags
}

func parseReturning(line string) returning {
	fields := strings.Fields(line)
	r := returning{flags: make(map[uint32]string)}
	fmt.Sscan(fields[1], &r.since)
	for _, f := range fields[2:] {
		var uid uint32
		number, flags, _ := strings.Cut(f, "=")
		fmt.Sscan(number, &uid)
		r.flags[uid] = flags
	}
	return r
}

// visit brings the client up to date by CHANGEDSINCE and VANISHED: then it must know the truth.
func (r *returning) visit(t *testing.T, b *mailstore.Mailbox) {
	t.Helper()
	truth, since := flagsOf(b), b.Since(r.since)
	gone, remembered := b.Vanished(since)
	maps.DeleteFunc(r.flags, func(uid uint32, _ string) bool {
		_, there := truth[uid]
		return remembered && slices.Contains(gone, uid) || !remembered && !there
	})
	for _, m := range b.Messages() {
		if m.ModSeq > since {
			r.flags[m.UID] = truth[m.UID]
		}
	}
	if !maps.Equal(r.flags, truth) {
		t.Errorf("who knew all of folder %d until %d believes %v, true is %v; highest %d", b.UIDValidity(), r.since, r.flags, truth, b.HighestModSeq())
	}
	if b.HighestModSeq() < r.since {
		t.Errorf("folder %d: HIGHESTMODSEQ was %d and is %d", b.UIDValidity(), r.since, b.HighestModSeq())
	}
	r.since = b.HighestModSeq()
}
