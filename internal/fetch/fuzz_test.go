package fetch

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"postrider/internal/imap"
	"postrider/internal/mime"
)

// FuzzAnswer asks for anything of anything: a client that believes the announced sizes finds the end of the response, and
// a slice is a piece of the whole.
func FuzzAnswer(f *testing.F) {
	_, texts := messages(f)
	for i, text := range texts {
		if i%20 == 0 && len(text) < 2000 {
			f.Add([]byte(text), asked[i/20%len(asked)])
		}
	}
	f.Add([]byte(mixed), "(BODY[2.HEADER.FIELDS (SUBJECT)]<1.4> BODY[1]<2.9> FLAGS BODY[]<7.60> BODY[TEXT]<3.3>)")
	f.Add([]byte(encoded), "(BINARY[1]<2.9> BINARY[5] BINARY.SIZE[3.1] BINARY[2]<1.4>)")
	f.Add([]byte("a\r\n\r\r\n\n\x00\r"), "(BODY[]<2.3> BODY[TEXT]<1.9> BODY[]<3.1> BODY RFC822)")
	src := &mail{path: filepath.Join(f.TempDir(), "mail"), wire: 3}
	f.Fuzz(func(t *testing.T, text []byte, list string) {
		items, err := parseItems(list)
		if err != nil {
			return
		}
		if err := os.WriteFile(src.path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		var fetcher Fetcher
		if _, err := answers(t, &fetcher, src, items); err != nil {
			return
		}
		for _, item := range items {
			if item.HasSection() && item.Partial != nil {
				sliced(t, &fetcher, src, item)
			}
		}
		whole, err := answers(t, &fetcher, src, []imap.FetchItem{{Attr: imap.FetchSection}})
		if want := naive(string(text)); err != nil || string(whole[0]) != want {
			t.Fatalf("BODY[] is %q, %v, want %q", whole, err, want)
		}
	})
}

// answers are the literals of a response; the one error there may be is mime.ErrEncoding, of which nothing is said.
func answers(t *testing.T, f *Fetcher, src Source, items []imap.FetchItem) ([][]byte, error) {
	var out bytes.Buffer
	w := imap.NewWriter(&out)
	err := f.Answer(t.Context(), w, &Message{Seq: 1, UID: 1, Source: src}, items)
	if errors.Is(err, mime.ErrEncoding) {
		return nil, err
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	found, err := literals(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return found, nil
}

func sliced(t *testing.T, f *Fetcher, src Source, item imap.FetchItem) {
	whole := item
	whole.Partial = nil
	uncut, err := answers(t, new(Fetcher), src, []imap.FetchItem{whole})
	if err != nil {
		t.Fatal(err)
	}
	text := uncut[0]
	start := min(item.Partial.Offset, int64(len(text)))
	end := start + min(item.Partial.Count, int64(len(text))-start)
	got, err := answers(t, f, src, slices.Repeat([]imap.FetchItem{item}, 2))
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range got {
		if !bytes.Equal(got, text[start:end]) {
			t.Fatalf("%+v is %q, of %q", item, got, text)
		}
	}
}

// FuzzSlices reads a text in pieces of one size after the other, as clients read large ones.
func FuzzSlices(f *testing.F) {
	f.Add([]byte("a\nb\r\nc\r\r\n\nd"), uint8(3))
	src := &mail{path: filepath.Join(f.TempDir(), "mail")}
	f.Fuzz(func(t *testing.T, text []byte, step uint8) {
		if step == 0 || len(text) > 50*int(step) {
			return
		}
		if err := os.WriteFile(src.path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		var fetcher Fetcher
		want := naive(string(text))
		for at := int64(0); at < int64(len(want)); at += int64(step) {
			items := []imap.FetchItem{{Attr: imap.FetchSection, Partial: &imap.Partial{Offset: at, Count: int64(step)}}}
			piece, err := answers(t, &fetcher, src, items)
			if err != nil || string(piece[0]) != want[at:min(at+int64(step), int64(len(want)))] {
				t.Fatalf("%d octets from %d of %q are %q, %v", step, at, want, piece, err)
			}
		}
	})
}
