package mailstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestReclaimedLetters: messages that come together do not take one another's letters.
func TestReclaimedLetters(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	if err := s.Create("to"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "/.to"} {
		write(t, s.root+name+"/"+keywordsFile, unusedNames())
	}
	if err := appendKeywords(t, s, []string{"a"}, []string{"b", "a"}, []string{"c"}); err != nil {
		t.Fatal(err)
	}
	from := openBox(t, s, Inbox)
	wantView(t, from, "1:[a] 2:[a b] 3:[c]")
	if _, err := from.Copy(t.Context(), from.Messages()[1:], "to"); err != nil {
		t.Fatal(err)
	}
	wantView(t, openBox(t, s, "to"), "1:[a b] 2:[c]")
}

// TestTooManyKeywordsTogether: the keywords of all messages of a command count.
func TestTooManyKeywordsTogether(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	var many [2][]string
	for i := range 2 * (MaxKeywords - 1) {
		many[i%2] = append(many[i%2], fmt.Sprint("k", i))
	}
	if err := appendKeywords(t, s, many[:]...); !errors.Is(err, ErrKeywordLimit) {
		t.Error(err)
	}
	wantView(t, openBox(t, s, Inbox), "")
}

func unusedNames() string {
	var b strings.Builder
	for i := range MaxKeywords {
		fmt.Fprintf(&b, "%d unused%d\n", i, i)
	}
	return b.String()
}

// appendKeywords appends, in one command, a message with each of the sets.
func appendKeywords(t *testing.T, s *Store, sets ...[]string) error {
	t.Helper()
	a, err := s.Append(Inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, keywords := range sets {
		m, err := a.Create(0, keywords, time.Unix(1e9, 0))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(m, "x\n")
	}
	_, _, err = a.Commit(t.Context())
	return err
}
