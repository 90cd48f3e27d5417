package imap

import (
	"reflect"
	"strings"
	"testing"
)

func TestSortCommands(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Command{
		"SORT (SUBJECT) UTF-8 ALL": &Sort{
			Search: Search{Charset: "UTF-8", Key: Key{Op: KeyAnd, Keys: []Key{{Op: KeyAll}}}},
			By:     []SortCriterion{{SortSubject, false}},
		},
		"uid sort return (min partial 1:5) (reverse date arrival REVERSE Size) us-ascii seen 1:2": &Sort{
			Search: Search{UID: true, Extended: true, Return: ReturnMin | ReturnPartial, Partial: ResultRange{1, 5}, Charset: "US-ASCII",
				Key: Key{Op: KeyAnd, Keys: []Key{{Op: KeyFlag, Flag: FlagSeen}, {Op: KeySeq, Set: Set{{1, 2}}}}}},
			By: []SortCriterion{{SortDate, true}, {SortArrival, false}, {SortSize, true}},
		},
		"SORT (CC TO FROM DISPLAYFROM DISPLAYTO CC) \"UTF-8\" (ALL)": &Sort{
			Search: Search{Charset: "UTF-8", Key: Key{Op: KeyAnd, Keys: []Key{{Op: KeyAnd, Keys: []Key{{Op: KeyAll}}}}}},
			By:     []SortCriterion{{SortCc, false}, {SortTo, false}, {SortFrom, false}, {SortDisplayFrom, false}, {SortDisplayTo, false}},
		},
		"THREAD references UTF-8 UNSEEN": &Thread{
			Search:    Search{Charset: "UTF-8", Key: Key{Op: KeyAnd, Keys: []Key{{Op: KeyNotFlag, Flag: FlagSeen}}}},
			Algorithm: ThreadReferences,
		},
		"UID THREAD ORDEREDSUBJECT X ALL": &Thread{
			Search:    Search{UID: true, Charset: "X", Key: Key{Op: KeyAnd, Keys: []Key{{Op: KeyAll}}}},
			Algorithm: ThreadOrderedSubject,
		},
	} {
		r, _ := newTestReader("a " + in + "\r\n")
		req, err := r.Next()
		if err != nil || !reflect.DeepEqual(req.Command, want) {
			t.Errorf("%s: %+v, %v", in, req, err)
		}
	}
	for _, in := range []string{
		"SORT", "SORT ALL", "SORT () UTF-8 ALL", "SORT (X) UTF-8 ALL", "SORT (REVERSE) UTF-8 ALL", "SORT (REVERSE REVERSE DATE) UTF-8 ALL",
		"SORT (DATE) UTF-8", "SORT (DATE)", "SORT (DATE) UTF-8 X", "SORT RETURN (DATE) UTF-8 ALL", "SORT (DATE REVERSE) UTF-8 ALL",
		"THREAD", "THREAD X UTF-8 ALL", "THREAD REFS UTF-8", "THREAD REFS", "THREAD RETURN () REFS UTF-8 ALL",
		"SORT (" + strings.Repeat("DATE ", 5000) + ") UTF-8 ALL",
	} {
		r, _ := newTestReader("a " + in + "\r\n")
		if req, err := r.Next(); err == nil {
			t.Errorf("%s: %+v", in, req)
		}
	}
}

// TestThreadResponse has the examples of RFC 5256 §4.
func TestThreadResponse(t *testing.T) {
	t.Parallel()
	type node struct {
		number  uint32
		answers int
	}
	for want, nodes := range map[string][]node{
		"":                          nil,
		" (1)":                      {{1, 0}},
		" (166)(167)(168)":          {{166, 0}, {167, 0}, {168, 0}},
		" (2)(3 6 (4 23)(44 7 96))": {{2, 0}, {3, 1}, {6, 2}, {4, 1}, {23, 0}, {44, 1}, {7, 1}, {96, 0}},
		" ((3)(5))":                 {{0, 2}, {3, 0}, {5, 0}},
		" ((1 2)(3))(4)":            {{0, 2}, {1, 1}, {2, 0}, {3, 0}, {4, 0}},
		" (1 (2 (3)(4))(5))":        {{1, 2}, {2, 2}, {3, 0}, {4, 0}, {5, 0}},
	} {
		var b strings.Builder
		w := NewWriter(&b)
		w.Thread(func(yield func(uint32, int) bool) {
			for _, n := range nodes {
				if !yield(n.number, n.answers) {
					return
				}
			}
		})
		w.Flush()
		if got := b.String(); got != "* THREAD"+want+"\r\n" {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

// FuzzSort checks the bounds of SORT and THREAD.
func FuzzSort(f *testing.F) {
	for _, seed := range []string{"SORT (DATE) UTF-8 ALL", "UID SORT RETURN (MIN PARTIAL 1:2) (REVERSE DATE CC) X OR 1 2", "THREAD REFS UTF-8 (SEEN)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, command string) {
		r, _ := newTestReader("a " + command + "\r\n")
		req, err := r.Next()
		if err != nil {
			return
		}
		nodes := 0
		switch c := req.Command.(type) {
		case *Sort:
			if len(c.By) == 0 || len(c.By) > int(SortTo) {
				t.Errorf("%+v", c.By)
			}
			checkKey(t, &c.Key, 0, &nodes)
		case *Thread:
			if c.Algorithm == 0 || c.Extended {
				t.Errorf("%+v", c)
			}
			checkKey(t, &c.Key, 0, &nodes)
		}
	})
}
