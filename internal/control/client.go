package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strconv"
	"time"
)

// Errors of a request that the daemon answered with no or later.
var (
	ErrRefused = errors.New("refused")
	ErrLater   = errors.New("not now")
)

// clientTimeout bounds each wait for the daemon: a long listing begins only when the daemon has found the first message.
const clientTimeout = 2 * time.Minute

// maxRecipients bounds what a client keeps of one message.
const maxRecipients = 1_000_000

// Client asks one daemon; it is not for concurrent use. After an error other than ErrRefused and ErrLater it is of no
// further use.
type Client struct {
	conn net.Conn
	in   *bufio.Reader
}

// NewClient speaks over a connection to a control socket and owns it.
func NewClient(conn net.Conn) *Client {
	return &Client{conn: conn, in: bufio.NewReaderSize(conn, MaxLine)}
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Query says what a client wants to be listed.
type Query struct {
	ID    string // this one; "" = all
	Steer bool   // only what this user may steer
}

// List passes to show what the daemon lets this user see of a query. The entry is not used again. An error of show ends the
// listing.
func (c *Client) List(ctx context.Context, q Query, show func(*Entry) error) error {
	defer c.cancel(ctx)()
	b := appendPair([]byte(verbList), "id", q.ID)
	if q.Steer {
		b = appendPair(b, "for", forSteer)
	}
	if err := c.request(ctx, b); err != nil {
		return err
	}
	var e *Entry
	for {
		l, err := c.read(ctx)
		if err != nil {
			return err
		}
		if l.verb == verbTo {
			if e == nil || len(e.Recipients) == maxRecipients {
				return fmt.Errorf("list: %w: misplaced recipient", ErrSyntax)
			}
			r, err := recipientOf(l)
			if err != nil {
				return fmt.Errorf("list: %w", err)
			}
			e.Recipients = append(e.Recipients, r)
			continue
		}
		if e != nil {
			if err := show(e); err != nil {
				return err
			}
			e = nil
		}
		if l.verb != verbMessage {
			_, err := result(verbList, l)
			return err
		}
		if e, err = entryOf(l); err != nil {
			return fmt.Errorf("list: %w", err)
		}
	}
}

// Flush asks for an attempt to deliver now: of the message of that id, or with "" of all that this user may steer. It
// returns how many messages that concerns.
func (c *Client) Flush(ctx context.Context, id string) (int, error) {
	defer c.cancel(ctx)()
	if err := c.request(ctx, appendPair([]byte(verbFlush), "id", id)); err != nil {
		return 0, err
	}
	l, err := c.read(ctx)
	if err != nil {
		return 0, err
	}
	return result(verbFlush, l)
}

// Steer asks for an action on messages, with a request for each MaxIDs of them, and passes to report what became of each.
// The ids must have the form of queue ids. An error of report ends it.
func (c *Client) Steer(ctx context.Context, a Action, ids []string, report func(Outcome) error) error {
	defer c.cancel(ctx)()
	for some := range slices.Chunk(ids, MaxIDs) {
		if err := c.request(ctx, appendIDs([]byte(a), some)); err != nil {
			return err
		}
		if err := c.outcomes(ctx, string(a), report); err != nil {
			return err
		}
	}
	return nil
}

// outcomes reads the answer to an action.
func (c *Client) outcomes(ctx context.Context, request string, report func(Outcome) error) error {
	for {
		l, err := c.read(ctx)
		if err != nil {
			return err
		}
		if l.verb != verbDone && l.verb != verbNot {
			_, err := result(request, l)
			return err
		}
		o, err := outcomeOf(l)
		if err != nil {
			return fmt.Errorf("%s: %w", request, err)
		}
		if err := report(o); err != nil {
			return err
		}
	}
}

// Cat writes the queue file of a message to w. fs.ErrNotExist: there is no such message.
func (c *Client) Cat(ctx context.Context, id string, w io.Writer) error {
	defer c.cancel(ctx)()
	if err := c.request(ctx, appendPair([]byte(verbCat), "id", id)); err != nil {
		return err
	}
	l, err := c.read(ctx)
	if err != nil {
		return err
	}
	if l.verb == verbNo && l.get("reason") == NoMessage {
		return fmt.Errorf("cat %s: %w", id, fs.ErrNotExist)
	}
	if l.verb != verbData {
		if _, err = result(verbCat, l); err == nil {
			err = fmt.Errorf("cat: %w: no data", ErrSyntax)
		}
		return err
	}
	n := numbers{line: l}
	size := n.get("size", -1)
	if n.err != nil || size < 0 {
		return fmt.Errorf("cat: %w: bad size", ErrSyntax)
	}
	if err := c.copy(ctx, w, size); err != nil {
		return fmt.Errorf("cat: %w", err)
	}
	if l, err = c.read(ctx); err != nil {
		return err
	}
	_, err = result(verbCat, l)
	return err
}

// copy passes on what follows a data line. The daemon may take its time for each piece, not for all.
func (c *Client) copy(ctx context.Context, w io.Writer, size int64) error {
	for left := size; left > 0; {
		if err := c.conn.SetReadDeadline(time.Now().Add(clientTimeout)); err != nil {
			return err
		}
		n, err := io.CopyN(w, c.in, min(left, MaxLine))
		left -= n
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return nil
}

// cancel lets the end of ctx end a wait.
func (c *Client) cancel(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.conn.Close() })
}

// request writes a line that still lacks its end.
func (c *Client) request(ctx context.Context, b []byte) error {
	err := c.conn.SetDeadline(time.Now().Add(clientTimeout))
	if err == nil {
		_, err = c.conn.Write(append(b, '\n'))
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	return nil
}

func (c *Client) read(ctx context.Context) (line, error) {
	err := c.conn.SetReadDeadline(time.Now().Add(clientTimeout))
	var l line
	if err == nil {
		l, err = readLine(c.in)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return line{}, fmt.Errorf("read answer: %w", err)
	}
	return l, nil
}

// result reads the last line of an answer.
func result(request string, l line) (int, error) {
	switch l.verb {
	case verbOK:
		n, err := strconv.ParseUint(l.get("count"), 10, 31)
		if err != nil {
			return 0, fmt.Errorf("%s: %w: bad count", request, ErrSyntax)
		}
		return int(n), nil
	case verbNo:
		return 0, fmt.Errorf("%s: %w: %s", request, ErrRefused, l.get("reason"))
	case verbLater:
		return 0, fmt.Errorf("%s: %w: %s", request, ErrLater, l.get("reason"))
	}
	return 0, fmt.Errorf("%s: %w: unexpected %.20q", request, ErrSyntax, l.verb)
}
