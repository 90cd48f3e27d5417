package resolver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// headerSize is that of a message (RFC 1035 §4.1.1).
const headerSize = 12

// Bits of the header's second word.
const (
	bitQR = 1 << 15
	bitAA = 1 << 10
	bitTC = 1 << 9
	bitRA = 1 << 7
	bitAD = 1 << 5

	maskOpcode = 0xf << 11
	maskRcode  = 0xf
)

var errMalformed = errors.New("malformed answer")

// record is one resource record. Its data stays in the message.
type record struct {
	owner      string // in lower case, without the final dot
	rtype      uint16
	class      uint16
	ttl        uint32
	begin, end int // of the data
}

// message is an answer in its parts. The library's own Unpack would decode every record, whatever its type: 64 KiB can become
// dozens of MiB.
type message struct {
	raw       []byte
	flags     uint16
	rcode     int
	detail    string
	answers   []record
	authority []record
}

// isAnswer says that raw is a server's answer to q under id, whatever it says.
func isAnswer(raw []byte, q question, id uint16) bool {
	if len(raw) < headerSize || binary.BigEndian.Uint16(raw) != id {
		return false
	}
	flags := binary.BigEndian.Uint16(raw[2:])
	if flags&bitQR == 0 || flags&maskOpcode != 0 {
		return false
	}
	switch binary.BigEndian.Uint16(raw[4:]) {
	case 0: // a refusal may come without the question
		rcode := flags & maskRcode
		return rcode != dns.RcodeSuccess && rcode != dns.RcodeNameError
	case 1:
		name, off, err := dns.UnpackDomainName(raw, headerSize)
		return err == nil && off+4 <= len(raw) && canonical(name) == q.name &&
			binary.BigEndian.Uint16(raw[off:]) == q.qtype && binary.BigEndian.Uint16(raw[off+2:]) == dns.ClassINET
	}
	return false
}

// canonical is a name as the library writes it, in lower case and without the final dot; the root is empty.
func canonical(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// read takes a message apart that isAnswer says yes to.
func read(raw []byte) (*message, error) {
	m := &message{raw: raw, flags: binary.BigEndian.Uint16(raw[2:])}
	m.rcode = int(m.flags & maskRcode)
	off := headerSize
	if binary.BigEndian.Uint16(raw[4:]) == 1 {
		_, end, err := dns.UnpackDomainName(raw, off)
		if off = end + 4; err != nil || off > len(raw) {
			return nil, errMalformed
		}
	}
	left := maxRecords
	for section := range 3 {
		for range binary.BigEndian.Uint16(raw[6+2*section:]) {
			if left--; left < 0 {
				return nil, fmt.Errorf("answer of more than %d records", maxRecords)
			}
			r, end, err := readRecord(raw, off)
			if err != nil {
				return nil, err
			}
			off = end
			m.add(section, r)
		}
	}
	return m, nil
}

// add keeps a record of the answer and authority sections, and what an EDNS record says (RFC 6891 §6.1.3).
func (m *message) add(section int, r record) {
	switch {
	case section == 2 && r.rtype == dns.TypeOPT:
		m.rcode |= int(r.ttl>>24) << 4
		m.detail = extendedError(m.raw[r.begin:r.end])
	case r.class != dns.ClassINET:
	case section == 0:
		m.answers = append(m.answers, r)
	case section == 1:
		m.authority = append(m.authority, r)
	}
}

func readRecord(raw []byte, off int) (record, int, error) {
	owner, off, err := dns.UnpackDomainName(raw, off)
	if err != nil || off+10 > len(raw) {
		return record{}, 0, errMalformed
	}
	r := record{
		owner: canonical(owner),
		rtype: binary.BigEndian.Uint16(raw[off:]),
		class: binary.BigEndian.Uint16(raw[off+2:]),
		ttl:   binary.BigEndian.Uint32(raw[off+4:]),
		begin: off + 10,
	}
	r.end = r.begin + int(binary.BigEndian.Uint16(raw[off+8:]))
	if r.end > len(raw) {
		return record{}, 0, errMalformed
	}
	return r, r.end, nil
}

// extendedError finds the first extended error among EDNS options, by its registered name: the text beside it may be anything.
func extendedError(options []byte) string {
	for len(options) >= 4 {
		code, size := binary.BigEndian.Uint16(options), int(binary.BigEndian.Uint16(options[2:]))
		if options = options[4:]; size > len(options) {
			return ""
		}
		if code == dns.EDNS0EDE && size >= 2 {
			return dns.ExtendedErrorCodeToString[binary.BigEndian.Uint16(options)]
		}
		options = options[size:]
	}
	return ""
}

// has finds the first record of a name and type.
func (m *message) has(name string, rtype uint16) (record, bool) {
	i := slices.IndexFunc(m.answers, func(r record) bool { return r.rtype == rtype && r.owner == name })
	if i < 0 {
		return record{}, false
	}
	return m.answers[i], true
}

// within says that name is zone or below it.
func within(name, zone string) bool {
	return zone == "" || name == zone || strings.HasSuffix(name, "."+zone)
}

// seconds is a TTL; one with the highest bit set is none (RFC 2181 §8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}
