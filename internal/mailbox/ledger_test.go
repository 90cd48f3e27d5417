package mailbox

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

func ownerOf(t testing.TB, path string) uint32 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

func testLedger(t testing.TB, root string) *ledger {
	t.Helper()
	l, err := openLedger(root, origin{"source", "1"}, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	return l
}

// TestLedger: what is not confirmed is known by its name, if it came.
func TestLedger(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := openStore(t, root)
	fill(t, s, "INBOX", 0, 2)
	box, err := s.Open(t.Context(), "INBOX", true)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	came := box.Messages()[1].Name()

	l := testLedger(t, root)
	if err := errors.Join(l.expect([]uint64{7, 8}, []string{"a", "b"}), l.confirm([]uint64{7, 8}, 100)); err != nil {
		t.Fatal(err)
	}
	if err := l.expect([]uint64{9, 10}, []string{"c", came}); err != nil {
		t.Fatal(err)
	}
	l.file.WriteString("11 cut sho")
	for range 2 {
		l = testLedger(t, root)
		if err := l.settle(box.Messages()); err != nil {
			t.Fatal(err)
		}
		if l.position != 100 || len(l.done) != 3 || !l.has(7) || !l.has(8) || l.has(9) || !l.has(10) || l.has(11) {
			t.Error(l.position, l.done)
		}
	}
	if err := errors.Join(l.expect([]uint64{9}, []string{"d"}), l.confirm([]uint64{9}, 200)); err != nil {
		t.Fatal(err)
	}
	if l = testLedger(t, root); l.position != 200 || len(l.done) != 4 {
		t.Error(l.position, l.done)
	}
	if _, err := openLedger(root, origin{"source", "2"}, "INBOX"); !errors.Is(err, errOtherSource) {
		t.Error(err)
	}
}

// FuzzLedger: whatever stands in the file, what is written behind it is read.
func FuzzLedger(f *testing.F) {
	f.Add("1 a\n2 b\nok 7\n3 c\nlost\n4 d")
	f.Add(strings.Repeat("x", 5000))
	f.Fuzz(func(t *testing.T, text string) {
		root := t.TempDir()
		l := testLedger(t, root)
		if err := l.expect(nil, nil); err != nil {
			t.Fatal(err)
		}
		l.file.WriteString(text)
		l = testLedger(t, root)
		if err := errors.Join(l.settle(nil), l.expect([]uint64{1 << 40}, []string{"x"}), l.confirm([]uint64{1 << 40}, 5)); err != nil {
			t.Fatal(err)
		}
		if again := testLedger(t, root); again.position != 5 || !again.has(1<<40) || len(again.done) != len(l.done) {
			t.Fatal(again.position, len(again.done), len(l.done))
		}
	})
}
