package smtpd

import (
	"strconv"
	"strings"

	"github.com/emersion/go-smtp"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/reply"
	"postrider/internal/xtext"
)

// Longest values of parameters in octets: RFC 3461 §4.2 and §4.4.
const (
	maxORcpt = 500
	maxEnvID = 100
)

// mailParams are the parameters of MAIL.
type mailParams struct {
	smtp.MailOptions
	Parent string // XPARENT: the message that this one was made from
	UID    int64  // XUID: whose .forward or filter made it, or envelope.NoUID
}

// mailPath is a mailbox in MAIL or RCPT.
type mailPath struct {
	address.Address
	null bool // <>
	utf8 bool // written with non-ASCII characters
}

// cutPath reads `FROM:<path>` or `TO:<path>` and returns the parameters behind it. Blanks before the path are forgiven.
func cutPath(arg, keyword string) (p mailPath, params string, ok bool, err error) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return p, "", false, nil
	}
	s := strings.TrimLeft(arg[len(keyword):], " ")
	a, rest, err := parsePath(s)
	if err != nil {
		return p, "", true, err
	}
	if !isText(arg) { // C1 controls, which no envelope holds
		return p, "", true, address.ErrSyntax
	}
	null := strings.HasPrefix(s, "<>")
	if a.IsNull() && !null { // <"">
		return p, "", true, address.ErrSyntax
	}
	a.Local, a.Domain = strings.Clone(a.Local), strings.Clone(a.Domain) // without the rest of the line
	p = mailPath{Address: a, null: null, utf8: !isASCII(s[:len(s)-len(rest)])}
	return p, rest, true, nil
}

// parsePath reads a path at the start of s (RFC 5321 §4.1.2), or a qualified address without brackets, as old devices send it,
// if it needs none.
func parsePath(s string) (a address.Address, rest string, err error) {
	if strings.HasPrefix(s, "<") {
		return bracketed(s)
	}
	end := strings.IndexByte(s, ' ')
	if end < 0 {
		end = len(s)
	}
	path := s[:end]
	if strings.HasPrefix(path, "@") || !strings.Contains(path, "@") || strings.ContainsAny(path, `<>"`) {
		return a, s, address.ErrSyntax
	}
	a, _, err = bracketed("<" + path + ">")
	return a, s[end:], err
}

