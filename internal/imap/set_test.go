package imap

import (
	"reflect"
	"testing"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	tests := []struct {
		set  string
		max  uint32
		want string
	}{
		{"1:*", 5, "1:5"}, {"*", 5, "5"}, {"9:*", 5, "5:9"}, {"*:4", 9, "4:9"}, {"5,1:3,2:4", 9, "1:5"},
		{"1,3,2", 9, "1:3"}, {"7,1:4294967295", 3, "1:4294967295"}, {"4294967295,1", 9, "1,4294967295"},
		{"1:*", 0, "1"}, {"*", 0, ""}, {"*:*", 0, ""}, {"2:1,9:8", 9, "1:2,8:9"},
	}
	for _, test := range tests {
		set, err := parseSetText(test.set)
		if err != nil {
			t.Fatal(test.set, err)
		}
		if got := set.Resolve(test.max).String(); got != test.want {
			t.Errorf("%s in %d: %s, want %s", test.set, test.max, got, test.want)
		}
	}
}

func TestSetContainsAddLen(t *testing.T) {
	t.Parallel()
	var set Set
	numbers := []uint32{1, 2, 3, 7, 9, 10, 4294967294, 4294967295}
	for _, n := range numbers {
		set = set.Add(n)
	}
	if want := (Set{{1, 3}, {7, 7}, {9, 10}, {4294967294, 4294967295}}); !reflect.DeepEqual(set, want) {
		t.Errorf("got %v", set)
	}
	if set.Len() != uint64(len(numbers)) {
		t.Errorf("Len = %d", set.Len())
	}
	for _, n := range numbers {
		if !set.Contains(n) {
			t.Errorf("does not contain %d", n)
		}
	}
	for _, n := range []uint32{4, 6, 8, 11, 4294967293} {
		if set.Contains(n) {
			t.Errorf("contains %d", n)
		}
	}
}

func parseSetText(text string) (Set, error) {
	r, _ := newTestReader(text + "\r\n")
	p := parser{r: r, left: r.Limits.Line}
	set := p.set()
	p.end()
	return set, p.err
}

func FuzzSet(f *testing.F) {
	for _, seed := range []string{"1", "*", "1:*", "*:3,9,4:2", "1,2,3:9,10:*", "4294967295:1,5"} {
		f.Add(seed, uint32(7))
	}
	f.Fuzz(func(t *testing.T, text string, max uint32) {
		set, err := parseSetText(text)
		if err != nil {
			return
		}
		again, err := parseSetText(set.String())
		if err != nil || !reflect.DeepEqual(again, set) {
			t.Fatalf("%q: %v, read again: %v, %v", text, set, again, err)
		}
		var last uint64
		for i, r := range set.Resolve(max) {
			if r.Start == 0 || r.Start > r.Stop || i > 0 && uint64(r.Start) <= last+1 {
				t.Fatalf("%q in %d: %v", text, max, set.Resolve(max))
			}
			last = uint64(r.Stop)
		}
	})
}
