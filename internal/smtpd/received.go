package smtpd

import (
	"crypto/tls"
	"strconv"
	"strings"

	"postrider/internal/address"
	"postrider/internal/envelope"
)

// dateFormat is RFC 5322 §3.3's.
const dateFormat = "Mon, 2 Jan 2006 15:04:05 -0700"

// received is the trace line of a message (RFC 5321 §4.4). It names no login: that is nobody's business but the
// envelope's.
func (s *session) received(id string, e *envelope.Envelope) []byte {
	b := make([]byte, 0, 512)
	b = append(b, "Received: from "...)
	if s.svc.local {
		b = append(b, "localhost"...)
		if uid := s.uid(); uid != envelope.NoUID {
			b = strconv.AppendInt(append(b, " (uid "...), uid, 10)
			b = append(b, ')')
		}
	} else {
		b = append(append(b, safe(s.state.helo)...), " ("...)
		b = append(b, s.peer.name...)
		if s.peer.ip.IsValid() {
			b = append(append(b, ' '), address.Literal(s.peer.ip)...)
		}
		b = append(b, ')')
	}
	if t := s.state.tls; t != nil {
		b = append(append(b, "\r\n\t(using "...), t.version()...)
		b = append(append(b, " with cipher "...), tls.CipherSuiteName(t.CipherSuite)...)
		b = append(b, ')')
	}
	b = append(append(b, "\r\n\tby "...), s.conf.Hostname...)
	b = append(append(b, " (Postrider) with "...), e.Client.Proto...)
	b = append(append(b, " id "...), id...)
	if s.tx.given == 1 && (s.tx.from.SMTPUTF8 || s.tx.first.IsASCII()) {
		b = append(append(b, "\r\n\tfor <"...), s.tx.first.String()...)
		b = append(b, '>')
	}
	b = e.Time.AppendFormat(append(b, "; "...), dateFormat)
	return append(b, "\r\n"...)
}

// safe makes a HELO name fit for a header: Received has a grammar, and the name is the client's invention.
func safe(helo string) string {
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune(`()<>\",;`, c) {
			return '?'
		}
		return c
	}, helo)
}

// uid is the uid of this host that a message comes from.
func (s *session) uid() int64 {
	switch {
	case s.svc.internal:
		return s.tx.uid
	case s.svc.local:
		return s.peer.uid
	}
	return envelope.NoUID
}
