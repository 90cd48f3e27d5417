package imap

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"postrider/internal/mutf7"
)

// Code is a response code without its brackets (RFC 3501 §7.1, 5530).
type Code string

// Response codes without arguments.
const (
	CodeAlreadyExists        Code = "ALREADYEXISTS"
	CodeAuthenticationFailed Code = "AUTHENTICATIONFAILED"
	CodeBadCharset           Code = "BADCHARSET (US-ASCII UTF-8)"
	CodeCannot               Code = "CANNOT"
	CodeClosed               Code = "CLOSED"
	CodeCompressionActive    Code = "COMPRESSIONACTIVE"
	CodeExpungeIssued        Code = "EXPUNGEISSUED"
	CodeInUse                Code = "INUSE"
	CodeLimit                Code = "LIMIT"
	CodeNonExistent          Code = "NONEXISTENT"
	CodeNoPerm               Code = "NOPERM"
	CodeOverQuota            Code = "OVERQUOTA"
	CodePrivacyRequired      Code = "PRIVACYREQUIRED"
	CodeReadOnly             Code = "READ-ONLY"
	CodeReadWrite            Code = "READ-WRITE"
	CodeServerBug            Code = "SERVERBUG"
	CodeTooBig               Code = "TOOBIG"
	CodeTryCreate            Code = "TRYCREATE"
	CodeUnknownCTE           Code = "UNKNOWN-CTE" // RFC 3516 §4.3
	CodeUIDRequired          Code = "UIDREQUIRED" // RFC 9586 §3
	CodeUnavailable          Code = "UNAVAILABLE"
	CodeUseAttr              Code = "USEATTR"
)

func codeNumber(name string, n uint64) Code { return Code(appendUint([]byte(name+" "), n)) }

// CodeUIDNext, CodeUIDValidity, CodeUnseen and CodeHighestModSeq are of SELECT.
func CodeUIDNext(n uint32) Code       { return codeNumber("UIDNEXT", uint64(n)) }
func CodeUIDValidity(n uint32) Code   { return codeNumber("UIDVALIDITY", uint64(n)) }
func CodeUnseen(seq uint32) Code      { return codeNumber("UNSEEN", uint64(seq)) }
func CodeHighestModSeq(n uint64) Code { return codeNumber("HIGHESTMODSEQ", n) }

// CodeModified names the messages, by number or UID, that a conditional STORE left as they are (RFC 7162 §3.1.3).
func CodeModified(set Set) Code { return Code(set.Append([]byte("MODIFIED "))) }

// CodeMessageLimit says how many messages a command may be of, and the lowest UID that it was carried out for; 0 if for none (RFC
// 9738 §3.1).
func CodeMessageLimit(limit int, uid uint32) Code {
	code := codeNumber("MESSAGELIMIT", uint64(limit))
	if uid == 0 {
		return code
	}
	return Code(appendUint(append([]byte(code), ' '), uint64(uid)))
}

// CodeInProgress says how much of total is done for the command with a tag (RFC 9585). A tag with a bracket would end the code.
func CodeInProgress(tag string, done, total uint64) Code {
	b := []byte("INPROGRESS (")
	if strings.IndexByte(tag, ']') >= 0 {
		b = append(b, "NIL"...)
	} else {
		b = appendString(b, tag)
	}
	b = appendUint(append(b, ' '), done)
	return Code(append(appendUint(append(b, ' '), total), ')'))
}

// CodePermanentFlags says which flags can be changed; keywords says that new ones can be made.
func CodePermanentFlags(flags []Flag, keywords bool) Code {
	if keywords {
		flags = append(flags[:len(flags):len(flags)], `\*`)
	}
	return Code(appendFlags([]byte("PERMANENTFLAGS "), flags))
}

// CodeAppendUID is where an APPEND went (RFC 4315 §3): as many UIDs as there were messages, in their order (RFC 3502).
func CodeAppendUID(uidValidity uint32, uids Set) Code {
	return Code(uids.Append(append(appendUint([]byte("APPENDUID "), uint64(uidValidity)), ' ')))
}

// CodeBadURL names the URL for which a CATENATE failed (RFC 4469 §4.1), as far as it has room.
func CodeBadURL(url string) Code {
	b := []byte("BADURL ")
	for i := range min(len(url), maxQuoted) {
		if c := url[i]; c <= ' ' || c >= 0x7f || c == ']' || c == '\\' || c == '"' {
			b = fmt.Appendf(b, "%%%02X", c)
		} else {
			b = append(b, c)
		}
	}
	return Code(b)
}

// CodeCopyUID is where a COPY or MOVE went; from and to have as many UIDs, in corresponding order.
func CodeCopyUID(uidValidity uint32, from, to Set) Code {
	b := append(appendUint([]byte("COPYUID "), uint64(uidValidity)), ' ')
	return Code(to.Append(append(from.Append(b), ' ')))
}

// CodeCapability is the capabilities as a code, to spare the client a command.
func CodeCapability(capabilities []string) Code {
	return Code(appendWords([]byte("CAPABILITY"), capabilities))
}

func appendWords(b []byte, words []string) []byte {
	for _, word := range words {
		b = append(append(b, ' '), word...)
	}
	return b
}

func (w *Writer) line(b []byte) { w.add(append(b, "\r\n"...)) }

// Capability writes the untagged CAPABILITY.
func (w *Writer) Capability(capabilities []string) {
	w.line(appendWords(append(w.buf, "* CAPABILITY"...), capabilities))
}

