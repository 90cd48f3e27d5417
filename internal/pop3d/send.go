package pop3d

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"sync"
)

// chunks are the buffers in which no message is read now.
var chunks = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// unlimited is every line of a body.
const unlimited = -1

// multiline writes a message as a multi-line response (RFC 1939 §3): each line ends in CRLF, and before a dot at its start
// stands another. NUL, a CR alone and 8-bit octets go as they are.
type multiline struct {
	out   *bufio.Writer
	lines int64 // of the body, still to come; unlimited
	body  bool  // the header is over
	in    int   // octets of the present line so far, at most 2
	cr    bool  // the last of them is CR
	any   bool
}

// finished says that no more lines are wanted.
func (m *multiline) finished() bool { return m.body && m.lines == 0 }

// minRoom is how much room the buffer has for more text. No octet becomes more than two.
const minRoom = 4 << 10

// write takes the next octets of the file. Errors are the writer's to remember.
func (m *multiline) write(p []byte) {
	for len(p) > 0 && !m.finished() {
		if m.out.Available() < minRoom && m.out.Flush() != nil {
			return
		}
		n := min(len(p), m.out.Available()/2)
		m.out.Write(m.append(m.out.AvailableBuffer(), p[:n]))
		p = p[n:]
	}
}

// append appends what p becomes, as far as it is wanted.
func (m *multiline) append(b, p []byte) []byte {
	for len(p) > 0 && !m.finished() {
		text, whole := p, bytes.IndexByte(p, '\n')
		if whole >= 0 {
			text, p = p[:whole], p[whole+1:]
		} else {
			p = nil
		}
		if len(text) > 0 {
			if m.in == 0 && text[0] == '.' {
				b = append(b, '.')
			}
			b = append(b, text...)
			m.in, m.any = min(m.in+len(text), 2), true
			m.cr = text[len(text)-1] == '\r'
		}
		if whole >= 0 {
			b = m.endLine(b)
		}
	}
	return b
}

func (m *multiline) endLine(b []byte) []byte {
	blank := m.in == 0 || m.in == 1 && m.cr
	if !m.cr {
		b = append(b, '\r')
	}
	if m.body && m.lines > 0 {
		m.lines--
	}
	m.body = m.body || blank
	m.in, m.cr, m.any = 0, false, true
	return append(b, '\n')
}

// end ends the last line, if the message did not, and the response. As in Dovecot a message without octets is an empty line.
func (m *multiline) end() {
	if m.in > 0 || !m.any {
		m.out.WriteString("\r\n")
	}
}

// sendMessage copies a file. An error is that of the file: the response is then not complete, and the connection of no use.
func (w *wire) sendMessage(file io.Reader, lines int64) error {
	m := &multiline{out: w.buffer(), lines: lines}
	chunk := chunks.Get().(*[bufferSize]byte)
	defer chunks.Put(chunk)
	for !m.finished() && w.err == nil {
		n, err := file.Read(chunk[:])
		m.write(chunk[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read message: %w", err)
		}
	}
	m.end()
	return nil
}
