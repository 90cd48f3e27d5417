package imapd

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// TestVanishedByAbsence compares what is told where nothing is remembered with a plain evaluation.
func TestVanishedByAbsence(t *testing.T) {
	t.Parallel()
	const last = 40
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		b, has := someMailbox(t, rt, root, last)
		defer b.Close()
		var known imap.Set
		for range rapid.IntRange(1, 4).Draw(rt, "ranges") {
			known = append(known, imap.Range{Start: rapid.Uint32Range(1, last+9).Draw(rt, "from"), Stop: rapid.Uint32Range(1, last+9).Draw(rt, "to")})
		}
		known, above := known.Resolve(0), rapid.Uint32Range(0, last).Draw(rt, "above")
		var want imap.Set
		for uid := above + 1; uid < b.UIDNext(); uid++ {
			if known.Contains(uid) && !has[uid] {
				want = want.Add(uid)
			}
		}
		if got := b.missing(known, above); got.String() != want.String() {
			rt.Fatalf("of %s above %d there are missing %s, not %s", known, above, got, want)
		}
	})
}

// TestMatchData: up to the UID that is found by what the client knows nothing has gone of what it knew.
func TestMatchData(t *testing.T) {
	t.Parallel()
	const last = 40
	root := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		b, has := someMailbox(t, rt, root, last)
		defer b.Close()
		var q imap.QResync
		seq, gone := uint32(0), uint32(last+1) // the client knew 1 to last, or some that are there still
		knew := func(uid uint32) bool { return has[uid] || uid%3 > 0 }
		for uid := uint32(1); uid <= last; uid++ {
			if !knew(uid) {
				continue
			}
			if seq++; !has[uid] {
				gone = min(gone, uid)
			}
			if rapid.Bool().Draw(rt, "match") {
				q.MatchSeq, q.MatchUID = q.MatchSeq.Add(seq), q.MatchUID.Add(uid)
			}
		}
		if got := b.matching(&q); got >= gone {
			rt.Fatalf("match data %s %s: nothing has gone up to %d, but %d has", q.MatchSeq, q.MatchUID, got, gone)
		}
	})
}

// someMailbox has some of the UIDs up to last.
func someMailbox(t *testing.T, rt *rapid.T, root string, last uint32) (*selection, map[uint32]bool) {
	dir, err := os.MkdirTemp(root, "")
	if err != nil {
		rt.Fatal(err)
	}
	has, list := make(map[uint32]bool), "3 V7 N"+strconv.Itoa(int(last)+1)+" G00000000000000000000000000000000\n"
	for _, sub := range []string{"cur", "new", "tmp"} {
		os.Mkdir(filepath.Join(dir, sub), 0o700)
	}
	for uid := uint32(1); uid <= last; uid++ {
		if has[uid] = rapid.Bool().Draw(rt, "exists"); has[uid] {
			name := strconv.Itoa(int(uid)) + ".x,S=2,W=3"
			list += strconv.Itoa(int(uid)) + " :" + name + "\n"
			os.WriteFile(filepath.Join(dir, "cur", name+":2,"), []byte("x\n"), 0o600)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "dovecot-uidlist"), []byte(list), 0o600); err != nil {
		rt.Fatal(err)
	}
	store, err := mailstore.Open(dir, mailstore.Options{})
	if err != nil {
		rt.Fatal(err)
	}
	b, err := store.Open(t.Context(), "INBOX", true)
	if err != nil {
		rt.Fatal(err)
	}
	return &selection{Mailbox: b}, has
}
