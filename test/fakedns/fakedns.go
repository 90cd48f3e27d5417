// Package fakedns is a DNS server for tests: a recursive one, as far as those who ask can tell, whose whole world is one zone
// text, and that can be told to go wrong. It listens on the loopback interface only.
package fakedns

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Fault is a way to go wrong.
type Fault int

// The faults. Forged answers come before the right one, as from someone who guesses.
const (
	None          Fault = iota
	ServFail            // SERVFAIL
	Refused             // REFUSED, header only
	Silent              // no answer, over UDP or TCP
	Truncated           // over UDP only the TC bit
	WrongQuestion       // a forged answer to another question, then the right one
	WrongID             // a forged answer with another ID, then the right one
	Flood               // over UDP nothing but forged answers with other IDs
	Garbage             // what comes after the question is no DNS message
	NoEDNS              // FORMERR for a question with EDNS
	Bare                // a CNAME comes without what it points to
	Referral            // "ask others"
	OtherNames          // the records are those of another name
)

// forged is the address and the name in forged answers.
const (
	forgedAddress = "192.0.2.66"
	forgedName    = "forged.example."
)

// Query is a question that was asked.
type Query struct {
	Name    string // as asked, in lower case, without the final dot
	Type    uint16
	Network string // udp or tcp
}

// String is the query as tests compare it, `example.org MX udp`.
func (q Query) String() string {
	return fmt.Sprintf("%s %s %s", q.Name, dns.Type(q.Type), q.Network)
}

// Server answers over UDP and TCP at Addr.
type Server struct {
	Addr string
	tb   testing.TB

	mu            sync.Mutex
	zone          *zone
	faults        map[string]map[uint16]Fault // by name, then type; type ANY for all
	authenticated bool
	queries       []Query
}

// Start serves a zone, in the syntax of master files (RFC 1035 §5) with complete names, until the test ends. A name that is not
// in it does not exist; *.example.org stands for all names below example.org that do not.
func Start(tb testing.TB, text string) *Server {
	tb.Helper()
	s := &Server{tb: tb, faults: make(map[string]map[uint16]Fault)}
	s.SetZone(text)
	packets, listener := s.bind()
	for _, d := range []*dns.Server{
		{PacketConn: packets, Handler: dns.HandlerFunc(s.serve)},
		{Listener: listener, Handler: dns.HandlerFunc(s.serve)},
	} {
		started, ended := make(chan struct{}), make(chan struct{})
		d.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			if err := d.ActivateAndServe(); err != nil {
				tb.Errorf("fake DNS: %v", err)
			}
		}()
		<-started
		tb.Cleanup(func() {
			d.Shutdown()
			<-ended
		})
	}
	return s
}

// bind finds a port that is free for both protocols. It is below those that the kernel gives to connections, and apart from
// those of test/suite, which are found before they are bound.
func (s *Server) bind() (net.PacketConn, net.Listener) {
	s.tb.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 4_000+rand.IntN(6_000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		p, err := net.ListenPacket("udp", addr)
		if err == nil {
			s.Addr = addr
			return p, l
		}
		l.Close()
	}
	s.tb.Fatal("no free port")
	return nil, nil
}

