// Package worker is the delivery under the recipient's uid: it reads the user's .forward, stops loops and writes into
// Maildirs. It trusts its manager for who the user is and where the home lies; it trusts neither messages nor what the
// user, or with a shared uid another user, put into the home. Whatever it cannot understand it defers.
package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"postrider/internal/indexdir"
	"postrider/internal/localdeliver/job"
	"postrider/internal/maildir"
	"postrider/internal/quota"
	"postrider/internal/reply"
)

// Worker serves the jobs of one manager.
type Worker struct {
	// Confine is told the directories that the jobs will need, before the first job is read.
	Confine func(roots []string) error
	// Patience is how long a batch waits for quotas that others keep locked, as their owners can for ever.
	Patience time.Duration

	hello   job.Hello
	in      *job.Decoder
	out     *job.Encoder
	cleaned map[string]bool // Maildirs whose tmp/ was cleaned by this process
	records *recorder
	patient time.Duration // what is left of Patience
}

// Serve works until the manager closes the connection.
func (w *Worker) Serve(conn io.ReadWriter) error {
	w.in, w.out, w.cleaned = job.NewDecoder(conn), job.NewEncoder(conn), make(map[string]bool)
	var err error
	if w.hello, err = w.in.Hello(); err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	missing := false
	roots, indexes := w.hello.Roots, indexdir.Dir("")
	if w.hello.IndexDir != "" {
		if indexes, err = indexdir.Own(w.hello.IndexDir); err == nil { // else sessions say why
			roots = append(roots, string(indexes))
		} else {
			indexes = indexdir.None
		}
	}
	if w.Confine != nil {
		if err := w.Confine(roots); errors.Is(err, errMissingRoot) {
			missing = true
		} else if err != nil {
			return fmt.Errorf("confine: %w", err)
		}
	}
	w.records = newRecorder(indexes)
	defer w.records.close()
	for {
		n, err := w.in.Batch()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read batch: %w", err)
		}
		boxes, err := w.batch(n)
		if err != nil {
			return err
		}
		if missing {
			return nil
		}
		w.clean(boxes)
	}
}

// delivery is a job at work.
type delivery struct {
	*job.Job
	message *maildir.Message // nil: none for the mailbox
	result  *job.Result      // nil: the mailbox decides
	forward []string
	count   *quota.Change
}

// batch reads n jobs with their messages, delivers them together, and answers.
func (w *Worker) batch(n int) (boxes []string, err error) {
	w.patient = w.Patience
	b := maildir.NewBatch()
	defer b.Close()
	list := make([]*delivery, n)
	for i := range list {
		if list[i], err = w.take(b); err != nil {
			return nil, err
		}
	}
	b.Commit()
	for _, d := range list {
		if err := w.out.Result(d.settle()); err != nil {
			return nil, fmt.Errorf("write result: %w", err)
		}
		if d.message != nil {
			boxes = append(boxes, d.Maildir)
		}
	}
	if err := w.out.Flush(); err != nil {
		return nil, fmt.Errorf("write results: %w", err)
	}
	w.records.record(list)
	return boxes, nil
}

// take reads one job and its message. The error is one of the connection: others are the job's result.
func (w *Worker) take(b *maildir.Batch) (*delivery, error) {
	j, err := w.in.Job()
	if err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	d := &delivery{Job: j}
	head, err := w.in.Peek(int(min(j.Size, maxHeader)))
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	switch past := deliveries(head); {
	case hasAddress(past, j.Recipient) || len(past) > maxDeliveries:
		d.fail(reply.New(554, 4, 6, "mail forwarding loop for "+j.Recipient))
	case hasAddress(past, w.userAddress(j)): // the user sent it on to another form of the own address: here it ends
	default:
		w.route(d)
	}
	switch {
	case d.result != nil:
	case j.Kept != "":
		d.succeed(j.Kept)
	default:
		w.open(d, b)
	}
	return d, w.copy(d)
}

// route asks the user's .forward.
func (w *Worker) route(d *delivery) {
	f, err := w.findForward(d.Job)
	if err != nil {
		d.fail(reply.New(451, 3, 5, "user's forward cannot be used").With(err))
		var p *patientError
		d.result.Patient = errors.As(err, &p)
		return
	}
	d.forward = f.addresses
	if !f.mailbox {
		d.result = &job.Result{Kind: job.Forward, Addresses: f.addresses, Reply: forwarded}
	}
}