// Enabled writes what an ENABLE enabled, possibly nothing.
func (w *Writer) Enabled(capabilities []string) {
	w.line(appendWords(append(w.buf, "* ENABLED"...), capabilities))
}

// Exists, Recent and Expunge write the size of the mailbox and what changes it.
func (w *Writer) Exists(n uint32)    { w.count(n, " EXISTS") }
func (w *Writer) Recent(n uint32)    { w.count(n, " RECENT") }
func (w *Writer) Expunge(seq uint32) { w.count(seq, " EXPUNGE") }

func (w *Writer) count(n uint32, what string) {
	b := appendUint(append(w.buf, "* "...), uint64(n))
	w.line(append(b, what...))
}

// Vanished writes the UIDs of messages that are gone (RFC 7162 §3.2.10); earlier says that a client asked for them.
func (w *Writer) Vanished(earlier bool, uids Set) {
	b := append(w.buf, "* VANISHED "...)
	if earlier {
		b = append(b, "(EARLIER) "...)
	}
	w.line(uids.Append(b))
}

// Flags writes the flags of the mailbox.
func (w *Writer) Flags(flags []Flag) { w.line(appendFlags(append(w.buf, "* FLAGS "...), flags)) }

// ListData is a line of LIST or LSUB.
type ListData struct {
	LSub       bool
	Attrs      []MailboxAttr
	Delimiter  byte // 0 = none
	Mailbox    string
	Subscribed bool   // there are subscribed mailboxes below (CHILDINFO, RFC 5258 §3.5)
	OldName    string // that the mailbox had, if that is told (RFC 9051 §6.3.9.7)
}

// List writes a line of LIST or LSUB.
func (w *Writer) List(l *ListData) {
	b := append(w.buf, "* LIST ("...)
	if l.LSub {
		b = append(w.buf, "* LSUB ("...)
	}
	for i, attr := range l.Attrs {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, attr...)
	}
	b = append(appendDelimiter(append(b, ") "...), l.Delimiter), ' ')
	b = w.appendMailbox(b, l.Mailbox)
	if l.Subscribed {
		b = append(b, ` ("CHILDINFO" ("SUBSCRIBED"))`...)
	}
	if l.OldName != "" {
		b = append(w.appendMailbox(append(b, ` ("OLDNAME" (`...), l.OldName), "))"...)
	}
	w.line(b)
}

func appendDelimiter(b []byte, delimiter byte) []byte {
	if delimiter == 0 {
		return append(b, "NIL"...)
	}
	return appendString(b, []byte{delimiter})
}

// NamespaceData is a prefix and its hierarchy delimiter (RFC 2342).
type NamespaceData struct {
	Prefix    string
	Delimiter byte
}

// Namespace writes the personal namespaces, those of other users, and the shared ones.
func (w *Writer) Namespace(personal, others, shared []NamespaceData) {
	b := append(w.buf, "* NAMESPACE"...)
	for _, spaces := range [...][]NamespaceData{personal, others, shared} {
		if len(spaces) == 0 {
			b = append(b, " NIL"...)
			continue
		}
		b = append(b, " ("...)
		for _, space := range spaces {
			b = appendString(append(b, '('), mutf7.Encode(space.Prefix))
			b = append(appendDelimiter(append(b, ' '), space.Delimiter), ')')
		}
		b = append(b, ')')
	}
	w.line(b)
}

// ID writes what the server says of itself; NIL if that is nothing.
func (w *Writer) ID(params []IDParam) {
	b := append(w.buf, "* ID "...)
	if len(params) == 0 {
		w.line(append(b, "NIL"...))
		return
	}
	for i, param := range params {
		b = append(b, "( "[min(i, 1)])
		b = append(appendString(b, param.Key), ' ')
		if !param.Valid {
			b = append(b, "NIL"...)
			continue
		}
		b = appendString(b, param.Value)
	}
	w.line(append(b, ')'))
}

// StatusData is the state of a mailbox.
type StatusData struct {
	Messages, Recent, UIDNext, UIDValidity, Unseen, Deleted uint32
	Size, HighestModSeq, DeletedStorage                     uint64
	MailboxID                                               string
	AppendLimit                                             uint64 // 0 = none
}

func (d *StatusData) value(item StatusItems) uint64 {
	switch item {
	case StatusMessages:
		return uint64(d.Messages)
	case StatusRecent:
		return uint64(d.Recent)
	case StatusUIDNext:
		return uint64(d.UIDNext)
	case StatusUIDValidity:
		return uint64(d.UIDValidity)
	case StatusUnseen:
		return uint64(d.Unseen)
	case StatusDeleted:
		return uint64(d.Deleted)
	case StatusSize:
		return d.Size
	case StatusDeletedStorage:
		return d.DeletedStorage
	case StatusAppendLimit:
		return d.AppendLimit
	}
	return d.HighestModSeq
}

// Status writes the items of STATUS that were asked for.
func (w *Writer) Status(mailbox string, items StatusItems, data *StatusData) {
	b := w.appendMailbox(append(w.buf, "* STATUS "...), mailbox)
	b = append(b, " ("...)
	start := len(b)
	for _, s := range statusNames {
		if items&s.item == 0 {
			continue
		}
		if len(b) > start {
			b = append(b, ' ')
		}
		b = append(append(b, s.name...), ' ')
		switch {
		case s.item == StatusMailboxID:
			b = append(append(append(b, '('), data.MailboxID...), ')')
		case s.item == StatusAppendLimit && data.AppendLimit == 0:
			b = append(b, "NIL"...)
		default:
			b = appendUint(b, data.value(s.item))
		}
	}
	w.line(append(b, ')'))
}

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
