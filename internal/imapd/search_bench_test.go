package imapd

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// searched has 10,000 messages whose headers are in the cache.
func searched(b *testing.B) *server {
	s := newServer(b)
	const head = "Return-Path: <bounce@example.org>\nDelivered-To: bob@example.net\n" +
		"Received: from mx.example.org (mx.example.org [192.0.2.1])\n\tby mail.example.net with ESMTPS id 0123456789abcdef;\n" +
		"\tThu, 12 Mar 2020 10:00:00 +0100\nReceived: from client.example.org (client.example.org [192.0.2.7])\n" +
		"\tby mx.example.org with ESMTPSA id 123456;\n\tThu, 12 Mar 2020 10:00:00 +0100\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=mail;\n\th=from:to:subject:date:message-id;\n\tbh=%064d;\n\tb=%0128d\n" +
		"From: %s <user%d@example.org>\nTo: Bob Example <bob@example.net>, list@example.net\nDate: %s\n" +
		"Subject: Re: report number %d of the %d\nMessage-ID: <%d@example.org>\nReferences: <%d@example.org>\n" +
		"\t<%d@example.org>\nUser-Agent: bench 7\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nbody\n"
	names := [...]string{"Alice Example", `"Doe, Jane"`, "=?utf-8?q?J=C3=B6rg?=", "Carol"}
	for i := range 10_000 {
		date := time.Unix(int64(1500000000+i*7919%1000000), 0).UTC().Format(time.RFC1123Z)
		text := fmt.Sprintf(head, i, i, names[i%len(names)], i%500, date, i%100, i, i, i-i%10, i-1)
		name := fmt.Sprintf("%d.M1P1.h:2,S", 1000000+i)
		if err := os.WriteFile(filepath.Join(s.root, "cur", name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	c := s.connect()
	c.ok("SELECT INBOX")
	c.ok("SEARCH SUBJECT needle")
	c.ok("LOGOUT")
	return s
}

// BenchmarkSearch searches and sorts again, and in a new connection.
func BenchmarkSearch(b *testing.B) {
	s := searched(b)
	for _, command := range []string{
		"SEARCH SUBJECT needle", "SEARCH FROM needle", "SEARCH HEADER X-Spam yes", "SEARCH SENTSINCE 1-Jan-2030", "SEARCH SINCE 1-Jan-2030",
		"SORT (ARRIVAL) UTF-8 ALL", "SORT (DATE) UTF-8 ALL", "SORT (SUBJECT) UTF-8 ALL", "SORT (FROM) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL",
	} {
		for _, again := range []bool{true, false} {
			b.Run(strings.ReplaceAll(command, " ", "_")+fmt.Sprintf("/again=%v", again), func(b *testing.B) {
				c := (*client)(nil)
				for b.Loop() {
					if !again || c == nil {
						b.StopTimer()
						if c != nil {
							c.ok("LOGOUT")
						}
						c = s.connect()
						c.r = bufio.NewReaderSize(c.conn, 64<<10)
						c.ok("SELECT INBOX")
						b.StartTimer()
					}
					c.complete(b, command)
				}
				c.ok("LOGOUT")
			})
		}
	}
}

// complete gives a command and reads what comes until it is done.
func (c *client) complete(b *testing.B, command string) {
	c.send("t " + command + "\r\n")
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			b.Fatal(err)
		}
		if bytes.HasPrefix(line, []byte("t OK")) {
			return
		}
	}
}
