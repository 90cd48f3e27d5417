package resolver

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// wire packs an answer to q.
func wire(tb testing.TB, q question, edit func(*dns.Msg), records ...string) []byte {
	tb.Helper()
	m := new(dns.Msg).SetQuestion(q.name+".", q.qtype)
	m.Id, m.Response, m.RecursionAvailable, m.Compress = 4711, true, true, true
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			tb.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	if edit != nil {
		edit(m)
	}
	raw, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// understand does with a datagram what comes after its arrival.
func understand(raw []byte, q question) (answer, error) {
	m, err := read(raw)
	if err != nil {
		return answer{}, err
	}
	return m.answer(q)
}

func TestIsAnswer(t *testing.T) {
	t.Parallel()
	q := question{"example.org", dns.TypeMX}
	good := wire(t, q, nil)
	for _, c := range []struct {
		name string
		want bool
		raw  []byte
	}{
		{"right", true, good},
		{"other case", true, wire(t, question{"EXAMPLE.org", dns.TypeMX}, nil)},
		{"refused, header only", true, wire(t, q, func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeRefused })},
		{"NXDOMAIN, header only", false, wire(t, q, func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeNameError })},
		{"nothing, header only", false, wire(t, q, func(m *dns.Msg) { m.Question = nil })},
		{"two questions", false, wire(t, q, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) })},
		{"other ID", false, wire(t, q, func(m *dns.Msg) { m.Id++ })},
		{"other name", false, wire(t, question{"example.com", dns.TypeMX}, nil)},
		{"name below", false, wire(t, question{"a.example.org", dns.TypeMX}, nil)},
		{"other type", false, wire(t, question{"example.org", dns.TypeA}, nil)},
		{"other class", false, wire(t, q, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS })},
		{"a question", false, wire(t, q, func(m *dns.Msg) { m.Response = false })},
		{"other opcode", false, wire(t, q, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify })},
		{"empty", false, nil},
		{"cut in the header", false, good[:headerSize-1]},
		{"cut in the name", false, good[:headerSize+3]},
		{"cut in the question", false, good[:len(good)-1]},
	} {
		if got := isAnswer(c.raw, q, 4711); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	q := question{"example.org", dns.TypeA}
	missing := func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }
	for _, c := range []struct {
		name    string
		edit    func(*dns.Msg)
		records []string
		want    string // address, target, "missing", "none", or the error
	}{
		{"plain", nil, []string{"example.org. IN A 192.0.2.1"}, "192.0.2.1"},
		{"owner in capitals", nil, []string{"EXAMPLE.ORG. IN A 192.0.2.1"}, "192.0.2.1"},
		{"chain in any order", nil, []string{"b.test. IN A 192.0.2.1", "a.test. IN CNAME B.test.", "example.org. IN CNAME a.test."}, "192.0.2.1"},
		{"chain that ends", nil, []string{"example.org. IN CNAME a.test."}, "a.test"},
		{"CNAME beside records", nil, []string{"example.org. IN CNAME a.test.", "example.org. IN A 192.0.2.1"}, "192.0.2.1"},
		{"CNAME of another", nil, []string{"a.test. IN CNAME b.test."}, "answer for other names"},
		{"no such end of the chain", missing, []string{"example.org. IN CNAME a.test."}, "missing"},
		{"records of another", nil, []string{"a.test. IN A 192.0.2.66"}, "answer for other names"},
		{"records of another beside", nil, []string{"a.test. IN A 192.0.2.66", "example.org. IN A 192.0.2.1"}, "192.0.2.1"},
		{"records of another class", nil, []string{"example.org. CH A 192.0.2.66"}, "none"},
		{"records of another type", nil, []string{"example.org. IN AAAA 2001:db8::66"}, "none"},
		{"missing, with records", missing, []string{"example.org. IN A 192.0.2.1"}, "answer that contradicts itself"},
		{"signatures", nil, []string{"example.org. IN RRSIG A 8 2 300 20300101000000 20200101000000 1 example.org. AAAA", "example.org. IN A 192.0.2.1"}, "192.0.2.1"},
		{"bad version", func(m *dns.Msg) { m.SetEdns0(1232, true).Rcode = dns.RcodeBadVers }, nil, "BADVERS"},
		{"odd code", func(m *dns.Msg) { m.Rcode = 14 }, nil, "RCODE 14"},
		{"explained", func(m *dns.Msg) {
			m.Rcode = dns.RcodeServerFailure
			opt := m.SetEdns0(1232, true).IsEdns0()
			opt.Option = append(opt.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"},
				&dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus, ExtraText: "text\nof theirs"})
		}, nil, "SERVFAIL (DNSSEC Bogus)"},
	} {
		a, err := understand(wire(t, q, c.edit, c.records...), q)
		got := "none"
		switch {
		case err != nil:
			got = err.Error()
		case a.missing:
			got = "missing"
		case a.target != "":
			got = a.target
		case len(a.addrs) > 0:
			got = a.addrs[0].String()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Whatever is cut off an answer, it never becomes another answer.
func TestCutOff(t *testing.T) {
	t.Parallel()
	q := question{"example.org", dns.TypeMX}
	raw := wire(t, q, nil, "example.org. IN CNAME a.test.", "a.test. IN MX 10 mx.example.org.")
	if a, err := understand(raw, q); err != nil || len(a.mx) != 1 {
		t.Fatal(a, err)
	}
	for n := range raw {
		if isAnswer(raw[:n], q, 4711) {
			if a, err := understand(raw[:n], q); err == nil {
				t.Errorf("of %d octets the first %d mean %+v", len(raw), n, a)
			}
		}
	}
}

func TestBadData(t *testing.T) {
	t.Parallel()
	for rtype, data := range map[uint16]string{
		dns.TypeA: "\xc0\x00\x02", dns.TypeAAAA: "\xc0\x00\x02\x01", dns.TypeMX: "\x00\x0a", dns.TypeTXT: "\x05abc",
		dns.TypePTR: "\x01a\x00\x00", dns.TypeCNAME: "\xc0\xff",
	} {
		q := question{"example.org", rtype}
		if rtype == dns.TypeCNAME {
			q.qtype = dns.TypeA
		}
		raw := wire(t, q, nil)
		raw[7] = 1
		raw = append(raw, 0xc0, headerSize)
		for _, n := range []uint16{rtype, dns.ClassINET, 0, 60, uint16(len(data))} {
			raw = binary.BigEndian.AppendUint16(raw, n)
		}
		if a, err := understand(append(raw, data...), q); err == nil {
			t.Errorf("%s of %q means %+v", dns.Type(rtype), data, a)
		}
	}
}

// A message of 64 KiB full of pointers to one long name cannot be made into much more than that. Not parallel: it counts what
// the process allocates.
func TestMemory(t *testing.T) {
	q := question{"example.org", dns.TypeMX}
	long := strings.Repeat(strings.Repeat(`\001`, 62)+".", 4)
	for name, c := range map[string]struct {
		rtype    uint16
		records  int
		pointers int
		most     uint64
	}{
		"many exchangers": {dns.TypeMX, maxRecords - 1, 1, 4 << 20},
		"too many":        {dns.TypeMX, 4000, 1, 4 << 20},
		"nested names":    {dns.TypeHIP, 1, 30_000, 100 << 10},
	} {
		raw := wire(t, q, nil, "example.org. IN MX 1 "+long)
		target := byte(bytes.IndexByte(raw, 62)) // where the long name begins
		binary.BigEndian.PutUint16(raw[6:], uint16(1+c.records))
		for range c.records {
			data := []byte{0, 1}
			if c.rtype == dns.TypeHIP {
				data = []byte{0, 0, 0, 0}
			}
			for range c.pointers {
				data = append(data, 0xc0, target)
			}
			raw = append(raw, 0xc0, headerSize)
			for _, n := range []uint16{c.rtype, dns.ClassINET, 0, 60, uint16(len(data))} {
				raw = binary.BigEndian.AppendUint16(raw, n)
			}
			raw = append(raw, data...)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := understand(raw, q)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; len(raw) > 1<<16 || took > c.most || (err != nil) != (c.records > maxRecords) {
			t.Errorf("%s: %d octets take %d (%v)", name, len(raw), took, err)
		}
	}
}

// fuzzTypes are the types of the questions that are made.
var fuzzTypes = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeMX, dns.TypePTR, dns.TypeTXT}

func FuzzAnswer(f *testing.F) {
	mx := question{"example.org", dns.TypeMX}
	f.Add(uint8(2), wire(f, mx, nil, "example.org. IN CNAME a.test.", "a.test. IN MX 10 mx.example.org.", "a.test. IN MX 20 ."))
	f.Add(uint8(0), wire(f, question{"example.org", dns.TypeA}, nil, "example.org. IN A 192.0.2.1"))
	f.Add(uint8(1), wire(f, question{"example.org", dns.TypeAAAA}, nil, "example.org. IN AAAA ::ffff:192.0.2.1"))
	f.Add(uint8(3), wire(f, question{"example.org", dns.TypePTR}, nil, "example.org. IN PTR mx.example.org."))
	f.Add(uint8(4), wire(f, question{"example.org", dns.TypeTXT}, nil, `example.org. IN TXT "a" "b"`))
	f.Add(uint8(2), wire(f, mx, func(m *dns.Msg) {
		soa, _ := dns.NewRR("org. 300 IN SOA ns.org. hostmaster.org. 1 2 3 4 5")
		m.Ns, m.Rcode = []dns.RR{soa}, dns.RcodeNameError
		m.SetEdns0(1232, true)
	}))
	f.Fuzz(func(t *testing.T, kind uint8, raw []byte) {
		q := question{"example.org", fuzzTypes[int(kind)%len(fuzzTypes)]}
		if len(raw) < headerSize || !isAnswer(raw, q, binary.BigEndian.Uint16(raw)) {
			return
		}
		if a, err := understand(raw, q); err == nil {
			sane(t, a)
			agrees(t, raw, a)
		}
	})
}

// sane checks the bounds of an answer.
func sane(t *testing.T, a answer) {
	t.Helper()
	if max(len(a.addrs), len(a.mx), len(a.names), len(a.texts)) > maxKept || a.hops > maxChain || a.ttl < minTTL || a.ttl > maxTTL {
		t.Errorf("out of bounds: %+v", a)
	}
	got := len(a.addrs) + len(a.mx) + len(a.names) + len(a.texts)
	if (a.missing || a.target != "") && got > 0 || a.missing && a.target != "" {
		t.Errorf("contradiction: %+v", a)
	}
	if !slices.IsSortedFunc(a.mx, func(x, y MX) int { return int(x.Preference) - int(y.Preference) }) {
		t.Errorf("not sorted: %v", a.mx)
	}
	for _, name := range a.names {
		if n, ok := wireName(name); !ok || n != name {
			t.Errorf("%q is no name", name)
		}
	}
	for _, mx := range a.mx {
		if strings.ContainsFunc(mx.Host, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q is not printable", mx.Host)
		}
	}
}

// agrees checks that the library, which decodes all of a message, finds each address and exchanger in it, too.
func agrees(t *testing.T, raw []byte, a answer) {
	t.Helper()
	var m dns.Msg
	if m.Unpack(raw) != nil {
		return
	}
	for _, ip := range a.addrs {
		if !slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return addressOf(rr) == ip }) {
			t.Errorf("%s is not in %v", ip, m.Answer)
		}
	}
	for _, mx := range a.mx {
		if !slices.ContainsFunc(m.Answer, func(rr dns.RR) bool {
			r, ok := rr.(*dns.MX)
			return ok && r.Preference == mx.Preference && canonical(r.Mx) == mx.Host
		}) {
			t.Errorf("%v is not in %v", mx, m.Answer)
		}
	}
}

func addressOf(rr dns.RR) netip.Addr {
	var ip net.IP
	switch r := rr.(type) {
	case *dns.A:
		ip = r.A
	case *dns.AAAA:
		ip = r.AAAA
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

// BenchmarkRemembered is a lookup that the cache answers.
func BenchmarkRemembered(b *testing.B) {
	_, r := newTest(b, testZone)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.MX(b.Context(), "example.org"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAsked is a lookup over the loopback interface, the server's work included.
func BenchmarkAsked(b *testing.B) {
	_, r := newTest(b, testZone)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.MX(b.Context(), "example.org"); err != nil {
			b.Fatal(err)
		}
		r.mu.Lock()
		r.known = newCache(1)
		r.mu.Unlock()
	}
}

// BenchmarkUnderstand is what an answer of usual size takes.
func BenchmarkUnderstand(b *testing.B) {
	q := question{"example.org", dns.TypeMX}
	raw := wire(b, q, nil, "example.org. IN MX 10 mx1.example.org.", "example.org. IN MX 20 mx2.example.org.")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := understand(raw, q); err != nil {
			b.Fatal(err)
		}
	}
}
