package search

import (
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
	"strings"
	"testing"
	"time"
)

// BenchmarkBody searches a text that is not there through messages that fill several windows.
func BenchmarkBody(b *testing.B) {
	english := strings.Repeat("The quick brown fox jumps over the lazy dog; so it is told, again and again.\n", 13_000)
	german := strings.Repeat("Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich, immer wieder.\n", 13_000)
	russian := strings.Repeat("Съешь ещё этих мягких французских булок, да выпей же чаю.\n", 10_000)
	var qp strings.Builder
	w := quotedprintable.NewWriter(&qp)
	w.Write([]byte(german))
	w.Close()
	for _, c := range []struct{ name, encoding, body string }{
		{"plain", "7bit", english},
		{"base64", "base64", lines(base64.StdEncoding.EncodeToString([]byte(english)))},
		{"quoted-printable", "quoted-printable", strings.ReplaceAll(qp.String(), "\r\n", "\n")},
		{"german", "8bit", german},
		{"russian", "8bit", russian},
	} {
		message := "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: " + c.encoding + "\n\n" + c.body
		for _, text := range []string{"needle", "größer"} {
			b.Run(c.name+"/"+text, func(b *testing.B) {
				box, _ := mailbox(b, map[string][]byte{"m": []byte(message)})
				benchmark(b, "SEARCH CHARSET UTF-8 BODY "+literal(text), box, len(message))
			})
		}
	}
}

// BenchmarkMailbox searches 10,000 messages of some kilobytes.
func BenchmarkMailbox(b *testing.B) {
	const messages = 10_000
	const head = "Return-Path: <alice@example.org>\nReceived: from mx.example.org (mx.example.org [192.0.2.1])\n" +
		"\tby mail.example.net (postrider) with ESMTPS id 0123456789abcdef;\n\tThu, 12 Mar 2020 10:00:00 +0100\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=mail;\n\th=from:to:subject; bh=c2ln; b=c2lnbmF0dXJlc2lnbmF0dXJl\n" +
		"From: Alice Example <alice@example.org>\nTo: Bob <bob@example.net>\nDate: Thu, 12 Mar 2020 10:00:00 +0100\n" +
		"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= number %d\nMessage-ID: <%d@example.org>\nMIME-Version: 1.0\n" +
		"Content-Type: text/plain; charset=utf-8\n\n"
	contents := make(map[string][]byte, messages)
	for i := range messages {
		contents[fmt.Sprint(i)] = []byte(fmt.Sprintf(head, i, i) + strings.Repeat("Nothing to see in this line, please move along.\n", i%200))
	}
	box, _ := mailbox(b, contents)
	for _, keys := range []string{"UNSEEN", "SUBJECT needle", "FROM needle", "SENTSINCE 1-Jan-2030", "BODY needle", "TEXT needle"} {
		b.Run(keys, func(b *testing.B) { benchmark(b, "SEARCH "+keys, box, 0) })
	}
}

func benchmark(b *testing.B, command string, box []*mail, size int) {
	q := newQuery(b, command, len(box))
	b.SetBytes(int64(size))
	b.ReportAllocs()
	start, n := time.Now(), 0
	for b.Loop() {
		n++
		find(b, q, box)
	}
	b.ReportMetric(float64(time.Since(start).Microseconds())/float64(n*len(box)), "µs/message")
}
