package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// Bounds of one exchange.
const (
	edns0Size   = 1232 // octets of a datagram that we ask for: no fragments, which are easy to forge
	maxDatagram = 4096 // that we take
	maxStray    = 16   // datagrams that are no answer to our question
)

// errUseTCP says that a datagram will not do.
var errUseTCP = errors.New("answer over UDP cut off or in doubt")

// query asks the servers in turn until one answers. The error is the last one's.
func (r *Resolver) query(ctx context.Context, up *upstream, q question) (answer, error) {
	if up.err != nil {
		return answer{}, temporary(up.err, "%v", up.err)
	}
	turn, cancel := context.WithTimeout(ctx, up.budget()) // which does not count for the question itself
	defer cancel()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-turn.Done():
		return answer{}, temporary(turn.Err(), "too many questions on their way to ask for %s", q)
	}
	ctx, cancel = context.WithTimeout(ctx, up.budget())
	defer cancel()

	var last error
	first := int(up.preferred.Load())
	for i := range up.attempts * len(up.servers) {
		n := (first + i) % len(up.servers)
		a, err := try(ctx, up.servers[n], q, up.timeout)
		if err == nil {
			up.preferred.Store(int32(n))
			a.secure = a.secure && up.trusted
			return a, nil
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	return answer{}, last
}

// try asks one server once, again without EDNS if it does not understand that (RFC 6891 §7).
func try(ctx context.Context, server netip.AddrPort, q question, timeout time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	a, err := ask(ctx, server, q, true)
	if refused := (*rcodeError)(nil); errors.As(err, &refused) && refused.rcode == dns.RcodeFormatError {
		a, err = ask(ctx, server, q, false)
	}
	if err == nil {
		a.server = server.String()
		return a, nil
	}
	if isTimeout(err) {
		return answer{}, temporary(err, "timeout from %s for %s", server, q)
	}
	return answer{}, temporary(err, "%v from %s for %s", err, server, q)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// ask asks over UDP and, if need be, over TCP.
func ask(ctx context.Context, server netip.AddrPort, q question, edns bool) (answer, error) {
	raw, err := exchange(ctx, "udp", server, q, edns)
	if errors.Is(err, errUseTCP) {
		raw, err = exchange(ctx, "tcp", server, q, edns)
	}
	if err != nil {
		return answer{}, err
	}
	m, err := read(raw)
	if err != nil {
		return answer{}, err
	}
	return m.answer(q)
}

// exchange sends a question from a new socket and returns the answer to it, which may still say anything.
func exchange(ctx context.Context, network string, server netip.AddrPort, q question, edns bool) ([]byte, error) {
	id, packet, err := pack(q, edns)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, bare(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var raw []byte
	if network == "udp" {
		raw, err = overUDP(conn, packet, q, id)
	} else {
		raw, err = overTCP(conn, packet, q, id)
	}
	return raw, bare(err)
}

// bare leaves out of an error what the caller says anyhow.
func bare(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// pack writes a question: recursion desired, and, with EDNS, DNSSEC's verdict and records (RFC 6840 §5.7).
func pack(q question, edns bool) (id uint16, packet []byte, err error) {
	m := new(dns.Msg).SetQuestion(q.name+".", q.qtype) // with an ID from crypto/rand
	if edns {
		m.AuthenticatedData = true
		m.SetEdns0(edns0Size, true)
	}
	packet, err = m.Pack()
	if err != nil {
		return 0, nil, fmt.Errorf("pack the question: %w", err)
	}
	return m.Id, packet, nil
}

func overUDP(conn net.Conn, packet []byte, q question, id uint16) ([]byte, error) {
	if _, err := conn.Write(packet); err != nil {
		return nil, err
	}
	buf := make([]byte, maxDatagram)
	for range maxStray {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if raw := buf[:n]; isAnswer(raw, q, id) {
			if binary.BigEndian.Uint16(raw[2:])&bitTC != 0 {
				return nil, errUseTCP
			}
			return raw, nil
		}
	}
	return nil, errUseTCP
}

func overTCP(conn net.Conn, packet []byte, q question, id uint16) ([]byte, error) {
	if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, raw); err != nil {
		return nil, err
	}
	if !isAnswer(raw, q, id) {
		return nil, errors.New("answer to another question")
	}
	if binary.BigEndian.Uint16(raw[2:])&bitTC != 0 {
		return nil, errMalformed
	}
	return raw, nil
}
