package fetch

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"postrider/internal/imap"
)

// Bounds on what all items of one hostile message may cost together. Time is for a busy machine under the race detector.
const (
	hostileTime   = 60 * time.Second
	hostileMemory = 256 << 20 // octets allocated in all
	hostileKept   = 2 << 20   // octets that stay allocated: what a Fetcher keeps, and buffers
)

func nest(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func hostile() map[string]string {
	const multipart = "Content-Type: multipart/mixed; boundary=b\n\n"
	return map[string]string{
		"empty file":              "",
		"no header":               "\nbody\n",
		"no line end":             strings.Repeat("a", 1<<20),
		"multipart without parts": multipart,
		"multipart, open":         "Content-Type: multipart/mixed\n\n--b\n",
		"8,000 nested messages":   nest(8000, "Content-Type: message/rfc822\nX: %d\n\n"),
		"8,000 nested multiparts": nest(8000, "Content-Type: multipart/mixed; boundary=\"%[1]d.\"\n\n--%[1]d.\n"),
		"header of 10 MB":         nest(150_000, "X-Field-%d: "+strings.Repeat("x", 55)+"\n") + "Subject: s\n\nbody\n",
		"field of 2 MB":           "To: " + strings.Repeat("a@b,\n ", 2<<20/6) + "\n\nbody\n",
		"100,000 parts":           multipart + strings.Repeat("--b\n\nx\n", 100_000) + "--b--\n",
		"message parts":           multipart + strings.Repeat("--b\nContent-Type: message/rfc822\n\nTo: a,b,c\n\nx\n", 20_000),
		"parameters":              "Content-Type: a/b" + strings.Repeat(";a=b", 500_000) + "\n\nx\n",
		"base64 of nothing":       "Content-Type: a/b\nContent-Transfer-Encoding: base64\n\n" + strings.Repeat("====", 1<<18),
		"equals signs":            "Content-Type: a/b\nContent-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("=", 1<<20),
		"NULs":                    strings.Repeat("\x00", 1<<20),
		"NULs in header":          "Subject: \x00\nFrom: \x00 <\x00@\x00>\nContent-Type: text/\x00; x=\"\x00\"\n\n\x00\n",
		"CRs":                     strings.Repeat("\r", 1<<20),
		"line ends":               strings.Repeat("\n", 1<<20),
		"wrong charset":           strings.Repeat("Subject: \xff\xfe\nFrom: \xe4 <\xf6@\xfc>\nContent-Type: t\xfc/\xff; x=\xff\n", 1000) + "\n\xff\n",
	}
}

var everything = []string{
	"FULL", "BODYSTRUCTURE", "ENVELOPE", "BODY[]", "BODY[HEADER]", "BODY[TEXT]", "RFC822", "RFC822.HEADER", "RFC822.TEXT", "BODY[1]", "BODY[1.MIME]",
	"BODY[1.HEADER]", "BODY[1.TEXT]", "BODY[9999]", "BODY[1" + strings.Repeat(".1", 120) + "]", "BODY[HEADER.FIELDS (SUBJECT TO)]",
	"BODY[HEADER.FIELDS.NOT (SUBJECT TO)]", "BODY[1.HEADER.FIELDS (TO)]", "BODY[]<1000000.70000>", "BODY[TEXT]<5.10>", "BODY[1]<3.100>",
	"BODY[HEADER.FIELDS.NOT (SUBJECT)]<2000.3000>", "BINARY.SIZE[1]", "BINARY[1]", "(BINARY[] BINARY[1]<1000.5000>)",
	"(UID FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY[1] BODY[2] BODY[3.MIME] BODY[HEADER] BODY[TEXT])",
}

// TestHostile is not parallel: it measures what is allocated.
func TestHostile(t *testing.T) {
	var requests [][]imap.FetchItem
	for _, items := range everything {
		requests = append(requests, parse(t, items))
	}
	var out bytes.Buffer
	out.Grow(16 << 20)
	for name, text := range hostile() {
		src := newMail(t, text)
		var f Fetcher
		w := imap.NewWriter(&out)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		slowest, slow := time.Duration(0), ""
		for i, items := range requests {
			out.Reset()
			began := time.Now()
			if err := f.Answer(t.Context(), w, &Message{Seq: 1, UID: 1, Source: src}, items); err != nil {
				t.Fatalf("%s: %s: %v", name, everything[i], err)
			}
			if took := time.Since(began); took > slowest {
				slowest, slow = took, everything[i]
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			if _, err := literals(out.Bytes()); err != nil {
				t.Errorf("%s: %s: %v", name, everything[i], err)
			}
		}
		took := time.Since(start)
		runtime.GC()
		runtime.ReadMemStats(&after)
		total, kept := int64(after.TotalAlloc-before.TotalAlloc), int64(after.HeapAlloc)-int64(before.HeapAlloc)
		t.Logf("%-24s %8v in all, %8v for %.40s; allocated %6d KiB, kept %4d KiB", name, took.Round(time.Millisecond),
			slowest.Round(time.Millisecond), slow, total>>10, kept>>10)
		if took > hostileTime || total > hostileMemory || kept > hostileKept {
			t.Errorf("%s: too much", name)
		}
		runtime.KeepAlive(&f)
	}
}