var (
	forwarded = reply.New(250, 0, 0, "forwarded")
	delivered = reply.New(250, 0, 0, "delivered to maildir")
)

func (d *delivery) fail(r *reply.Reply) {
	kind := job.Deferred
	if r.Permanent() {
		kind = job.Failed
	}
	d.result = &job.Result{Kind: kind, Reply: r}
	if r.Cause != nil {
		d.result.Detail = r.Cause.Error()
	}
}

// succeed is the result when the mailbox has the message.
func (d *delivery) succeed(file string) {
	d.result = &job.Result{Kind: job.Delivered, File: file, Reply: delivered}
	if len(d.forward) > 0 {
		d.result = &job.Result{Kind: job.Forward, File: file, Addresses: d.forward, Reply: forwarded}
	}
}

// open begins the message in the Maildir, if its quota has room for it.
func (w *Worker) open(d *delivery, b *maildir.Batch) {
	place := maildir.Place{Root: d.Home, Path: d.Maildir}
	if root := w.hello.Mailboxes; root != "" && below(d.Home, root) {
		place.Root = root
		if err := maildir.CheckMount(root, w.hello.Mount); err != nil {
			d.fail(explain(err))
			return
		}
	}
	m, err := b.Create(place, d.Unique, d.Again)
	if err != nil {
		d.fail(explain(err))
		return
	}
	head := d.head()
	more := quota.Amount{Octets: int64(len(head)) + d.Size, Messages: 1}
	begun := time.Now()
	d.count, err = quota.New(d.Maildir, d.Quota).Within(w.patient).Reserve(context.Background(), more)
	w.patient = max(0, w.patient-time.Since(begun))
	if err != nil {
		m.Abort()
		d.fail(full(err, w.hello.BounceFull && !d.Again)) // it may be there already
		return
	}
	d.message = m
	m.Write(head) // its error stays with the message
}

// head is what the last delivery adds on top (RFC 5321 §4.4).
func (d *delivery) head() []byte {
	head := make([]byte, 0, 512)
	head = append(append(append(head, "Return-Path: <"...), d.Sender...), ">\r\n"...)
	if d.Original != "" && d.Original != d.Recipient {
		head = append(append(append(head, "X-Original-To: "...), d.Original...), "\r\n"...)
	}
	return append(append(append(head, "Delivered-To: "...), d.Recipient...), "\r\n"...)
}

// copy reads the message to its end, into the mailbox if it is meant for it.
func (w *Worker) copy(d *delivery) error {
	for left := d.Size; left > 0; {
		chunk, err := w.in.Peek(int(min(left, int64(max(w.in.Buffered(), 1)))))
		if err != nil {
			return fmt.Errorf("read message: %w", err)
		}
		if d.message != nil {
			d.message.Write(chunk)
		}
		w.in.Discard(len(chunk))
		left -= int64(len(chunk))
	}
	if d.message != nil {
		d.message.Close()
	}
	return nil
}

// settle is the result after the commit.
func (d *delivery) settle() *job.Result {
	switch {
	case d.result != nil:
	case d.message.Err() != nil:
		d.count.Done(context.Background(), quota.Amount{})
		d.fail(explain(d.message.Err()))
	default:
		d.counted()
		d.succeed(d.message.Name())
	}
	return d.result
}

// counted counts the message by its size on disk. An earlier delivery was counted when it was made.
func (d *delivery) counted() {
	var came quota.Amount
	if size, ok := maildir.NameSize(d.message.Name(), maildir.SizeField); ok && !d.message.Found() {
		came = quota.Amount{Octets: size, Messages: 1}
	}
	d.count.Done(context.Background(), came)
}

// maxCleaned bounds the memory for Maildirs that were cleaned.
const maxCleaned = 1000

// clean removes old files from tmp/ of the Maildirs, each once in the life of the process, after its mail was answered for.
func (w *Worker) clean(boxes []string) {
	for _, path := range boxes {
		if !w.cleaned[path] && len(w.cleaned) < maxCleaned {
			w.cleaned[path] = true
			maildir.Clean(path, time.Now()) // the next process tries again
		}
	}
}
