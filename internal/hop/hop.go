// Package hop is the next hop of mail: the answer to "where does this recipient go now?", as the transport table and the
// relayhost say it, and as queue files and logs name it. A hop only names; finding its hosts is nexthop's work.
//
// Hops are written by the administrator, or made of a recipient's domain that has been parsed as an address; both are
// checked here all the same.
package hop

import (
	"net/netip"
	"strconv"
	"strings"

	"postrider/internal/address"
	"postrider/internal/reply"
)

// Kind is how mail is taken to a hop.
type Kind string

// The kinds of hops.
const (
	SMTP    Kind = "smtp"
	SMTPS   Kind = "smtps"   // TLS from the first octet (RFC 8314 §3)
	LMTP    Kind = "lmtp"    // RFC 2033
	Error   Kind = "error"   // nowhere: the sender, or a later attempt, gets Reply
	Discard Kind = "discard" // nowhere, and nobody is told
)

// Ports of hops that name none. That of SMTP is the configuration's to change.
const (
	PortSMTP  = 25
	PortSMTPS = 465
	PortLMTP  = 24
)

// Hop is where a recipient goes next. Two hops are the same if their String is.
type Hop struct {
	Kind  Kind
	Host  string       // a lower-case A-label name, or an IP address without brackets; the domain of a hop ByMX
	Port  int          // 0 = the kind's default
	ByMX  bool         // Host is a domain whose mail exchangers are looked up; only of SMTP
	Path  string       // of a Unix socket, absolute; only of LMTP, which has no Host then
	Reply *reply.Reply // of Error, 450 or 550
}

// ForDomain is the hop of mail for a domain as address.Domain gives it: its mail exchangers, or the host of a literal.
func ForDomain(domain string) Hop {
	if ip, ok := literal(domain); ok {
		return Hop{Kind: SMTP, Host: ip.String()}
	}
	return Hop{Kind: SMTP, Host: domain, ByMX: true}
}

// Addr is the address of a hop that is a literal.
func (h Hop) Addr() (netip.Addr, bool) {
	if h.ByMX || h.Host == "" {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(h.Host)
	return ip, err == nil
}

// String is the hop in the form that is the same for all spellings of it, which Parse reads. Mail exchangers, hosts and
// literals on the default port are written as they are: `example.org`, `[gw.example.net]`, `[IPv6:2001:db8::1]`; all others
// with their kind: `smtp:[gw.example.net]:2525`.
func (h Hop) String() string {
	switch h.Kind {
	case Error:
		return string(Error) + ":" + h.Reply.Status() + " " + h.Reply.Text
	case Discard:
		return string(Discard) + ":"
	}
	if h.Path != "" {
		return string(LMTP) + ":unix:" + h.Path
	}
	if h.Kind == SMTP && h.Port == 0 {
		return h.name()
	}
	s := string(h.Kind) + ":" + h.name()
	if h.Port != 0 {
		s += ":" + strconv.Itoa(h.Port)
	}
	return s
}

// name is the host or domain, in brackets unless its mail exchangers are meant.
func (h Hop) name() string {
	if h.ByMX {
		return h.Host
	}
	if ip, ok := h.Addr(); ok {
		return address.Literal(ip)
	}
	return "[" + h.Host + "]"
}

// literal reads `[192.0.2.1]`, `[2001:db8::1]` and `[IPv6:2001:db8::1]`.
func literal(s string) (netip.Addr, bool) {
	if len(s) < 3 || s[0] != '[' || s[len(s)-1] != ']' {
		return netip.Addr{}, false
	}
	text := s[1 : len(s)-1]
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	ip, err := netip.ParseAddr(text)
	return ip.Unmap(), err == nil && ip.Zone() == ""
}
