package cache

import (
	"fmt"
	"strings"
	"testing"
)

// benchCache has 10,000 records, appended in large blocks or, as by delivery, one by one.
func benchCache(b *testing.B, each bool) (dir string, names []string) {
	dir = b.TempDir()
	r := build(b, "x", true)
	r.Header = make([]byte, 2000)
	var batch Batch
	for i := range 10_000 {
		r.Base = fmt.Sprintf("1700000%03d.M%dP1234.host.example.org,S=12345,W=12389", i%1000, i)
		names = append(names, r.Base)
		if batch.Full() || each {
			if err := Append(in(dir), &batch); err != nil {
				b.Fatal(err)
			}
		}
		batch.Add(r)
	}
	if err := Append(in(dir), &batch); err != nil {
		b.Fatal(err)
	}
	return dir, names
}

func BenchmarkRefresh(b *testing.B) {
	for _, each := range []bool{false, true} {
		b.Run(fmt.Sprintf("OneByOne=%v", each), func(b *testing.B) {
			dir, _ := benchCache(b, each)
			for b.Loop() {
				c := Open(in(dir))
				if c.Refresh(); len(c.entries) != 10_000 {
					b.Fatal(len(c.entries))
				}
				c.Close()
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	dir, names := benchCache(b, false)
	c := Open(in(dir))
	c.Refresh()
	for b.Loop() {
		var w Window
		for _, n := range names {
			if c.Get(&w, n, -1) == nil {
				b.Fatal(n)
			}
		}
	}
}

// benchMail is an ordinary message of 24 KiB.
var benchMail = "Return-Path: <sender@a.example>\nDelivered-To: user@b.example\n" +
	"Received: from mail.a.example (mail.a.example [192.0.2.1])\n\tby mx.b.example (Postrider) with ESMTPS id 1234567890\n" +
	"\tfor <user@b.example>; Sat, 21 Nov 2026 10:00:00 +0000\nDKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.example;\n" +
	"\ts=s1; h=from:to:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\n\tb=abcdefghijklmnopqrstuvwxyz0123456789\n" +
	"From: \"A. Sender\" <sender@a.example>\nTo: User <user@b.example>, other@c.example\nCc: list@d.example\n" +
	"Subject: a subject of usual length, with a few words\nDate: Sat, 21 Nov 2026 10:00:00 +0000\n" +
	"Message-ID: <1234567890@a.example>\nIn-Reply-To: <1234567889@b.example>\nReferences: <1@a.example> <2@b.example>\n" +
	"MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=\"=_b\"\nX-Mailer: none\n\n" +
	"--=_b\nContent-Type: text/plain; charset=utf-8\n\n" + strings.Repeat("a line of text, as lines of text are - more or less.\n", 100) +
	"--=_b\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" +
	strings.Repeat("<p style='font-size: 12px'>a line of text - somewhat longer</p>\n", 290) + "--=_b--\n"

// BenchmarkBuild makes the record of a message: of its header, and of the whole.
func BenchmarkBuild(b *testing.B) {
	info := Info{Size: int64(len(benchMail)), Wire: -1, Date: arrived}
	for _, whole := range []bool{false, true} {
		b.Run(fmt.Sprintf("Whole=%v", whole), func(b *testing.B) {
			builder := builder()
			b.ReportAllocs()
			for b.Loop() {
				if r, err := builder.Build("m", info, strings.NewReader(benchMail), whole); err != nil || r == nil {
					b.Fatal(r, err)
				}
			}
		})
	}
}

// BenchmarkKey is what sorting reads in a new connection.
func BenchmarkKey(b *testing.B) {
	for _, each := range []bool{false, true} {
		b.Run(fmt.Sprintf("OneByOne=%v", each), func(b *testing.B) {
			dir, names := benchCache(b, each)
			c := Open(in(dir))
			c.Refresh()
			for b.Loop() {
				var w Window
				for _, n := range names {
					if _, _, ok := c.Key(&w, n, -1); !ok {
						b.Fatal(n)
					}
				}
			}
		})
	}
}
