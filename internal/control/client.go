package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

// List passes to show what the daemon lets this user see: the message of that id, or with "" all. The entry is not used
// again. An error of show ends the listing.
func (c *Client) List(ctx context.Context, id string, show func(*Entry) error) error {
	defer c.cancel(ctx)()
	if err := c.request(verbList, id); err != nil {
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
			e.Recipients = append(e.Recipients, recipientOf(l))
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
	if err := c.request(verbFlush, id); err != nil {
		return 0, err
	}
	l, err := c.read(ctx)
	if err != nil {
		return 0, err
	}
	return result(verbFlush, l)
}

// cancel lets the end of ctx end a wait.
func (c *Client) cancel(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.conn.Close() })
}

func (c *Client) request(verb, id string) error {
	b := append(appendPair([]byte(verb), "id", id), '\n')
	if err := c.conn.SetDeadline(time.Now().Add(clientTimeout)); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	if _, err := c.conn.Write(b); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

func (c *Client) read(ctx context.Context) (line, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(clientTimeout)); err != nil {
		return line{}, fmt.Errorf("read answer: %w", err)
	}
	l, err := readLine(c.in)
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
		n, err := strconv.ParseUint(l.pairs["count"], 10, 31)
		if err != nil {
			return 0, fmt.Errorf("%s: %w: bad count", request, ErrSyntax)
		}
		return int(n), nil
	case verbNo:
		return 0, fmt.Errorf("%s: %w: %s", request, ErrRefused, l.pairs["reason"])
	case verbLater:
		return 0, fmt.Errorf("%s: %w: %s", request, ErrLater, l.pairs["reason"])
	}
	return 0, fmt.Errorf("%s: %w: unexpected %.20q", request, ErrSyntax, l.verb)
}
