package fetch

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"postrider/internal/cache"
	"postrider/internal/crew"
	"postrider/internal/imap"
)

const benchHeader = "Return-Path: <sender@a.example>\nDelivered-To: user@b.example\n" +
	"Received: from mail.a.example (mail.a.example [192.0.2.1])\n\tby mx.b.example (Postrider) with ESMTPS id 1234567890\n" +
	"\tfor <user@b.example>; Sat, 21 Nov 2026 10:00:00 +0000\nDKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.example;\n" +
	"\ts=s1; h=from:to:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\n\tb=abcdefghijklmnopqrstuvwxyz0123456789\n" +
	"From: \"A. Sender\" <sender@a.example>\nTo: User <user@b.example>, other@c.example\nCc: list@d.example\n" +
	"Subject: a subject of usual length, with a few words\nDate: Sat, 21 Nov 2026 10:00:00 +0000\n" +
	"Message-ID: <1234567890@a.example>\nIn-Reply-To: <1234567889@b.example>\nReferences: <1@a.example> <2@b.example>\n" +
	"MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=\"=_b\"\nX-Mailer: none\n\n"

// benchMail is a message of about size octets.
func benchMail(size int) string {
	line := strings.Repeat("0123456789 ", 6) + "\n"
	part := strings.Repeat(line, max(1, (size-len(benchHeader)-150)/2/len(line)))
	return benchHeader + "--=_b\nContent-Type: text/plain; charset=utf-8\n\n" + part +
		"--=_b\nContent-Type: text/html; charset=utf-8\n\n" + part + "--=_b--\n"
}

// BenchmarkAnswer is for one message, by the item; bodies are of several sizes.
func BenchmarkAnswer(b *testing.B) {
	const headers = "BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups " +
		"In-Reply-To Content-Type Reply-To List-Id)]"
	for _, c := range []struct {
		name, items string
		size        int
	}{
		{"Flags", "(UID FLAGS)", 8 << 10},
		{"HeaderFields", "(UID FLAGS RFC822.SIZE " + headers + ")", 8 << 10},
		{"Envelope", "(UID ENVELOPE)", 8 << 10},
		{"HeaderEnvelopeStructure", "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE " + headers + ")", 8 << 10},
		{"Body8KiB", "(UID BODY.PEEK[])", 8 << 10},
		{"Body30KiB", "(UID BODY.PEEK[])", 30 << 10},
		{"Body1MiB", "(UID BODY.PEEK[])", 1 << 20},
		{"Body16MiB", "(UID BODY.PEEK[])", 16 << 20},
		{"Part16MiB", "(UID BODY.PEEK[2])", 16 << 20},
		{"Slice16MiB", "(UID BODY.PEEK[]<15000000.65536>)", 16 << 20},
	} {
		b.Run(c.name, func(b *testing.B) {
			count := max(1, min(1000, 8<<20/c.size))
			var sources []*mail
			dir := b.TempDir()
			for i := range count {
				path := filepath.Join(dir, fmt.Sprint(i))
				if err := os.WriteFile(path, []byte(benchMail(c.size)), 0o600); err != nil {
					b.Fatal(err)
				}
				sources = append(sources, &mail{path: path, wire: 1})
			}
			items := parse(b, c.items)
			w := imap.NewWriter(io.Discard)
			var f Fetcher
			n := 0
			b.ReportAllocs()
			b.SetBytes(int64(len(ask(b, &f, sources[0], c.items))))
			for b.Loop() {
				uid := uint32(n%count + 1)
				m := &Message{Seq: uid, UID: uid, Flags: []imap.Flag{imap.FlagSeen}, Source: sources[n%count]}
				if err := f.Answer(b.Context(), w, m, items); err != nil {
					b.Fatal(err)
				}
				n++
			}
		})
	}
}

// BenchmarkHeaders is what a new client asks for, of 10,000 messages: with nothing in the cache, and with all.
func BenchmarkHeaders(b *testing.B) {
	texts := make([]string, 10_000)
	for i := range texts {
		texts[i] = benchMail(8 << 10)
	}
	dir, list := store(b, texts...)
	const items = "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (From To Subject Date)])"
	for _, warm := range []bool{false, true} {
		b.Run(fmt.Sprintf("Warm=%v", warm), func(b *testing.B) {
			for b.Loop() {
				if !warm {
					os.Remove(filepath.Join(dir, cache.FileName))
				}
				f := &Fetcher{Cache: cache.Open(filepath.Join(dir, cache.FileName)), Crew: crew.New(runtime.GOMAXPROCS(0))}
				f.Cache.Refresh()
				all(b, f, list, items)
				f.Cache.Close()
			}
		})
	}
}
