package smtpd

import (
	"net/netip"
	"strings"

	"postrider/internal/auth"
	"postrider/internal/envelope"
	"postrider/internal/logline"
	"postrider/internal/reply"
	"postrider/internal/xtext"
)

// xclient carries out XCLIENT: a proxy that we trust says who its client is (Postfix's XCLIENT_README). All attributes are
// read before any takes effect.
func (s *session) xclient(arg string) error {
	switch {
	case !contains(s.conf.SMTPD.XClientNetworks, s.direct):
		return s.refuse(errXClient)
	case s.tx.active:
		return s.refuse(errNested)
	case arg == "":
		return s.refuse(errSyntax)
	}
	p, st := s.peer, state{}
	p.uid = envelope.NoUID
	named := false
	for word := range strings.SplitSeq(arg, " ") {
		if word == "" {
			continue
		}
		key, value, has := strings.Cut(word, "=")
		value, err := xtext.Decode(value)
		if !has || err != nil || !isText(value) || len(value) > maxHelo {
			return s.refuse(errSyntax.Withf("Bad XCLIENT attribute %.40s", key))
		}
		key = strings.ToUpper(key)
		named = named || key == "NAME"
		if r := setXClient(&p, &st, key, value); r != nil {
			return s.refuse(r)
		}
	}
	switch {
	case named || p.ip == s.peer.ip:
	case p.ip.IsValid():
		p.name = s.nameOf(p.ip)
	default:
		p.name = unknown
	}
	s.log.Log(logline.Connect{Client: p.String()})
	return s.restart(p, st)
}

// setXClient takes one attribute.
func setXClient(p *peer, st *state, key, value string) *reply.Reply {
	given := !strings.EqualFold(value, "[UNAVAILABLE]") && !strings.EqualFold(value, "[TEMPUNAVAIL]")
	ok := true
	switch key {
	case "NAME":
		p.name = unknown
		if given {
			p.name, ok = value, isHostName(value)
		}
	case "ADDR":
		p.ip = netip.Addr{}
		if given {
			p.ip, ok = xclientAddr(value)
		}
	case "DESTADDR":
		p.local = netip.Addr{}
		if given {
			p.local, ok = xclientAddr(value)
		}
	case "HELO":
		if given {
			st.helo = value
		}
	case "PROTO":
		st.esmtp = strings.EqualFold(value, "ESMTP")
		ok = !given || st.esmtp || strings.EqualFold(value, "SMTP")
	case "LOGIN":
		if given {
			st.login, ok = login{user: auth.User{Name: value}, method: "XCLIENT"}, value != ""
		}
	case "PORT", "DESTPORT":
		ok = !given || len(value) <= 5 && strings.Trim(value, "0123456789") == ""
	default:
		return errSyntax.Withf("Unknown XCLIENT attribute %.40s", key)
	}
	if !ok {
		return errSyntax.Withf("Bad %s", key)
	}
	return nil
}

// xclientAddr reads 192.0.2.1 or IPV6:2001:db8::1.
func xclientAddr(s string) (netip.Addr, bool) {
	if len(s) > 5 && strings.EqualFold(s[:5], "IPV6:") {
		s = s[5:]
	}
	ip, err := netip.ParseAddr(s)
	return ip.Unmap(), err == nil && ip.Zone() == ""
}

// isHostName says that s may stand for a host in logs and headers.
func isHostName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return s != "" && len(s) <= 253
}

// xclientAttributes are those that XCLIENT takes.
const xclientAttributes = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"

// restart begins the session anew for another peer, after XCLIENT. TLS stays: it is the connection's.
func (s *session) restart(p peer, st state) error {
	st.tls = s.state.tls
	s.begin(transaction{})
	s.peer, s.state = p, st
	s.answer(s.svc.greeting)
	return nil
}