// SetZone replaces the zone.
func (s *Server) SetZone(text string) {
	s.tb.Helper()
	z, err := parseZone(text)
	if err != nil {
		s.tb.Fatalf("fake DNS: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = z
}

// SetFault makes questions for a name go wrong from now on: those for types, or all. None ends that.
func (s *Server) SetFault(name string, f Fault, types ...uint16) {
	name = plain(name)
	if len(types) == 0 {
		types = []uint16{dns.TypeANY}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range types {
		if t == dns.TypeANY || s.faults[name] == nil {
			s.faults[name] = make(map[uint16]Fault)
		}
		s.faults[name][t] = f
	}
}

// SetAuthenticated says whether answers claim to be verified by DNSSEC.
func (s *Server) SetAuthenticated(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authenticated = yes
}

// Queries are the questions so far, in order.
func (s *Server) Queries() []Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queries)
}

// Asked counts the questions so far for a name and type.
func (s *Server) Asked(name string, qtype uint16) int {
	n := 0
	for _, q := range s.Queries() {
		if q.Name == plain(name) && q.Type == qtype {
			n++
		}
	}
	return n
}

// plain is a name in lower case, without the final dot.
func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// turn notes a question and says how to answer it.
func (s *Server) turn(q dns.Question, network string) (z *zone, f Fault, authenticated bool) {
	name := plain(q.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries = append(s.queries, Query{name, q.Qtype, network})
	f, ok := s.faults[name][q.Qtype]
	if !ok {
		f = s.faults[name][dns.TypeANY]
	}
	return s.zone, f, s.authenticated
}

func (s *Server) serve(w dns.ResponseWriter, ask *dns.Msg) {
	if len(ask.Question) != 1 {
		s.send(w, new(dns.Msg).SetRcodeFormatError(ask))
		return
	}
	network := w.LocalAddr().Network()
	z, f, authenticated := s.turn(ask.Question[0], network)
	reply := new(dns.Msg).SetReply(ask)
	reply.RecursionAvailable, reply.AuthenticatedData = true, authenticated
	size := dns.MinMsgSize
	if opt := ask.IsEdns0(); opt != nil {
		reply.SetEdns0(4096, opt.Do())
		size = int(opt.UDPSize())
	}
	z.answer(reply, f == Bare)
	if s.fail(w, ask, reply, f) {
		return
	}
	if network == "tcp" {
		size = dns.MaxMsgSize
	}
	reply.Truncate(size)
	s.send(w, reply)
}

// fail carries out a fault, and says whether that was the answer.
func (s *Server) fail(w dns.ResponseWriter, ask, reply *dns.Msg, f Fault) bool {
	udp := w.LocalAddr().Network() == "udp"
	switch f {
	case Silent:
	case ServFail:
		reply.Answer, reply.Ns, reply.Rcode = nil, nil, dns.RcodeServerFailure
		s.send(w, reply)
	case Refused:
		s.send(w, &dns.Msg{MsgHdr: dns.MsgHdr{Id: ask.Id, Response: true, Rcode: dns.RcodeRefused}})
	case Garbage:
		s.garble(w, reply)
	case Referral:
		ns, _ := dns.NewRR(". 60 IN NS ns." + forgedName)
		reply.Answer, reply.Ns, reply.RecursionAvailable, reply.Rcode = nil, []dns.RR{ns}, false, dns.RcodeSuccess
		s.send(w, reply)
	case OtherNames:
		s.send(w, forge(reply, forgedName))
	case WrongQuestion:
		m := forge(reply, reply.Question[0].Name)
		m.Question = []dns.Question{{Name: forgedName, Qtype: m.Question[0].Qtype, Qclass: dns.ClassINET}}
		return s.before(w, udp, m)
	case WrongID:
		m := forge(reply, reply.Question[0].Name)
		m.Id++
		return s.before(w, udp, m)
	case Flood:
		for i := range 64 {
			m := forge(reply, reply.Question[0].Name)
			m.Id += uint16(i + 1)
			s.before(w, udp, m)
		}
		return udp
	case Truncated:
		if udp {
			reply.Answer, reply.Ns, reply.Truncated = nil, nil, true
			s.send(w, reply)
			break
		}
		return false
	case NoEDNS:
		if ask.IsEdns0() == nil {
			return false
		}
		s.send(w, new(dns.Msg).SetRcodeFormatError(ask))
	default:
		return false
	}
	return true
}

// before sends a forged answer ahead of the right one; over TCP nobody could.
func (s *Server) before(w dns.ResponseWriter, udp bool, m *dns.Msg) bool {
	if udp {
		s.send(w, m)
	}
	return false
}

// forge makes an answer that leads astray.
func forge(reply *dns.Msg, owner string) *dns.Msg {
	m := reply.Copy()
	m.Rcode, m.Ns = dns.RcodeSuccess, nil
	header := dns.RR_Header{Name: owner, Rrtype: m.Question[0].Qtype, Class: dns.ClassINET, Ttl: 3600}
	switch header.Rrtype {
	case dns.TypeA:
		m.Answer = []dns.RR{&dns.A{Hdr: header, A: net.ParseIP(forgedAddress)}}
	case dns.TypeAAAA:
		m.Answer = []dns.RR{&dns.AAAA{Hdr: header, AAAA: net.ParseIP("2001:db8::66")}}
	case dns.TypeMX:
		m.Answer = []dns.RR{&dns.MX{Hdr: header, Mx: forgedName}}
	case dns.TypePTR:
		m.Answer = []dns.RR{&dns.PTR{Hdr: header, Ptr: forgedName}}
	default:
		m.Answer = []dns.RR{&dns.TXT{Hdr: header, Txt: []string{"forged"}}}
	}
	return m
}

// garble sends header and question of reply, and then what is nothing.
func (s *Server) garble(w dns.ResponseWriter, reply *dns.Msg) {
	m := &dns.Msg{MsgHdr: reply.MsgHdr, Question: reply.Question}
	m.Rcode = dns.RcodeSuccess
	raw, err := m.Pack()
	if err != nil {
		s.tb.Errorf("fake DNS: %v", err)
		return
	}
	raw[7] = 3 // answers, which are not there
	w.Write(append(raw, 0xc0, 0xff, 0xee, 0xff, 0xff))
}

// send ignores errors: who asked may be gone.
func (s *Server) send(w dns.ResponseWriter, m *dns.Msg) { w.WriteMsg(m) }
