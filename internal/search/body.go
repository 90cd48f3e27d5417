package search

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"postrider/internal/mime"
)

// scan gives the tree of the message's parts.
func (r *reader) scan() (*mime.Part, error) {
	r.in.Reset(&section{window: &r.window, end: endless})
	tree, err := mime.Scan(r.in)
	if err != nil {
		return nil, fmt.Errorf("search message: %w", err)
	}
	return tree, nil
}

// matchParts says whether the text is in a part or in one of the parts inside, or, if headers is set, in the header of one.
// Header and body of a part are one text.
func (r *reader) matchParts(p *mime.Part, n *needle, headers bool) (bool, error) {
	r.text.begin(n)
	if headers {
		if found, err := r.matchHeader(p); found || err != nil {
			return found, err
		}
	}
	if p.Kind == mime.Leaf && isText(p) {
		if found, err := r.matchBody(p); found || err != nil {
			return found, err
		}
	}
	for _, inner := range p.Parts {
		if found, err := r.matchParts(inner, n, headers); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

func isText(p *mime.Part) bool {
	if p.Type == nil {
		return true
	}
	return p.Subtype != nil && *p.Subtype != "" && (strings.EqualFold(*p.Type, "text") || strings.EqualFold(*p.Type, "message"))
}

var lineEnd = []byte{'\n'}

func (r *reader) matchHeader(p *mime.Part) (bool, error) {
	h := r.fields(p.Header.Start.Off, p.Header.End.Off)
	for h.next() {
		if h.begins && r.text.read(h.intro) || r.text.read(mime.DecodeWords(r.decoded[:0], h.value)) {
			return true, nil
		}
		if !h.more && r.text.read(lineEnd) {
			return true, nil
		}
	}
	return h.err == nil && r.text.read(lineEnd), h.err
}

func (r *reader) matchBody(p *mime.Part) (bool, error) {
	decoder, ok := mime.NewTransferDecoder(p.Encoding)
	if !ok {
		return false, nil
	}
	read := r.text.read
	if charset, known := mime.Charset(charsetOf(p)); known && charset != nil {
		c := newRecoder(charset, r.recoded)
		read = func(b []byte) bool { return c.read(b, &r.text) }
	}
	for off := p.Body.Start.Off; off < p.Body.End.Off; {
		b, err := r.window.at(off)
		if errors.Is(err, io.EOF) { // the file has become shorter
			break
		}
		if err != nil {
			return false, fmt.Errorf("search message: %w", err)
		}
		b = b[:min(int64(len(b)), p.Body.End.Off-off)]
		if read(decoder.Decode(r.decoded[:0], b)) {
			return true, nil
		}
		off += int64(len(b))
	}
	return read(decoder.End(r.decoded[:0])), nil
}

func charsetOf(p *mime.Part) string {
	for _, param := range p.Params {
		if strings.EqualFold(param.Name, "charset") {
			return param.Value
		}
	}
	return ""
}

// fields reads the header that is between two offsets.
func (r *reader) fields(start, end int64) *header {
	r.in.Reset(&section{window: &r.window, off: start, end: end})
	r.header.begin(r.in)
	return &r.header
}
