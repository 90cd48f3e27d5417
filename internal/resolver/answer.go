package resolver

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Bounds of what is taken from one message.
const (
	maxRecords = 1000 // that it may have
	maxKept    = 100  // of those asked for
	maxChain   = 8    // CNAMEs
)

// answer is what the DNS says to a question.
type answer struct {
	mx    []MX
	addrs []netip.Addr
	names []string
	texts []string

	missing bool          // the name does not exist
	target  string        // where a chain of CNAMEs leaves the message, to be asked for next; empty if it does not
	hops    int           // CNAMEs so far
	secure  bool          // DNSSEC vouches for it
	ttl     time.Duration // within the bounds of the cache
	server  string        // that gave it
}

// rcodeError is an answer that says that there is none.
type rcodeError struct {
	rcode  int
	detail string // extended error (RFC 8914), or empty
}

func (e *rcodeError) Error() string {
	name, ok := dns.RcodeToString[e.rcode]
	switch {
	case e.rcode == dns.RcodeBadVers: // for which the library has the name that it has with TSIG
		name = "BADVERS"
	case !ok:
		name = fmt.Sprintf("RCODE %d", e.rcode)
	}
	if e.detail != "" {
		name += " (" + e.detail + ")"
	}
	return name
}

// answer is what the message says to q. The errors are those of a server that does not know, or makes no sense.
func (m *message) answer(q question) (answer, error) {
	if m.rcode != dns.RcodeSuccess && m.rcode != dns.RcodeNameError {
		return answer{}, &rcodeError{m.rcode, m.detail}
	}
	a := answer{secure: m.flags&bitAD != 0}
	name, ttl, err := m.follow(q, &a)
	if err != nil {
		return answer{}, err
	}
	found, stray := 0, false
	for _, r := range m.answers {
		switch {
		case r.rtype == dns.TypeCNAME && a.hops == 0:
			stray = true
		case r.rtype != q.qtype:
		case r.owner != name:
			stray = true
		default:
			if err := a.take(m.raw, r); err != nil {
				return answer{}, err
			}
			found++
			ttl = min(ttl, seconds(r.ttl))
		}
	}
	a.missing = m.rcode == dns.RcodeNameError
	switch {
	case found > 0 && a.missing:
		return answer{}, errors.New("answer that contradicts itself")
	case found > 0:
		a.ttl = max(minTTL, ttl)
	case stray:
		return answer{}, errors.New("answer for other names")
	default:
		err = m.none(name, ttl, &a)
	}
	a.tidy()
	return a, err
}

// follow goes along the CNAMEs from the name in question, as far as the message has them, or to the records asked for.
func (m *message) follow(q question, a *answer) (name string, ttl time.Duration, err error) {
	name, ttl = q.name, maxTTL
	for {
		r, alias := m.has(name, dns.TypeCNAME)
		if _, found := m.has(name, q.qtype); found || !alias {
			return name, ttl, nil
		}
		if a.hops++; a.hops > maxChain {
			return "", 0, fmt.Errorf("CNAME loop, or more than %d,", maxChain)
		}
		target, end, err := dns.UnpackDomainName(m.raw, r.begin)
		if err != nil || end != r.end {
			return "", 0, errMalformed
		}
		name, ttl = canonical(target), min(ttl, seconds(r.ttl))
	}
}

// none says what it means that there are no records of name: no such name, none of the kind, or that the chain goes on
// elsewhere. The SOA tells, and says for how long (RFC 2308 §§2, 5).
func (m *message) none(name string, ttl time.Duration, a *answer) error {
	for _, r := range m.authority {
		if r.rtype != dns.TypeSOA || !within(name, r.owner) {
			continue
		}
		if r.end-r.begin < 22 {
			return errMalformed
		}
		minimum := binary.BigEndian.Uint32(m.raw[r.end-4:])
		a.ttl = max(minTTL, min(ttl, seconds(r.ttl), seconds(minimum), maxNoTTL))
		return nil
	}
	a.ttl = minTTL
	switch {
	case a.missing:
	case a.hops > 0:
		a.target, a.ttl = name, max(minTTL, ttl)
	case m.flags&(bitAA|bitRA) == 0:
		return errors.New("referral, not an answer,")
	}
	return nil
}

// take decodes a record of the type asked for.
func (a *answer) take(raw []byte, r record) error {
	data := raw[r.begin:r.end]
	switch r.rtype {
	case dns.TypeA, dns.TypeAAAA:
		ip, ok := netip.AddrFromSlice(data)
		if !ok || ip.Is4() != (r.rtype == dns.TypeA) {
			return errMalformed
		}
		if ip = ip.Unmap(); len(a.addrs) < maxKept && !slices.Contains(a.addrs, ip) {
			a.addrs = append(a.addrs, ip)
		}
	case dns.TypeMX:
		if len(data) < 3 {
			return errMalformed
		}
		host, end, err := dns.UnpackDomainName(raw, r.begin+2)
		if err != nil || end != r.end {
			return errMalformed
		}
		a.mx = append(a.mx, MX{Host: canonical(host), Preference: binary.BigEndian.Uint16(data)})
	case dns.TypePTR:
		name, end, err := dns.UnpackDomainName(raw, r.begin)
		if err != nil || end != r.end {
			return errMalformed
		}
		if name, ok := wireName(name); ok && len(a.names) < maxKept {
			a.names = append(a.names, name)
		}
	case dns.TypeTXT:
		text, err := joinStrings(data)
		if err != nil {
			return err
		}
		if len(a.texts) < maxKept {
			a.texts = append(a.texts, text)
		}
	}
	return nil
}

// joinStrings joins the character-strings of a TXT record (RFC 1035 §3.3.14).
func joinStrings(data []byte) (string, error) {
	var b strings.Builder
	for len(data) > 0 {
		n := int(data[0]) + 1
		if n > len(data) {
			return "", errMalformed
		}
		b.Write(data[1:n])
		data = data[n:]
	}
	return b.String(), nil
}

// tidy sorts the mail exchangers and keeps the first.
func (a *answer) tidy() {
	slices.SortStableFunc(a.mx, func(x, y MX) int { return cmp.Compare(x.Preference, y.Preference) })
	if len(a.mx) > maxKept {
		a.mx = slices.Clone(a.mx[:maxKept])
	}
}
