package imap

import (
	"bytes"
	"math"
	"strings"
)

// literalHeader reads {n} or {n+} and the end of the line.
func (p *parser) literalHeader() (size int64, sync bool) {
	p.expect('{')
	digits := p.run(isDigit, 19, "literal size")
	size = literalSize(digits)
	sync = !p.take('+')
	p.expect('}')
	if p.err == nil && p.peek() != '\r' && p.peek() != '\n' {
		p.fail("expected end of line after literal size")
	}
	p.eol()
	if p.err == nil {
		p.r.mark = p.r.r
	}
	return size, sync
}

// literal reads a literal into memory.
func (p *parser) literal(binary bool) string {
	size, sync := p.literalHeader()
	if p.err != nil {
		return ""
	}
	if size > int64(p.literals) {
		p.refuseLiteral(size, sync)
		return ""
	}
	p.literals -= int(size)
	if sync {
		if p.err = p.r.out.Continue("OK"); p.err != nil {
			return ""
		}
	}
	return p.literalText(int(size), binary)
}

func (p *parser) literalText(size int, binary bool) string {
	r := p.r
	r.tok = r.tok[:0]
	for len(r.tok) < size {
		r.mark = r.r
		p.peek()
		if p.err != nil {
			return ""
		}
		n := min(size-len(r.tok), r.Buffered())
		r.tok = append(r.tok, r.buf[r.r:r.r+n]...)
		r.r += n
	}
	r.mark = r.r
	text := string(r.tok)
	if !binary && strings.IndexByte(text, 0) >= 0 {
		p.fail("NUL in literal")
	}
	return text
}

// refuseLiteral brings the stream behind a literal that is too large.
func (p *parser) refuseLiteral(size int64, sync bool) {
	var err error
	if sync {
		err = p.r.refuseSync()
	} else {
		budget := p.r.Limits.Discard
		err = p.r.discard(size, &budget)
	}
	if err != nil {
		p.err = err
		return
	}
	p.refuse(BAD, CodeTooBig, "literal too large")
}

// discard reads a literal that nobody wants; the line goes on behind it.
func (r *Reader) discard(n int64, budget *int64) error {
	if n > *budget {
		return ErrEndless
	}
	*budget -= n
	for n > 0 {
		r.mark = r.r
		if r.Buffered() == 0 {
			if err := r.fill(); err != nil {
				return err
			}
		}
		skipped := min(n, int64(r.Buffered()))
		r.r += int(skipped)
		n -= skipped
	}
	r.mark = r.r
	return nil
}

// refuseSync ends a command at a synchronizing literal, which does not come if it is not asked for.
func (r *Reader) refuseSync() error {
	r.ended = true
	if r.Buffered() > 0 {
		return ErrImpatient
	}
	return nil
}

// literalAtEnd finds the {n} or {n+} with which a line ends, of which the last lookBack octets are enough. A size that is
// too long for those, or for its type, is more than anybody reads.
func literalAtEnd(line []byte) (size int64, sync, ok bool) {
	line = bytes.TrimRight(line, "\r\n")
	line, ok = bytes.CutSuffix(line, []byte("}"))
	if !ok {
		return 0, false, false
	}
	line, plus := bytes.CutSuffix(line, []byte("+"))
	first := len(line)
	for first > 0 && '0' <= line[first-1] && line[first-1] <= '9' {
		first--
	}
	digits := line[first:]
	if len(digits) == 0 {
		return 0, false, false
	}
	if first == 0 { // no brace, or it is out of sight
		return math.MaxInt64, !plus, len(line) > lookBack-8
	}
	return literalSize(digits), !plus, line[first-1] == '{'
}

// literalSize is the number in a literal header, or the largest there is.
func literalSize(digits []byte) int64 {
	var n int64
	for _, c := range digits {
		if n > (math.MaxInt64-9)/10 {
			return math.MaxInt64
		}
		n = n*10 + int64(c-'0')
	}
	return n
}
