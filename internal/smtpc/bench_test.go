package smtpc

import (
	"bytes"
	"strings"
	"testing"

	"postrider/internal/smtpc/smtpctest"
)

func BenchmarkSend(b *testing.B) {
	for _, ext := range [][]string{nil, {"PIPELINING"}, {"PIPELINING", "CHUNKING"}} {
		for name, size := range map[string]int{"4k": 4 << 10, "10M": 10 << 20} {
			b.Run(strings.Join(ext, "+")+"/"+name, func(b *testing.B) {
				s := (&smtpctest.Server{Extensions: ext, Forget: true}).Start(b)
				c, err := Dial(b.Context(), s.Path, Options{}, 0)
				if err != nil {
					b.Fatal(err)
				}
				defer c.Quit()
				body := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz\r\n"), size/74)
				e := simple("bob@example.org")
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.Send(b.Context(), e, bytes.NewReader(body)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkStuffing(b *testing.B) {
	block := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz\r\n.x\r\n"), blockSize/78)
	var out []byte
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	for b.Loop() {
		dots := newStuffing()
		out = dots.append(out[:0], block)
	}
}
