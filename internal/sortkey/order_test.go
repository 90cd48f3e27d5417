package sortkey

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postrider/internal/imap"
)

// sorted is a message with all that it may be sorted by.
type sorted struct {
	Key
	date, arrived, size int64
}

func (m *sorted) value(by imap.SortKey) Value {
	switch by {
	case imap.SortArrival:
		return Number(m.arrived)
	case imap.SortDate:
		return Number(m.date)
	case imap.SortSize:
		return Number(m.size)
	}
	return Text(m.Text(by))
}

func TestOrder(t *testing.T) {
	t.Parallel()
	messages := []sorted{
		{keyOf("Subject: b\nFrom: zoe@x\nTo: x\n"), 110, 5, 30},
		{keyOf("Subject: Re: a\nFrom: Adam <y@x>\n"), 108, 4, 10},
		{keyOf("Subject: B\nFrom: Zoe <a@x>\nCc: k@l\n"), 3, 3, 20},
		{"", 2, 2, 20},
		{keyOf("Subject: abcdefgh2\n"), -100, 1, 5},
		{keyOf("Subject: abcdefgh1\nTo: \"A\" <z@x>\n"), 0, 0, 5},
	}
	for by, want := range map[string]string{
		"ARRIVAL":              "5 4 3 2 1 0",
		"REVERSE ARRIVAL":      "0 1 2 3 4 5",
		"SIZE":                 "4 5 1 2 3 0",
		"REVERSE SIZE":         "0 2 3 1 4 5", // those of the same size stay
		"DATE":                 "4 5 3 2 1 0",
		"SUBJECT":              "3 1 5 4 0 2",
		"REVERSE SUBJECT":      "0 2 4 5 1 3",
		"SUBJECT REVERSE DATE": "3 1 5 4 0 2",
		"FROM":                 "3 4 5 2 1 0",
		"TO":                   "1 2 3 4 0 5",
		"CC SIZE":              "4 5 1 3 0 2",
		"DISPLAYFROM":          "3 4 5 1 2 0",
		"DISPLAYTO ARRIVAL":    "4 3 2 1 5 0",
		"SIZE REVERSE ARRIVAL": "4 5 1 2 3 0",
		"CC REVERSE SIZE":      "0 3 1 4 5 2",
	} {
		var columns []Column
		for _, c := range criteria(t, by) {
			values := make([]Value, len(messages))
			for i := range messages {
				values[i] = messages[i].value(c.Key)
			}
			columns = append(columns, Column{Rank(values), c.Reverse})
		}
		got := strings.Trim(fmt.Sprint(Order(columns)), "[]")
		if got != want {
			t.Errorf("%s: %s, not %s", by, got, want)
		}
	}
	if got := Order([]Column{{Rank(nil), false}}); len(got) != 0 {
		t.Error(got)
	}
}

type silent struct{}

func (silent) Continue(string) error { return nil }
func (silent) Flush() error          { return nil }

func criteria(t *testing.T, by string) []imap.SortCriterion {
	t.Helper()
	r := imap.NewReader(strings.NewReader("a SORT ("+by+") UTF-8 ALL\r\n"), silent{})
	r.State, r.Limits = imap.Selected, imap.LimitsAfterLogin
	request, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	return request.Command.(*imap.Sort).By
}

func TestRank(t *testing.T) {
	t.Parallel()
	values := []Value{Text("b"), Text("abcdefghi"), Text("abcdefgh"), {}, Text("b\x00"), Text("abcdefghi"), Text("")}
	if got, want := Rank(values), []uint32{3, 2, 1, 0, 4, 2, 0}; !slices.Equal(got, want) {
		t.Errorf("%d, not %d", got, want)
	}
	values = []Value{Number(-1), Number(1 << 62), {}, Number(0), Number(-1)}
	if got, want := Rank(values), []uint32{1, 3, 0, 2, 1}; !slices.Equal(got, want) {
		t.Errorf("%d, not %d", got, want)
	}
}

func TestRanks(t *testing.T) {
	t.Parallel()
	var r Ranks
	r.Keep(imap.SortDate, 7, []uint32{2, 3, 5, 9}, []uint32{1, 0, 1, 2})
	for _, c := range []struct {
		uidValidity uint32
		by          imap.SortKey
		uids, want  []uint32
	}{
		{7, imap.SortDate, []uint32{2, 3, 5, 9}, []uint32{1, 0, 1, 2}},
		{7, imap.SortDate, []uint32{3, 9}, []uint32{0, 2}},
		{7, imap.SortDate, []uint32{1, 2}, nil},
		{7, imap.SortDate, []uint32{2, 4}, nil},
		{7, imap.SortDate, []uint32{2, 3, 5, 9, 10}, nil},
		{7, imap.SortDate, []uint32{9, 10}, nil},
		{8, imap.SortDate, []uint32{2}, nil},
		{7, imap.SortTo, []uint32{2}, nil},
	} {
		if got := r.Find(c.by, c.uidValidity, c.uids); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
