package pop3d

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"postrider/internal/mailstore"
)

// maxBad is how many refusals in a row a client may get, as in Dovecot.
const maxBad = 20

// capabilities after login (RFC 2449 §5). UTF8 is a command of the state before it (RFC 6856 §2), and changes no octet here:
// messages go as they are in either mode.
const capabilities = "+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nAUTH-RESP-CODE\r\nUTF8\r\n."

// dialogue is a session's commands and answers.
type dialogue struct {
	ctx    context.Context
	wire   *wire
	drop   *maildrop
	opts   Options
	unlock func()
	sum    Summary
	gone   int // index+1 of the last message that was told as gone
}

// run serves the session to its end.
func (d *dialogue) run() {
	defer d.drop.close()
	d.sum.Messages, d.sum.Size = len(d.drop.messages), d.drop.total
	d.wire.line("+OK Logged in.")
	for bad := 0; ; {
		verb, args, err := d.next()
		if err == nil && verb == "QUIT" {
			d.quit()
			return
		}
		if err == nil {
			err = d.do(verb, args)
		}
		var no refusal
		switch {
		case errors.As(err, &no):
			d.wire.line("-ERR " + string(no))
			if bad++; bad > maxBad {
				d.leave(ending("Too many bad commands."))
				return
			}
		case err != nil:
			d.leave(err)
			return
		default:
			bad = 0
		}
	}
}

// next waits for a command. What was said before must have been sent, so that nothing that follows a lost answer is done.
func (d *dialogue) next() (verb, args string, err error) {
	if d.wire.err != nil {
		return "", "", d.wire.err
	}
	text, err := d.wire.readLine()
	if err != nil {
		return "", "", err
	}
	verb, args = parseCommand(text)
	return verb, args, nil
}

// do does a command. It returns a refusal, or what ends the session.
func (d *dialogue) do(verb, args string) error {
	switch verb {
	case "STAT":
		d.wire.numbers("+OK ", int64(len(d.drop.messages)-d.drop.deleted), d.drop.total-d.drop.deletedSize)
	case "LIST":
		return d.list(args)
	case "UIDL":
		return d.uidl(args)
	case "RETR":
		return d.retr(args)
	case "TOP":
		return d.top(args)
	case "DELE":
		return d.dele(args)
	case "RSET":
		d.drop.reset()
		d.wire.line("+OK")
	case "NOOP":
		d.wire.line("+OK")
	case "CAPA":
		d.wire.line(capabilities)
	case "":
		return refusal("Unknown command.")
	default:
		return refusal("Unknown command: " + shown(verb))
	}
	return nil
}

// number reads the number of a message that is not deleted.
func (d *dialogue) number(arg string) (int, error) {
	i, err := parseNumber(arg, len(d.drop.messages))
	if err == nil && d.drop.isDeleted(i) {
		err = refusal("Message is deleted.")
	}
	return i, err
}

func (d *dialogue) list(args string) error {
	if args != "" {
		i, err := d.number(args)
		if err == nil {
			d.wire.numbers("+OK ", int64(i+1), d.drop.sizes[i])
		}
		return err
	}
	d.wire.line(fmt.Sprintf("+OK %d messages:", len(d.drop.messages)-d.drop.deleted))
	for i, size := range d.drop.sizes {
		if !d.drop.isDeleted(i) {
			d.wire.numbers("", int64(i+1), size)
		}
	}
	d.wire.line(".")
	return nil
}

func (d *dialogue) uidl(args string) error {
	if args != "" {
		i, err := d.number(args)
		if err == nil {
			d.uidlLine("+OK ", i)
		}
		return err
	}
	d.wire.line("+OK")
	for i := range d.drop.messages {
		if !d.drop.isDeleted(i) {
			d.uidlLine("", i)
		}
	}
	d.wire.line(".")
	return nil
}

func (d *dialogue) uidlLine(prefix string, i int) {
	out := d.wire.buffer()
	text := append(out.AvailableBuffer(), prefix...)
	text = append(strconv.AppendInt(text, int64(i+1), 10), ' ')
	out.Write(append(d.drop.appendUIDL(text, i), '\r', '\n'))
}

func (d *dialogue) dele(args string) error {
	i, err := d.number(args)
	if err == nil {
		d.drop.delete(i)
		d.wire.line("+OK Marked to be deleted.")
	}
	return err
}

func (d *dialogue) retr(args string) error {
	i, err := d.number(args)
	if err != nil {
		return err
	}
	n, err := d.send(i, fmt.Sprintf("+OK %d octets", d.drop.sizes[i]), unlimited)
	if n > 0 {
		d.sum.Retr++
		d.sum.RetrBytes += n
	}
	if n > 0 && err == nil && d.wire.err == nil && d.drop.messages[i].Flags&mailstore.Seen == 0 {
		d.drop.marks[i] |= markSeen
	}
	return err
}

func (d *dialogue) top(args string) error {
	number, count, _ := strings.Cut(args, " ")
	i, err := d.number(number)
	if err != nil {
		return err
	}
	lines, err := parseCount(strings.TrimLeft(count, " "))
	if err != nil {
		return refusal("Invalid size: " + shown(count))
	}
	n, err := d.send(i, "+OK", min(lines, math.MaxInt64-1))
	if n > 0 {
		d.sum.Top++
		d.sum.TopBytes += n
	}
	return err
}

// send answers with a message and returns the octets, 0 if there was none to send. A message that is gone is told once; who asks
// again is refused, lest he ask forever.
func (d *dialogue) send(i int, ok string, lines int64) (int64, error) {
	file, err := d.drop.box.OpenMessage(d.ctx, d.drop.messages[i])
	switch {
	case d.ctx.Err() != nil:
		return 0, d.ctx.Err()
	case errors.Is(err, mailstore.ErrExpunged):
		no := refusal(fmt.Sprintf("Message %d expunged.", i+1))
		if i < d.gone {
			return 0, no
		}
		d.gone = i + 1
		d.wire.line("-ERR " + string(no))
		return 0, nil
	case err != nil:
		d.opts.Log.Error("pop3 session of %s: %v", d.opts.User, err)
		return 0, refusal(fmt.Sprintf("[SYS/TEMP] Message %d cannot be read now.", i+1))
	}
	defer file.Close()
	before := d.wire.written()
	d.wire.line(ok)
	err = d.wire.sendMessage(file, lines)
	n := d.wire.written() - before
	if err != nil {
		d.opts.Log.Error("pop3 session of %s: message %d: %v", d.opts.User, d.drop.messages[i].UID, err)
		return n, errCut
	}
	d.wire.line(".")
	return n, nil
}
