package relayd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"postrider/internal/envelope"
	"postrider/internal/fault"
	"postrider/internal/hop"
	"postrider/internal/reply"
	"postrider/internal/sevenbit"
	"postrider/internal/smtpc"
	"postrider/internal/spool"
)

// send hands what is left of a transaction to the host of the carrier's session. Trouble of the host that leaves open what
// becomes of the recipients leaves them for the next host.
func (c *carrier) send(tr *trip) {
	conn := c.conn
	if !tr.item.Present() { // waiting for the host may have taken long
		tr.settle(outcome{})
		return
	}
	if tr.connected.IsZero() {
		tr.connected = tr.began
	}
	e, body, refused := tr.prepare(conn)
	if refused != nil {
		tr.settle(*refused)
		return
	}
	ctx, cancel := transactionTime(c.working, tr.item.Size)
	defer cancel()
	reused := conn.carried > 0
	conn.carried++
	result, err := conn.Send(ctx, e, body)
	fault.Point("relay.sent")
	failure, _ := errors.AsType[*smtpc.Error](err)
	if !conn.Usable() {
		defer c.hangUp() // its place is for others when it is known how many may have one
	}
	switch answered, stage := isAnswer(failure), progress(failure); {
	case answered:
		c.hosts.succeeded(conn.host)
		tr.judge(conn, result, err)
	case errors.Is(err, smtpc.ErrMessage): // our own trouble
		tr.settle(*deferred(reply.New(451, 3, 0, "the message cannot be read").With(err)))
	case conn.Usable(): // nothing was said: what the envelope has is no command
		tr.settle(*deferred(reply.New(451, 3, 0, "the envelope cannot be sent").With(err)))
	case reused && stage == early && c.working.Err() == nil: // it had ended before: that says nothing of the host
		tr.next = max(tr.next-1, 0)
	case failure.Reply() != nil && stage == late: // 421 about this message, not about the host
		c.hosts.slower(conn.host)
		tr.judge(conn, result, err)
	default:
		c.broken(tr, conn, result, failure)
	}
}

// broken counts the end of a session in the middle of a transaction. What is known of recipients all the same holds.
func (c *carrier) broken(tr *trip, conn *connection, result smtpc.Result, failure *smtpc.Error) {
	if c.working.Err() == nil {
		tr.bad = append(tr.bad, conn.host)
		c.hosts.failedFor(conn.host, reply.New(451, 4, 2, describe(failure, conn.peer())))
	}
	tr.trouble, tr.private = tr.refusal(conn, failure), false
	if failure.Uncertain || tr.hop.Kind == hop.LMTP || c.working.Err() != nil {
		tr.judge(conn, result, failure)
		tr.todo = nil
	}
}

// stage is how far a transaction got.
type stage int

const (
	early stage = iota // the host has said nothing to it
	late               // MAIL was accepted
)

func progress(e *smtpc.Error) stage {
	if e == nil || e.Step != smtpc.StepRSET && e.Step != smtpc.StepMAIL {
		return late
	}
	return early
}

// isAnswer says that a transaction ended with the host's word about it, and not with the connection.
func isAnswer(e *smtpc.Error) bool {
	if e == nil || e.Local {
		return true
	}
	r := e.Reply()
	return r != nil && r.Code != 421 && e.Step != smtpc.StepRSET
}

// judge reads what the host said of each recipient. Those that were one too many for one transaction are left for another.
func (tr *trip) judge(conn *connection, result smtpc.Result, err error) {
	_, dsn := conn.Extension("DSN")
	var left []int
	for k, i := range tr.todo {
		good, failure := result.Of(k, err)
		o := outcome{status: spool.Sent, reply: good, relay: conn.relay, said: true, notify: !dsn, final: tr.hop.Kind == hop.LMTP}
		if failure != nil {
			o = tr.refusal(conn, failure)
		}
		if result.Excess(k) {
			left = append(left, i)
		}
		tr.set(i, o)
	}
	tr.todo = left
	tr.again()
}

// refusal is the outcome of a recipient that a host did not take.
func (tr *trip) refusal(conn *connection, failure *smtpc.Error) outcome {
	o := outcome{status: spool.Deferred, reply: failure.Reply(), relay: conn.relay, step: string(failure.Step), uncertain: failure.Uncertain}
	o.said = o.reply != nil && !failure.Local
	switch {
	case o.reply == nil:
		o.reply = reply.New(451, 4, 2, describe(failure, conn.peer()))
	case o.reply.Permanent() && !tr.soft(o.reply):
		o.status = spool.Failed
	}
	return o
}

// soft says that a refusal for good does not return the message: it is about our login, and the administrator can mend that.
func (tr *trip) soft(r *reply.Reply) bool {
	if tr.s.Config.Relayd.SoftBounce {
		return true
	}
	return !tr.derived && (r.Code == 530 || r.Code == 534 || r.Code == 535 || r.Code == 538)
}

// prepare makes the envelope and the message for a session as it is, or says why this message cannot be sent over it.
func (tr *trip) prepare(conn *connection) (*smtpc.Envelope, io.Reader, *outcome) {
	from := tr.item.Envelope.From
	from.Extra = nil
	e := &smtpc.Envelope{From: from, Size: tr.item.Size, UID: envelope.NoUID}
	for _, i := range tr.todo {
		e.To = append(e.To, tr.round.outcomes[tr.recipients[i]].rcpt)
	}
	_, eight := conn.Extension("8BITMIME")
	_, utf8 := conn.Extension("SMTPUTF8")
	if eight && (utf8 || !from.SMTPUTF8) {
		return e, tr.item.Body(), nil
	}
	content, err := tr.round.scan()
	if err != nil {
		return nil, nil, deferred(reply.New(451, 3, 0, "the message cannot be read").With(err))
	}
	e.UTF8Header = content.HeaderEightBit
	unspeakable := from.SMTPUTF8 && content.HeaderEightBit && !utf8 // as Send will say
	if eight || !content.BodyEightBit || unspeakable {
		return e, tr.item.Body(), nil
	}
	f, offset, size := tr.item.File()
	converted, err := sevenbit.Convert(whole{f, offset}, size)
	if errors.Is(err, sevenbit.ErrImpossible) {
		return nil, nil, failed(reply.New(554, 6, 3, fmt.Sprintf("%s does not take 8-bit messages, and this one cannot be converted", conn.peer())).With(err))
	}
	if err != nil {
		return nil, nil, deferred(reply.New(451, 3, 0, "the message cannot be read").With(err))
	}
	e.Size = 0
	if _, ok := conn.Extension("SIZE"); ok {
		if e.Size, err = converted.Size(); err != nil {
			return nil, nil, deferred(reply.New(451, 3, 0, "the message cannot be read").With(err))
		}
	}
	return e, converted.Reader(), nil
}

// whole reads a message in a queue file. Where somebody cut the file off meanwhile it does not end, but fails.
type whole struct {
	file   io.ReaderAt
	offset int64
}

func (w whole) ReadAt(p []byte, at int64) (int, error) {
	n, err := w.file.ReadAt(p, w.offset+at)
	if err == io.EOF && n < len(p) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// scan looks for octets above 127 in the message, once a round.
func (r *round) scan() (sevenbit.Content, error) {
	r.scanning.Do(func() { r.content, r.scanErr = sevenbit.Scan(r.item.Body()) })
	return r.content, r.scanErr
}

// transactionTime bounds a transaction: 30 min, and a second for each KiB.
func transactionTime(ctx context.Context, size int64) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 30*time.Minute+time.Duration(size/1024)*time.Second)
}
