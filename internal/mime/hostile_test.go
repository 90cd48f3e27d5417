package mime

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Bounds on what a hostile message may cost. Time is for a busy machine under the race detector.
const (
	hostileTime   = 20 * time.Second
	hostileMemory = 128 << 20 // octets allocated in all
	hostileTree   = 16 << 20  // octets that stay allocated
)

func repeat(s string, size int) string { return strings.Repeat(s, size/len(s)+1) }

func nest(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// size is that of most messages, more than the limits by far; the time is that of -race.
const size = 2 << 20

func hostile() map[string]string {
	prefixes, inner := "", ""
	for i := 1; i < MaxDepth; i++ {
		inner = strings.Repeat("a", min(i, maxBoundary))
		prefixes += "Content-Type: multipart/mixed; boundary=" + inner + "\n\n--" + inner + "\n"
	}
	const mixed = "Content-Type: multipart/mixed; boundary=b\n\n"
	return map[string]string{
		"cut multipart header":   mixed + repeat("--b\nContent-Type: multipart/mixed; boundary=c\n--b\n--c\n--c--\n", size),
		"nothing":                "",
		"NULs":                   repeat("\x00", size),
		"line ends":              repeat("\n", size),
		"CRs":                    repeat("\r", size),
		"one header line":        "X: " + repeat("a", 10<<20),
		"one subject":            "Subject: " + repeat("a", size),
		"one folded subject":     "Subject: " + repeat("a\n ", size),
		"many subjects":          repeat("Subject:\n", size),
		"many types":             repeat("Content-Type: a/b\n", size),
		"addresses":              "To: " + repeat("a,", size),
		"address fields":         repeat("To: a\n", size),
		"groups":                 "To: " + repeat("a:;,", size),
		"open groups":            "To: " + repeat("a:", size),
		"open comments":          "To: " + repeat("a (", size),
		"comments":               "To: " + repeat("(a)", size),
		"open angles":            "To: " + repeat("a <", size),
		"open quotes":            "To: " + repeat(`a "`, size),
		"routes":                 "To: <" + repeat("@a,", size),
		"dots":                   "To: " + repeat(".", size),
		"parameters":             "Content-Type: a/b" + repeat(";a=b", size),
		"broken parameters":      "Content-Type: a/b" + repeat(";a=(", size),
		"semicolons":             "Content-Type: a/b" + repeat(";", size),
		"pieces":                 "Content-Type: a/b" + repeat(";a*1=b", size),
		"languages":              "Mime-Version: 1.0\nContent-Language: " + repeat("a,", size),
		"100,000 parts":          mixed + strings.Repeat("--b\n\nx\n", 100_000),
		"parts without header":   mixed + repeat("--b\n", size),
		"parts with header":      mixed + repeat("--b\nContent-ID: "+strings.Repeat("x", 1000)+"\n\n", size),
		"message parts":          mixed + repeat("--b\nContent-Type: message/rfc822\n\nTo: a,b,c\n\n", size),
		"digest parts":           "Content-Type: multipart/digest; boundary=b\n\n" + repeat("--b\n\nTo: a,b,c\n\n", size),
		"8,000 nested messages":  nest(8000, "Content-Type: message/rfc822\nX: %d\n\n"),
		"300,000 nested":         repeat("Content-Type: message/rfc822\n\n", size),
		"8,000 nested multipart": nest(8000, "Content-Type: multipart/mixed; boundary=\"%[1]d.\"\n\n--%[1]d.\n"),
		"prefix boundaries":      prefixes + repeat("--\n--a-\n", size),
		"prefix boundaries, hit": prefixes + repeat("--"+inner+"\n\n", size),
		"boundary in preamble":   mixed + repeat(" --b\n", size),
		"no end":                 mixed + "--b\n" + repeat("--c\n", size),
		"dashes":                 mixed + repeat("-", size),
		"wrong charset":          repeat("Subject: \xff\xfe\nFrom: \xe4 <\xf6@\xfc>\nContent-Type: t\xfc/\xff; x=\xff\n", size),
	}
}

// TestHostile is not parallel: it measures what is allocated.
func TestHostile(t *testing.T) {
	for name, message := range hostile() {
		in := strings.NewReader(message)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		root, err := Scan(in)
		took := time.Since(start)
		runtime.GC()
		runtime.ReadMemStats(&after)
		tree := int64(after.HeapAlloc) - int64(before.HeapAlloc)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := check(root); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		structure := len(AppendBodyStructure(nil, root, true))
		total := after.TotalAlloc - before.TotalAlloc
		t.Logf("%-24s %8v, allocated %6d KiB, tree %5d KiB, structure %5d KiB", name, took.Round(time.Millisecond), total>>10, tree>>10, structure>>10)
		if took > hostileTime || total > hostileMemory || tree > hostileTree || structure > hostileTree {
			t.Errorf("%s: too much", name)
		}
		if parts, depth := measure(root); parts > MaxParts || depth > MaxDepth {
			t.Errorf("%s: %d parts, %d deep", name, parts, depth)
		}
		openAll(t, name, in, root)
	}
}

func measure(p *Part) (parts, depth int) {
	parts, depth = 1, 1
	for _, c := range p.Parts {
		n, d := measure(c)
		parts, depth = parts+n, max(depth, d+1)
	}
	return parts, depth
}

// openAll asks for a few sections in every way.
func openAll(t *testing.T, name string, file io.ReaderAt, root *Part) {
	for _, spec := range []string{"", "HEADER", "TEXT", "1", "1.MIME", "1.HEADER", "1.TEXT", "1" + strings.Repeat(".1", 150),
		"9999", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "1.HEADER.FIELDS"} {
		s, ok := section(spec)
		if !ok {
			t.Fatalf("section %q", spec)
		}
		s.Fields = []string{"Subject", "To"}
		c := opened(t, file, root, s)
		r := newReader()
		r.Reset(c)
		if n, err := io.Copy(io.Discard, r); n != c.Size || err != nil {
			t.Errorf("%s: BODY[%s]: %d of %d octets, %v", name, spec, n, c.Size, err)
		}
	}
}

// TestFragments has lines that end before, at and after the end of the buffer.
func TestFragments(t *testing.T) {
	t.Parallel()
	for pad := BufferSize - 40; pad < BufferSize+40; pad++ {
		message := "Content-Type: multipart/mixed; boundary=b\nX: " + strings.Repeat("x", pad) + "\r\nSubject: s\n\n--b\r\n\r\n" +
			strings.Repeat("y", pad) + "\r\n--b\nContent-ID: " + strings.Repeat("z", pad) + "\r\n\n--b--" + strings.Repeat(" ", pad) + "\n"
		root, err := Scan(strings.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		if len(root.Parts) != 2 || deref(root.Envelope.Subject) != "s" || root.Parts[0].Body.Size() != int64(pad) ||
			len(deref(root.Parts[1].ID)) != pad || root.Size() != int64(len(naive([]byte(message)))) {
			t.Errorf("pad %d: %.300s", pad, AppendBodyStructure(nil, root, false))
		}
	}
}

// naive is the text with all lines ended by CRLF.
func naive(b []byte) []byte {
	b = bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}

func BenchmarkScan(b *testing.B) {
	attachment := "Content-Type: multipart/mixed; boundary=\"----=_Part\"\nSubject: s\nFrom: A B <a@b.example>\n\n------=_Part\n" +
		"Content-Type: text/plain; charset=utf-8\n\nhello\n------=_Part\nContent-Type: application/pdf; name=a.pdf\n" +
		"Content-Transfer-Encoding: base64\n\n" + repeat(strings.Repeat("QUJD", 19)+"\n", 4<<20) + "------=_Part--\n"
	short := "Received: from a.example (a.example [192.0.2.1])\n\tby b.example with ESMTP id 1; Sat, 21 Nov 2026 10:00:00 +0000\n" +
		"From: A B <a@b.example>\nTo: c@d.example, \"E F\" <e@f.example>\nSubject: a subject\nMessage-ID: <1@b.example>\n" +
		"Date: Sat, 21 Nov 2026 10:00:00 +0000\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n" + repeat("a line of text\n", 2000)
	for name, message := range map[string]string{"attachment": attachment, "short": short} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			in := bufio.NewReaderSize(nil, BufferSize)
			for b.Loop() {
				in.Reset(strings.NewReader(message))
				if _, err := Scan(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
