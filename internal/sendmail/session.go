package sendmail

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"

	"postrider/internal/listen"
)

// smtp connects standard input and output to the mail system (-bs). Lines may end in LF alone.
func (p *program) smtp(ctx context.Context) int {
	conn, err := listen.DialUnix(ctx, filepath.Join(p.config.RunDir, "submit"))
	if err != nil {
		return p.unavailable(err)
	}
	defer conn.Close()
	go func() {
		io.Copy(&lineEnds{w: conn}, p.stdin) // an error shows as the end of what the server says
		if u, ok := conn.(*net.UnixConn); ok {
			u.CloseWrite()
		}
	}()
	n, err := io.Copy(p.stdout, conn)
	switch {
	case n == 0:
		return p.unavailable(cmp.Or(err, io.ErrUnexpectedEOF))
	case err != nil:
		return p.fail(exitIOErr, err)
	}
	return exitOK
}

// unavailable is the greeting of a mail system that gives none.
func (p *program) unavailable(err error) int {
	fmt.Fprint(p.stdout, "421 4.3.0 the mail system is down\r\n")
	return p.fail(exitTempFail, err)
}

// lineEnds makes each LF that has no CR before it a CRLF. A BDAT chunk is not spared: the server takes none with bare LFs.
type lineEnds struct {
	w   io.Writer
	cr  bool // the last octet was CR
	buf []byte
}

func (l *lineEnds) Write(data []byte) (int, error) {
	l.buf = l.buf[:0]
	for rest := data; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			l.buf = append(l.buf, rest...)
			l.cr = rest[len(rest)-1] == '\r'
			break
		}
		if i > 0 && rest[i-1] != '\r' || i == 0 && !l.cr {
			l.buf = append(append(l.buf, rest[:i]...), '\r', '\n')
		} else {
			l.buf = append(l.buf, rest[:i+1]...)
		}
		l.cr = false
		rest = rest[i+1:]
	}
	if _, err := l.w.Write(l.buf); err != nil {
		return 0, err
	}
	return len(data), nil
}
