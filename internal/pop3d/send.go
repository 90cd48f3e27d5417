package pop3d

import (
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
	w     io.Writer
	lines int64 // of the body, still to come; unlimited
	body  bool  // the header is over
	in    int   // octets of the present line so far, at most 2
	cr    bool  // the last of them is CR
	any   bool
}

var (
	dot  = []byte{'.'}
	crlf = []byte("\r\n")
)

// finished says that no more lines are wanted.
func (m *multiline) finished() bool { return m.body && m.lines == 0 }

// write takes the next octets of the file. Errors are the writer's to remember.
func (m *multiline) write(p []byte) {
	for len(p) > 0 && !m.finished() {
		text, whole := p, bytes.IndexByte(p, '\n')
		if whole >= 0 {
			text, p = p[:whole], p[whole+1:]
		} else {
			p = nil
		}
		m.text(text)
		if whole >= 0 {
			m.endLine()
		}
	}
}

// text is a part of a line.
func (m *multiline) text(p []byte) {
	if len(p) == 0 {
		return
	}
	if m.in == 0 && p[0] == '.' {
		m.w.Write(dot)
	}
	m.w.Write(p)
	m.in, m.any = min(m.in+len(p), 2), true
	m.cr = p[len(p)-1] == '\r'
}

func (m *multiline) endLine() {
	blank := m.in == 0 || m.in == 1 && m.cr
	if m.cr {
		m.w.Write(crlf[1:])
	} else {
		m.w.Write(crlf)
	}
	if m.body && m.lines > 0 {
		m.lines--
	}
	m.body = m.body || blank
	m.in, m.cr, m.any = 0, false, true
}

// end ends the last line, if the message did not, and the response. As in Dovecot a message without octets is an empty line.
func (m *multiline) end() {
	if m.in > 0 || !m.any {
		m.w.Write(crlf)
	}
}

// sendMessage copies a file. An error is that of the file: the response is then not complete, and the connection of no use.
func (w *wire) sendMessage(file io.Reader, lines int64) error {
	out := w.buffer()
	m := &multiline{w: out, lines: lines}
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
