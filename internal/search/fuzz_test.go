package search

import (
	"bytes"
	"context"
	"mime"
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

// FuzzTransfer compares decoding in pieces with decoding at once.
func FuzzTransfer(f *testing.F) {
	f.Add([]byte("aGVsbG8gd29y\nbGQ="), uint8(5))
	f.Add([]byte("a=3D=\nb=C3=  \n=x"), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		if size == 0 {
			return
		}
		for _, encoding := range []string{"7bit", "base64", "quoted-printable"} {
			whole, _ := newTransferDecoder(&encoding)
			parts, _ := newTransferDecoder(&encoding)
			want, got := decodeAll(whole, in, max(1, len(in))), decodeAll(parts, in, int(size))
			if !bytes.Equal(got, want) || len(got) > len(in)+2 {
				t.Errorf("%s of %q, pieces of %d: %q, not %q", encoding, in, size, got, want)
			}
		}
	})
}

// FuzzWords decodes what the standard library encodes, and anything else to no more than it can be.
func FuzzWords(f *testing.F) {
	f.Add("Grüße", []byte("=?utf-8?q?a?= =?iso-8859-1?b?6Q==?= =?x"))
	f.Add("日本語", []byte("=?utf-16?q?=D8?==?iso-2022-jp?B?GyRC?="))
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		if got := decodeWords(nil, raw); len(got) > 16*len(raw) {
			t.Errorf("%q became %d octets", raw, len(got))
		}
		text = strings.ToValidUTF8(text, "")
		for _, encoder := range []mime.WordEncoder{mime.QEncoding, mime.BEncoding} {
			word := encoder.Encode("utf-8", text)
			if !strings.HasPrefix(word, "=?") {
				continue // it needs no encoding
			}
			if got := decodeWords(nil, []byte(word)); string(got) != text {
				t.Errorf("%q: %q, not %q", word, got, text)
			}
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
			there, err := r.matchField(name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if found, err := r.matchField(name, n); err != nil || found && !there {
				t.Error("in a field that is not there", name, err)
			}
		}
		if _, err := r.sentDay(); err != nil {
			t.Error(err)
		}
	})
}
