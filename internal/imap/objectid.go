package imap

import "time"

// CodeMailboxID is of SELECT and CREATE (RFC 8474 §4).
func CodeMailboxID(id string) Code { return Code("MAILBOXID (" + id + ")") }

// FetchObjectID writes EMAILID or THREADID (RFC 8474 §5); an empty identifier is none.
func (w *Writer) FetchObjectID(attr FetchAttr, id string) {
	b := w.item(fetchNames[attr])
	if id == "" {
		w.add(append(b, "NIL"...))
		return
	}
	w.add(append(append(append(b, '('), id...), ')'))
}

// FetchSaveDate writes SAVEDATE (RFC 8514 §4.2).
func (w *Writer) FetchSaveDate(t time.Time) { w.add(appendDateTime(w.item("SAVEDATE"), t)) }
