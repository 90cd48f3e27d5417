package imap

import (
	"io"
	"strconv"
	"time"
)

// BeginFetch opens the response for a message; data items follow in any order, then EndFetch. In a session of UIDs only the number is
// the UID.
func (w *Writer) BeginFetch(number uint32) {
	b, name := appendUint(append(w.buf, "* "...), uint64(number)), " FETCH ("
	if w.UIDOnly {
		name = " UIDFETCH ("
	}
	w.add(append(b, name...))
	w.first = true
}

// EndFetch closes the response.
func (w *Writer) EndFetch() { w.line(append(w.buf, ')')) }

// item appends the name of a data item and a space.
func (w *Writer) item(name string) []byte {
	b := append(w.space(), name...)
	return append(b, ' ')
}

func (w *Writer) space() []byte {
	if w.first {
		w.first = false
		return w.buf
	}
	return append(w.buf, ' ')
}

// FetchUID writes a data item.
func (w *Writer) FetchUID(uid uint32) { w.add(appendUint(w.item("UID"), uint64(uid))) }

// FetchFlags writes a data item.
func (w *Writer) FetchFlags(flags []Flag) { w.add(appendFlags(w.item("FLAGS"), flags)) }

// FetchSize writes RFC822.SIZE, which counts every line end as CRLF.
func (w *Writer) FetchSize(size int64) { w.add(strconv.AppendInt(w.item("RFC822.SIZE"), size, 10)) }

// FetchInternalDate writes a data item.
func (w *Writer) FetchInternalDate(t time.Time) { w.add(appendDateTime(w.item("INTERNALDATE"), t)) }

// FetchModSeq writes a data item (RFC 7162).
func (w *Writer) FetchModSeq(n uint64) {
	w.add(append(appendUint(append(w.item("MODSEQ"), '('), n), ')'))
}

// FetchWire writes a data item whose value is in wire form: ENVELOPE, BODY, BODYSTRUCTURE.
func (w *Writer) FetchWire(attr FetchAttr, wire []byte) {
	w.add(append(w.item(fetchNames[attr]), wire...))
}

// FetchLiteral writes size octets of the message from src. If src fails or ends before, nothing more can be said: the
// error stays in the Writer.
func (w *Writer) FetchLiteral(item *FetchItem, size int64, src io.Reader) {
	w.add(w.section(item))
	w.octets += size
	w.copyLiteral(size, src, false)
}

// FetchBinary is FetchLiteral for octets as they are, in a literal8 (RFC 3516 §4.3).
func (w *Writer) FetchBinary(item *FetchItem, size int64, src io.Reader) {
	w.add(w.section(item))
	w.octets += size
	w.copyLiteral(size, src, true)
}

// FetchPreview writes a data item (RFC 8970): text in UTF-8 without control characters.
func (w *Writer) FetchPreview(text string) {
	b := w.item("PREVIEW")
	if w.UTF8 {
		w.add(appendQuoted(b, text))
		return
	}
	w.add(appendString(b, text))
}

// FetchBinarySize writes the data item of the section (RFC 3516 §4.3).
func (w *Writer) FetchBinarySize(item *FetchItem, size int64) {
	w.add(strconv.AppendInt(w.section(item), size, 10))
}

// section appends the name of a data item and a space, the names of header fields in upper case as Dovecot does.
func (w *Writer) section(item *FetchItem) []byte {
	b := w.space()
	start := len(b)
	b = item.appendName(b)
	for i, c := range b[start:] {
		if 'a' <= c && c <= 'z' {
			b[start+i] = c - 'a' + 'A'
		}
	}
	return append(b, ' ')
}
