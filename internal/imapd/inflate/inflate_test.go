package inflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

func deflate(t testing.TB, level int, pieces ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		w.Write(p)
		w.Flush()
	}
	w.Close()
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	var words strings.Builder
	for words.Len() < 300_000 {
		fmt.Fprintf(&words, "A%d UID FETCH %d (BODY.PEEK[])\r\n", random.IntN(1000), random.IntN(100_000))
	}
	texts := map[string][]byte{
		"empty": nil, "short": []byte("1 NOOP\r\n"), "noise": noise, "words": []byte(words.String()),
		"zeros": make([]byte, 500_000),
	}
	for name, text := range texts {
		for _, level := range []int{flate.NoCompression, flate.BestSpeed, 6, flate.BestCompression, flate.HuffmanOnly} {
			compressed := deflate(t, level, text[:len(text)/3], text[len(text)/3:])
			for kind, src := range map[string]io.Reader{
				"at once":  bytes.NewReader(compressed),
				"by octet": iotest.OneByteReader(bytes.NewReader(compressed)),
			} {
				got, err := io.ReadAll(NewReader(src))
				if err != nil || !bytes.Equal(got, text) {
					t.Errorf("%s, level %d, %s: %v, %d octets instead of %d", name, level, kind, err, len(got), len(text))
				}
			}
		}
	}
}

// TestPartialFlush has what zlib makes with Z_PARTIAL_FLUSH, as mutt and mbsync send it: each line must come out as soon as
// its octets have gone in.
func TestPartialFlush(t *testing.T) {
	t.Parallel()
	steps := []struct{ hex, line string }{
		{"3254f0f3f70fe0e50208", "1 NOOP\r\n"},
		{"20230567c70047274f1fcf90485e2e8000", "2 CAPABILITY\r\n"},
		{"3256f0f10c0e5150525250d252e2e50208", "3 LIST \"\" \"*\"\r\n"},
		{"c0f6bcea3008836118f624bd87df63fab1b283840c812995b315852cd941542ebbf7a919f2dac73dc18694a678b5398ecbcd3e21f8f6eb9ac7fd55cc7b7baf96ed596acd5bf9ab503bd4036a40ed518fa827d433ea85547813de8437e14d7813de8437e14d78d3fee69a9f00", "4 APPEND INBOX {440+}\r\n" + lines(20) + "\r\n"},
		{"3255f0f177f70f0de1e50208", "5 LOGOUT\r\n"},
	}
	in, out := io.Pipe()
	z := NewReader(in)
	go func() {
		for _, s := range steps {
			var raw []byte
			fmt.Sscanf(s.hex, "%x", &raw)
			out.Write(raw)
		}
		out.Close()
	}()
	for _, s := range steps {
		got := make([]byte, len(s.line))
		if _, err := io.ReadFull(z, got); err != nil || string(got) != s.line {
			t.Fatalf("%q, %v, want %q", got, err, s.line)
		}
	}
	if n, err := z.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %02d of a message\r\n", i)
	}
	return b.String()
}

func TestCorrupt(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{
		"\x07",                                 // reserved block type
		"\x01\x01\x00\x00\x00x",                // stored length without its complement
		"\xfd\xff\xff\xff\xff\xff\xff\xff\xff", // too many codes
		"\x05\x00\x00\x00\x00\x00\x00\x00\x00", // no code length codes
	} {
		if _, err := io.ReadAll(NewReader(strings.NewReader(stream))); err == nil {
			t.Errorf("%q was taken", stream)
		}
	}
	// A match of length 3 at distance 1 as the first symbol: 1 01 0000001 00000.
	if _, err := io.ReadAll(NewReader(strings.NewReader("\x03\x02\x00\x00"))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a match before the start: %v", err)
	}
}

func TestSourceError(t *testing.T) {
	t.Parallel()
	want := errors.New("broken")
	src := io.MultiReader(bytes.NewReader(deflate(t, 6, []byte("x NOOP\r\n"))[:9]), iotest.ErrReader(want))
	got, err := io.ReadAll(NewReader(src))
	if err != want {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzInflate(f *testing.F) {
	f.Add(deflate(f, 6, []byte("a1 LIST \"\" *\r\n"), bytes.Repeat([]byte("abc"), 500)))
	f.Add(deflate(f, 1, []byte("stored")))
	f.Add([]byte("\x05\xc0\x81\x00\x00\x00\x00\x00\x90"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 1 << 20
		got, errGot := io.ReadAll(io.LimitReader(NewReader(bytes.NewReader(stream)), limit))
		want, errWant := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(stream)), limit))
		if errWant == nil && (errGot != nil || !bytes.Equal(got, want)) {
			t.Fatalf("%d octets, %v; compress/flate has %d", len(got), errGot, len(want))
		}
		if n := min(len(got), len(want)); !bytes.Equal(got[:n], want[:n]) {
			t.Fatal("other octets than compress/flate")
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	text := bytes.Repeat([]byte("A body of some words, and of some numbers: 123456.\r\n"), 20_000)
	compressed := deflate(b, 6, text)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		io.Copy(io.Discard, NewReader(bytes.NewReader(compressed)))
	}
}