// bracketed reads a path that may end in a dot, as names of hosts do.
func bracketed(s string) (a address.Address, rest string, err error) {
	if a, rest, err = address.ParsePath(s); err == nil {
		return a, rest, nil
	}
	path, rest, ok := strings.Cut(s, ".>")
	if !ok || strings.ContainsAny(path, `">`) {
		return a, s, err
	}
	if a, _, again := address.ParsePath(path + ">"); again == nil && a.Domain != "" && a.Domain[0] != '[' {
		return a, rest, nil
	}
	return address.Address{}, s, err
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// eachParam calls set with every `KEY=value` of s, the key in upper case. A parameter that comes twice, or that is not
// separated by blanks, is an error of syntax.
func eachParam(s string, set func(key, value string, has bool) *reply.Reply) *reply.Reply {
	if s != "" && s[0] != ' ' {
		return errParam
	}
	var seen []string
	for s != "" {
		var word string
		word, s, _ = strings.Cut(strings.TrimLeft(s, " "), " ")
		if word == "" {
			continue
		}
		key, value, has := strings.Cut(word, "=")
		key = strings.ToUpper(key)
		for _, k := range seen {
			if k == key {
				return errParam.Withf("%.40s is given twice", key)
			}
		}
		if seen = append(seen, key); len(seen) > maxParams {
			return errParam
		}
		if has && value == "" {
			return errParam.Withf("%.40s has no value", key)
		}
		if r := set(key, value, has); r != nil {
			return r
		}
	}
	return nil
}

// maxParams is more than there are.
const maxParams = 16

// parseMail reads the parameters of MAIL. Those of submit.int are unknown elsewhere.
func parseMail(s string, internal bool) (mailParams, *reply.Reply) {
	p := mailParams{UID: envelope.NoUID}
	r := eachParam(s, func(key, value string, has bool) *reply.Reply {
		switch {
		case key == "SMTPUTF8": // RFC 6531 §3.4
			p.UTF8 = true
			if has {
				return errParam.Withf("SMTPUTF8 takes no value")
			}
			return nil
		case key == "XPARENT" && internal:
			p.Parent = value
			return check(envelope.ValidID(value), "bad XPARENT")
		case key == "XUID" && internal:
			uid, err := strconv.ParseUint(value, 10, 32)
			p.UID = int64(uid)
			return check(err == nil && uid < 1<<32-1, "bad XUID")
		}
		return p.set(key, value)
	})
	return p, r
}

// set takes a parameter of MAIL that has a value.
func (p *mailParams) set(key, value string) *reply.Reply {
	switch key {
	case "SIZE": // RFC 1870 §6.1: up to 20 digits
		n, err := strconv.ParseUint(value, 10, 63)
		p.Size = int64(n)
		return check(err == nil && len(value) <= 20, "bad SIZE")
	case "BODY": // RFC 6152 §2
		p.Body = smtp.BodyType(strings.ToUpper(value))
		return check(p.Body == smtp.Body7Bit || p.Body == smtp.Body8BitMIME, "bad BODY")
	case "RET": // RFC 3461 §4.3
		p.Return = smtp.DSNReturn(strings.ToUpper(value))
		return check(p.Return == smtp.DSNReturnFull || p.Return == smtp.DSNReturnHeaders, "bad RET")
	case "ENVID": // RFC 3461 §4.4
		var ok bool
		p.EnvelopeID, ok = decode(value, maxEnvID)
		return check(ok && isASCII(p.EnvelopeID), "bad ENVID")
	case "AUTH": // RFC 4954 §5: taken, and not believed
		who, ok := decode(value, address.MaxPath)
		p.Auth = &who
		return check(ok, "bad AUTH")
	}
	return errUnknownParam.Withf("unknown parameter %.40s", key)
}

// sender is what the envelope keeps of them.
func (p *mailParams) sender(from address.Address) envelope.Sender {
	return envelope.Sender{
		Addr: from, Ret: strings.ToLower(string(p.Return)), EnvID: p.EnvelopeID,
		Body: strings.ToLower(string(p.Body)), SMTPUTF8: p.UTF8,
	}
}

// parseRcpt reads the parameters of RCPT.
func parseRcpt(s string) (smtp.RcptOptions, *reply.Reply) {
	var o smtp.RcptOptions
	r := eachParam(s, func(key, value string, _ bool) *reply.Reply {
		switch key {
		case "NOTIFY": // RFC 3461 §4.1
			var ok bool
			o.Notify, ok = notify(value)
			return check(ok, "bad NOTIFY")
		case "ORCPT": // RFC 3461 §4.2; the type utf-8 by RFC 6533 §3
			kind, addr, ok := strings.Cut(value, ";")
			if !ok || !isAtom(kind) || len(value) > maxORcpt {
				return errParam.Withf("bad ORCPT")
			}
			o.OriginalRecipientType = smtp.DSNAddressType(strings.ToUpper(kind))
			o.OriginalRecipient, ok = decode(addr, maxORcpt)
			return check(ok && o.OriginalRecipient != "", "bad ORCPT")
		}
		return errUnknownParam.Withf("unknown parameter %.40s", key)
	})
	return o, r
}

// originalRecipient is ORCPT as envelopes keep it.
func originalRecipient(o smtp.RcptOptions) string {
	if o.OriginalRecipient == "" {
		return ""
	}
	return strings.ToLower(string(o.OriginalRecipientType)) + ";" + o.OriginalRecipient
}

// notify reads NEVER, or a list without repetition.
func notify(s string) ([]smtp.DSNNotify, bool) {
	var list []smtp.DSNNotify
	for word := range strings.SplitSeq(strings.ToUpper(s), ",") {
		n := smtp.DSNNotify(word)
		switch n {
		case smtp.DSNNotifyNever, smtp.DSNNotifySuccess, smtp.DSNNotifyFailure, smtp.DSNNotifyDelayed:
		default:
			return nil, false
		}
		for _, m := range list {
			if m == n || m == smtp.DSNNotifyNever || n == smtp.DSNNotifyNever {
				return nil, false
			}
		}
		list = append(list, n)
	}
	return list, true
}

// decode reads xtext that stands for at most max octets without control characters: values come to stand in headers of
// notices, and a +00 or +0A must not.
func decode(value string, max int) (string, bool) {
	s, err := xtext.Decode(value)
	return s, err == nil && len(s) <= max && isText(s)
}

// check is nil for what is right.
func check(ok bool, text string) *reply.Reply {
	if ok {
		return nil
	}
	return errParam.Withf("%s", text)
}
