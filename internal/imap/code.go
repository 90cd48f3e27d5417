package imap

import (
	"fmt"
	"strings"
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
