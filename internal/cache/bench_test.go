package cache

import (
	"fmt"
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
			if err := Append(dir, &batch); err != nil {
				b.Fatal(err)
			}
		}
		batch.Add(r)
	}
	if err := Append(dir, &batch); err != nil {
		b.Fatal(err)
	}
	return dir, names
}

func BenchmarkRefresh(b *testing.B) {
	for _, each := range []bool{false, true} {
		b.Run(fmt.Sprintf("OneByOne=%v", each), func(b *testing.B) {
			dir, _ := benchCache(b, each)
			for b.Loop() {
				c := Open(dir)
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
	c := Open(dir)
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
