package imap

import "strconv"

// SearchResult is what a SEARCH or SORT found.
type SearchResult struct {
	UID     bool // the numbers are UIDs
	Return  SearchReturn
	Partial ResultRange // of ReturnPartial
	Found   Set         // ascending; of a SORT ranges in its order (RFC 5267 §4.1)
	ModSeq  uint64      // the largest of the messages that are named; 0 = nobody asked, or none is (RFC 7162 §3.1.5)
}

// Search and Sort write the numbers one by one.
func (w *Writer) Search(r *SearchResult) { w.numbers("* SEARCH", r) }
func (w *Writer) Sort(r *SearchResult)   { w.numbers("* SORT", r) }

func (w *Writer) numbers(response string, r *SearchResult) {
	w.add(append(w.buf, response...))
	for _, span := range r.Found {
		for n := uint64(span.Start); n <= uint64(span.Stop); n++ {
			w.add(appendUint(append(w.buf, ' '), n))
		}
	}
	if r.ModSeq > 0 {
		w.add(append(appendUint(append(w.buf, " (MODSEQ "...), r.ModSeq), ')'))
	}
	w.line(w.buf)
}

// ESearch writes the result of an extended SEARCH with a tag (RFC 4731 §3.1, 9394 §3.1).
func (w *Writer) ESearch(tag string, r *SearchResult) {
	b := append(w.buf, "* ESEARCH (TAG "...)
	b = append(appendString(b, tag), ')')
	if r.UID {
		b = append(b, " UID"...)
	}
	asks := func(option SearchReturn) bool { return r.Return&option != 0 }
	if len(r.Found) > 0 && asks(ReturnMin) {
		b = appendUint(append(b, " MIN "...), uint64(r.Found[0].Start))
	}
	if len(r.Found) > 0 && asks(ReturnMax) {
		b = appendUint(append(b, " MAX "...), uint64(r.Found[len(r.Found)-1].Stop))
	}
	if len(r.Found) > 0 && asks(ReturnAll) {
		b = r.Found.Append(append(b, " ALL "...))
	}
	if asks(ReturnPartial) {
		b = r.appendPartial(b)
	}
	if asks(ReturnCount) {
		b = appendUint(append(b, " COUNT "...), r.Found.Len())
	}
	if r.ModSeq > 0 {
		b = appendUint(append(b, " MODSEQ "...), r.ModSeq)
	}
	w.line(b)
}

func (r *SearchResult) appendPartial(b []byte) []byte {
	b = r.Partial.append(append(b, " PARTIAL ("...))
	page := r.Found.Slice(r.Partial)
	if len(page) == 0 {
		return append(b, " NIL)"...)
	}
	return append(page.Append(append(b, ' ')), ')')
}

func (r ResultRange) append(b []byte) []byte {
	b = strconv.AppendInt(b, r.First, 10)
	return strconv.AppendInt(append(b, ':'), r.Last, 10)
}

// Of is the places, counted from 0, that the range has in so many results: from lo to hi-1.
func (r ResultRange) Of(results uint64) (lo, hi uint64) {
	first, last := uint64(max(r.First, -r.First)), uint64(max(r.Last, -r.Last))
	lo, hi = min(first-1, results), min(last, results)
	if r.First < 0 {
		lo, hi = results-hi, results-lo
	}
	return lo, hi
}

// Slice is the numbers of a resolved set that have places in the range.
func (s Set) Slice(r ResultRange) (slice Set) {
	lo, hi := r.Of(s.Len())
	for _, span := range s {
		n := uint64(span.Stop) - uint64(span.Start) + 1
		if from, to := min(lo, n), min(hi, n); from < to {
			slice = append(slice, Range{span.Start + uint32(from), span.Start + uint32(to-1)})
		}
		lo, hi = lo-min(lo, n), hi-min(hi, n)
	}
	return slice
}
