package imap

import "testing"

// TestSearchResults has the examples of RFC 7162 §3.1.5 and RFC 9394 §3.1.
func TestSearchResults(t *testing.T) {
	t.Parallel()
	many := Set{{199, 199}, {201, 250}, {252, 299}}
	tests := []struct {
		want     string
		extended bool
		result   SearchResult
	}{
		{"* SEARCH 2 5 6 (MODSEQ 917162500)", false, SearchResult{Found: Set{{2, 2}, {5, 6}}, ModSeq: 917162500}},
		{`* ESEARCH (TAG "a") ALL 1:3,5 MODSEQ 1236`, true, SearchResult{Return: ReturnAll, Found: Set{{1, 3}, {5, 5}}, ModSeq: 1236}},
		{`* ESEARCH (TAG "a") UID PARTIAL (-1:-99 199,201:250,252:299)`, true,
			SearchResult{UID: true, Return: ReturnPartial, Partial: ResultRange{-1, -99}, Found: append(Set{{1, 50}}, many...)}},
		{`* ESEARCH (TAG "a") PARTIAL (51:52 250,252) COUNT 99`, true,
			SearchResult{Return: ReturnPartial | ReturnCount, Partial: ResultRange{51, 52}, Found: many}},
		{`* ESEARCH (TAG "a") PARTIAL (23500:24000 NIL)`, true, SearchResult{Return: ReturnPartial, Partial: ResultRange{23500, 24000}, Found: many}},
	}
	for _, test := range tests {
		got := written(func(w *Writer) {
			if test.extended {
				w.ESearch("a", &test.result)
			} else {
				w.Search(&test.result)
			}
		})
		if got != test.want+"\r\n" {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
	}
}
