// Package preview makes of a message the few words that a list of messages shows of its text (RFC 8970): of the first part
// that is text and not attached, decoded, of an HTML part what its reader sees, white space shortened. What the sender quotes
// of others is left out unless there is nothing else, as in Dovecot.
//
// The message is whatever somebody sent: of its text no more is read than a bound, nothing is run or fetched, and the result has
// neither control characters nor octets that are not UTF-8.
package preview

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/transform"

	"postrider/internal/mime"
)

// Max is how many characters a preview has at most (RFC 8970 §3.1).
const Max = 200

// Octets that are read of a text.
const (
	maxPlain = 8 << 10
	maxHTML  = 64 << 10 // styles come first
)

// Of gives the preview of the message in file that root is the tree of; "" if it has no text. The error is one of reading.
func Of(d *mime.Decoder, file io.ReaderAt, root *mime.Part) (string, error) {
	path, part := find(root, nil)
	if part == nil {
		return "", nil
	}
	text, err := d.Open(file, root, path)
	if err != nil {
		return "", fmt.Errorf("preview: %w", err)
	}
	most, reduce := int64(maxPlain), plain
	if isType(part, "text", "html") {
		most, reduce = maxHTML, html
	}
	in := &source{from: io.LimitReader(d.Start(text), most)}
	raw, _ := io.ReadAll(recoded(in, part)) // what a charset cannot say ends the text
	if in.err != nil {
		return "", fmt.Errorf("preview: %w", in.err)
	}
	return reduce(strings.ToValidUTF8(string(raw), "\uFFFD")), nil
}

// source remembers an error of reading.
type source struct {
	from io.Reader
	err  error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.from.Read(b)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// find gives the part that is shown, and its path; nil if there is none. Of alternatives, plain text goes before HTML.
func find(p *mime.Part, path []uint32) ([]uint32, *mime.Part) {
	if p.Kind != mime.Multipart {
		if len(path) == 0 {
			path = []uint32{1}
		}
		if !isText(p) {
			return nil, nil
		}
		return path, p
	}
	var bestPath []uint32
	var best *mime.Part
	for i, inner := range p.Parts {
		found, part := find(inner, append(path[:len(path):len(path)], uint32(i+1)))
		if part == nil || best != nil && !(isType(best, "text", "html") && !isType(part, "text", "html")) {
			continue
		}
		if bestPath, best = found, part; !isType(p, "multipart", "alternative") || !isType(part, "text", "html") {
			break
		}
	}
	return bestPath, best
}

// isText says whether a part is text to be read, in an encoding that is known.
func isText(p *mime.Part) bool {
	_, known := mime.NewTransferDecoder(p.Encoding)
	attached := p.Disposition != nil && strings.EqualFold(*p.Disposition, "attachment")
	return known && !attached && p.Kind == mime.Leaf && (p.Type == nil || isType(p, "text", "plain") || isType(p, "text", "html"))
}

func isType(p *mime.Part, kind, sub string) bool {
	return p.Type != nil && p.Subtype != nil && strings.EqualFold(*p.Type, kind) && strings.EqualFold(*p.Subtype, sub)
}

// recoded is text in UTF-8. What its charset does not say, or nobody knows, is taken for UTF-8.
func recoded(in io.Reader, p *mime.Part) io.Reader {
	for _, param := range p.Params {
		if strings.EqualFold(param.Name, "charset") {
			if charset, known := mime.Charset(param.Value); known && charset != nil {
				return transform.NewReader(in, charset.NewDecoder())
			}
		}
	}
	return in
}

// plain shortens a plain text.
func plain(text string) string {
	var own, quoted words
	for line := range strings.Lines(text) {
		to := &own
		if strings.HasPrefix(line, ">") {
			to, line = &quoted, strings.TrimLeft(line, "> ")
		}
		if to.add(line); own.full() {
			break
		}
		to.space()
	}
	if own.count == 0 && quoted.count > 0 {
		return ">" + quoted.text(Max-1)
	}
	return own.text(Max)
}

// words gathers characters, with one space for any white space between them.
type words struct {
	b      strings.Builder
	count  int
	spaced bool
}

func (w *words) full() bool { return w.count >= Max }

func (w *words) space() { w.spaced = true }

func (w *words) add(text string) {
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			w.spaced = true
			continue
		case unicode.IsControl(r), r == '\u200b', r == '\u200c', r == '\u200d', r == '\ufeff', r == '\u034f', r == '\u00ad': // what senders fill previews with
			continue
		case w.full():
			return
		}
		if w.spaced && w.count > 0 {
			w.b.WriteByte(' ')
			w.count++
		}
		w.spaced = false
		w.b.WriteRune(r)
		w.count++
	}
}

// text is at most so many characters.
func (w *words) text(most int) string {
	s := w.b.String()
	for n := w.count; n > most; n-- {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return strings.TrimRight(s, " ")
}
