package fakedns

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// zone is all names there are.
type zone struct {
	records map[string][]dns.RR // by canonical owner
	exists  map[string]bool     // also the names between
}

func parseZone(text string) (*zone, error) {
	z := &zone{records: make(map[string][]dns.RR), exists: make(map[string]bool)}
	p := dns.NewZoneParser(strings.NewReader(text), ".", "zone")
	p.SetDefaultTTL(60)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		name := dns.CanonicalName(rr.Header().Name)
		z.records[name] = append(z.records[name], rr)
		for at := name; at != "."; at = parent(at) {
			z.exists[at] = true
		}
	}
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("parse zone: %w", err)
	}
	return z, nil
}

func parent(name string) string {
	if i, end := dns.NextLabel(name, 0); !end {
		return name[i:]
	}
	return "."
}

// maxChain is where a server gives up on CNAMEs.
const maxChain = 20

// answer fills in a reply: the chain of CNAMEs and its end, or, if bare, its first link only.
func (z *zone) answer(reply *dns.Msg, bare bool) {
	q := reply.Question[0]
	name := q.Name
	for range maxChain {
		records, exists := z.find(name)
		if !exists {
			reply.Rcode = dns.RcodeNameError
			reply.Ns = []dns.RR{z.authority(name)}
			return
		}
		var alias *dns.CNAME
		found := false
		for _, rr := range records {
			switch c, ok := rr.(*dns.CNAME); {
			case rr.Header().Rrtype == q.Qtype:
				reply.Answer, found = append(reply.Answer, rr), true
			case ok:
				alias = c
			}
		}
		if found {
			return
		}
		if alias == nil {
			reply.Ns = []dns.RR{z.authority(name)}
			return
		}
		reply.Answer = append(reply.Answer, alias)
		if bare {
			return
		}
		name = alias.Target
	}
}

// find returns the records of a name, or those of the wildcard that covers it (RFC 4592), under that name.
func (z *zone) find(name string) (records []dns.RR, exists bool) {
	at := dns.CanonicalName(name)
	if z.exists[at] || at == "." {
		return z.records[at], true
	}
	for at != "." {
		at = parent(at)
		wild := "*." + strings.TrimPrefix(at, ".")
		if z.exists[wild] {
			for _, rr := range z.records[wild] {
				rr = dns.Copy(rr)
				rr.Header().Name = name
				records = append(records, rr)
			}
			return records, true
		}
		if z.exists[at] {
			break
		}
	}
	return nil, false
}

// authority is the SOA of the zone that a name is in; without one in the text, that of a root whose "no" holds for a second.
func (z *zone) authority(name string) dns.RR {
	for at := dns.CanonicalName(name); ; at = parent(at) {
		for _, rr := range z.records[at] {
			if rr.Header().Rrtype == dns.TypeSOA {
				return rr
			}
		}
		if at == "." {
			break
		}
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 1},
		Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: 1,
	}
}
