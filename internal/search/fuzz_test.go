package search

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// FuzzText compares the search in pieces with one in the whole.
func FuzzText(f *testing.F) {
	f.Add([]byte("aabaabaaab"), "AAAB", uint8(3))
	f.Add([]byte("Grüße aus Köln\xff\xe2\x82"), "ße aus", uint8(1))
	f.Add([]byte(strings.Repeat("long run of ascii ", 10)+"ﬁ각"), "ii fi", uint8(200))
	f.Fuzz(func(t *testing.T, haystack []byte, text string, size uint8) {
		if text == "" || size == 0 {
			return
		}
		haystack = append(haystack, '\n') // no character is left open
		n := newNeedle(text)
		want := bytes.Contains(casemapped(string(haystack)), n.text)
		x, got := newText(n), false
		for piece := range pieces(haystack, int(size)) {
			got = got || x.read(piece)
		}
		if got != want {
			t.Errorf("%q in %q, pieces of %d: %v", text, haystack, size, got)
		}
	})
}

// FuzzMessage searches anything for anything.
func FuzzMessage(f *testing.F) {
	for _, message := range corpus(f) {
		if len(message) < 4<<10 {
			f.Add(message, "Needle")
		}
	}
	f.Fuzz(func(t *testing.T, message []byte, text string) {
		if text == "" {
			return
		}
		n := newNeedle(text)
		r := newReader()
		r.open(context.Background(), bytes.NewReader(message))
		tree, err := r.scan()
		if err != nil {
			t.Fatal(err)
		}
		inBody, err := r.matchParts(tree, n, false)
		if err != nil {
			t.Fatal(err)
		}
		anywhere, err := r.matchParts(tree, n, true)
		if err != nil || inBody && !anywhere {
			t.Error("in the body, but not in the text", err)
		}
		for _, name := range []string{"Subject", "From", "X-Any"} {
			if there := r.matchField(message, name, nil); r.matchField(message, name, n) && !there {
				t.Error("in a field that is not there", name)
			}
		}
	})
}

// FuzzPlainAddress: what is not in the value of a plain address is not in its other form.
func FuzzPlainAddress(f *testing.F) {
	f.Add([]byte("Alice Example <alice@example.org>"), "e alice")
	f.Add([]byte("O'Neil <a.b@c>"), "'neil")
	f.Add([]byte("=?utf-8?q?J=C3=B6rg?= =?utf-8?q?x?= <a@b>"), "jörgx <a")
	f.Add([]byte("a@b"), "a@b")
	f.Fuzz(func(t *testing.T, value []byte, text string) {
		if text == "" || !isPlainAddress(value) {
			return
		}
		n, r := newNeedle(text), newReader()
		if n.noMarks && !r.matchValue(value, n) && r.matchValue(addressForm(nil, value), n) {
			t.Errorf("%q is in the other form of %q", text, value)
		}
	})
}
