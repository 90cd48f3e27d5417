package mime

import "encoding/binary"

// maxPlaces is how many parts AppendPlaces writes and ParsePlaces reads; of a message with more nothing is kept.
const maxPlaces = 1000

// AppendPlaces appends where the parts of a message lie, all that Find and a Reader need. It appends nothing if there are more
// parts than ParsePlaces takes.
//
// Each part is its kind and number of parts, in one number, and three marks (start and end of the header, start of the body), then its
// parts, and the end of the body. Of a mark there is the difference to the one before: octets, and line ends without CR.
func AppendPlaces(b []byte, p *Part) []byte {
	w := placeWriter{b: b, left: maxPlaces}
	w.part(p)
	if w.left < 0 {
		return b
	}
	return w.b
}

type placeWriter struct {
	b    []byte
	at   Mark
	left int
}

func (w *placeWriter) part(p *Part) {
	if w.left--; w.left < 0 {
		return
	}
	w.b = binary.AppendUvarint(w.b, uint64(len(p.Parts))<<2|uint64(p.Kind))
	w.mark(p.Header.Start)
	w.mark(p.Header.End)
	w.mark(p.Body.Start)
	for _, c := range p.Parts {
		w.part(c)
	}
	w.mark(p.Body.End)
}

func (w *placeWriter) mark(m Mark) {
	w.b = binary.AppendVarint(w.b, m.Off-w.at.Off)
	w.b = binary.AppendVarint(w.b, (m.CRLF-m.Off)-(w.at.CRLF-w.at.Off))
	w.at = m
}

// ParsePlaces is the tree that AppendPlaces wrote, of a file of size octets; marks have no Lines. It returns nil for anything else:
// no place is outside the file, none ends before it starts or is larger than if each octet were a line end, and the tree is no
// deeper than Scan makes it. Whether the places are right is another matter.
func ParsePlaces(b []byte, size int64) *Part {
	r := placeReader{b: b, size: size, left: maxPlaces}
	p := r.part(1)
	if r.bad || len(r.b) > 0 {
		return nil
	}
	return p
}

type placeReader struct {
	b    []byte
	size int64
	at   Mark
	left int
	bad  bool
}

func (r *placeReader) part(level int) *Part {
	head, n := binary.Uvarint(r.b)
	if r.left--; n <= 0 || r.left < 0 || level > MaxDepth || head>>2 > maxPlaces {
		r.bad = true
		return nil
	}
	r.b = r.b[n:]
	p := &Part{Kind: Kind(head & 3), level: level}
	r.bad = r.bad || p.Kind > Message
	p.Header.Start = r.mark()
	p.Header.End = r.mark()
	p.Body.Start = r.mark()
	for range head >> 2 {
		if r.bad {
			return nil
		}
		c := r.part(level + 1)
		if c != nil {
			c.parent = p
		}
		p.Parts = append(p.Parts, c)
	}
	p.Body.End = r.mark()
	r.bad = r.bad || !p.Header.sound() || !p.Body.sound() || p.Body.End.CRLF < p.Header.Start.CRLF || p.Body.End.Off < p.Header.Start.Off
	return p
}

func (r *placeReader) mark() Mark {
	off, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return Mark{}
	}
	bare, k := binary.Varint(r.b[n:])
	if k <= 0 {
		r.bad = true
		return Mark{}
	}
	r.b = r.b[n+k:]
	off += r.at.Off
	bare += r.at.CRLF - r.at.Off
	if off < 0 || off > r.size || bare < 0 || bare > off {
		r.bad = true
		return Mark{}
	}
	r.at = Mark{Off: off, CRLF: off + bare}
	return r.at
}

// sound says that a range can be one.
func (r Range) sound() bool {
	octets := r.End.Off - r.Start.Off
	return octets >= 0 && octets <= r.Size() && r.Size() <= 2*octets
}
