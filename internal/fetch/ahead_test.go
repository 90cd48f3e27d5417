package fetch

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"postrider/internal/crew"
	"postrider/internal/imap"
)

// TestTextsAhead: bodies are the same whether helpers have read them, or some of them, or nobody has; a message that is not there is
// an error of its own.
func TestTextsAhead(t *testing.T) {
	t.Parallel()
	line := strings.Repeat("x", 70) + "\n"
	texts := []string{"", "a: b", mixed}
	for _, lines := range []int{1, 100, 5000, 3000, 20_000, 2} { // the room is full before the last but one
		texts = append(texts, "Subject: s\n\n"+strings.Repeat(line, lines), "Subject: CRLF\r\n\r\n"+strings.Repeat("y\r\n", lines))
	}
	_, list := store(t, texts...)
	gone := list[4].(*mail)
	if err := os.Remove(gone.path); err != nil {
		t.Fatal(err)
	}
	for _, items := range []string{"BODY.PEEK[]", "(BODY.PEEK[TEXT] RFC822.SIZE BODY.PEEK[HEADER])"} {
		alone := answerAll(t, new(Fetcher), list, items, gone, false)
		for range 20 {
			f := &Fetcher{Crew: crew.New(2)}
			if got := answerAll(t, f, list, items, gone, true); got != alone {
				t.Fatalf("%s: %d octets, not the %d of one message after the other", items, len(got), len(alone))
			}
			if f.room != nil || f.ahead != nil {
				t.Error("memory is held after the command")
			}
		}
	}
}

// answerAll answers for all messages, of which one is gone.
func answerAll(t *testing.T, f *Fetcher, list []Source, items string, gone Source, ahead bool) string {
	t.Helper()
	var out bytes.Buffer
	w := imap.NewWriter(&out)
	parsed := parse(t, items)
	if ahead {
		f.Ahead(t.Context(), list, parsed)
	}
	for i, src := range list {
		err := f.Answer(t.Context(), w, &Message{Seq: uint32(i) + 1, Source: src}, parsed)
		if missing := errors.Is(err, fs.ErrNotExist); missing != (src == gone) || err != nil && !missing {
			t.Fatalf("message %d: %v", i+1, err)
		}
	}
	f.Done()
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestDropped: a command that ends early leaves nothing behind.
func TestDropped(t *testing.T) {
	t.Parallel()
	texts := make([]string, aheadTexts)
	for i := range texts {
		texts[i] = plain
	}
	_, list := store(t, texts...)
	items := parse(t, "BODY.PEEK[]")
	for range 20 {
		f := &Fetcher{Crew: crew.New(1)}
		f.Ahead(t.Context(), list, items)
		if err := f.Answer(t.Context(), imap.NewWriter(new(bytes.Buffer)), &Message{Source: list[3]}, items); err != nil {
			t.Fatal(err)
		}
		messages := f.ahead.messages
		f.Done()
		for i := range messages {
			if messages[i].opened || messages[i].buffer != nil {
				t.Errorf("message %d is held", i)
			}
		}
	}
}
