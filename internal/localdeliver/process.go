package localdeliver

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"postrider/internal/fault"
	"postrider/internal/localdeliver/job"
)

// process is a worker with the manager's side of the protocol.
type process struct {
	Process
	stream *patient
	in     *job.Decoder
	out    *job.Encoder
}

// startProcess starts a worker for a lane and greets it.
func (m *Manager) startProcess(key laneKey) (*process, error) {
	ctx, cancel := context.WithTimeout(m.working, startTime)
	defer cancel()
	conn, err := m.starter.Start(ctx, key.uid, key.gid)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(m.working, func() { conn.Close() })
	stream := &patient{conn: conn}
	p := &process{Process: conn, stream: stream, in: job.NewDecoder(conn), out: job.NewEncoder(stream)}
	c := m.settings.Load().Config
	hello := job.Hello{Version: job.Version, Roots: []string{key.root}, MaxForwards: c.LocalDeliver.MaxForwards, Origin: c.Origin}
	if key.extra != "" {
		hello.Roots = append(hello.Roots, key.extra)
	}
	if c.RecipientDelimiter != "" {
		hello.Delimiter = c.RecipientDelimiter[:1]
	}
	if key.root == filepath.Clean(c.MailRoot) {
		hello.Mailboxes = key.root
	}
	if err := p.out.Hello(hello); err != nil { // it waits in the buffer for the first batch
		p.Kill()
		p.end()
		return nil, err
	}
	return p, nil
}

// deliver sends a batch and reads its results. Each step of it that makes progress has the whole time.
func (p *process) deliver(batch []*delivery, timeout time.Duration) ([]*job.Result, error) {
	p.stream.timeout = timeout
	if err := p.send(batch); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	fault.Point("deliver.sent-to-worker")
	if err := p.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	results := make([]*job.Result, len(batch))
	for i := range batch {
		r, err := p.in.Result()
		if err != nil {
			return nil, fmt.Errorf("read result: %w", err)
		}
		if r.File != "" && !strings.HasPrefix(r.File, batch[i].job.Unique) {
			return nil, fmt.Errorf("%w: result for another delivery", job.ErrProtocol)
		}
		results[i] = r
	}
	if p.in.Buffered() > 0 {
		return nil, fmt.Errorf("%w: more results than deliveries", job.ErrProtocol)
	}
	fault.Point("deliver.committed")
	return results, nil
}

func (p *process) send(batch []*delivery) error {
	if err := p.out.Batch(len(batch)); err != nil {
		return err
	}
	for _, d := range batch {
		d.sent = time.Now()
		if err := p.out.Job(&d.job); err != nil {
			return err
		}
		n, err := io.Copy(p.out.Writer, d.item.Body())
		if err == nil && n != d.job.Size {
			err = fmt.Errorf("%s: the queue file lost its end", d.item.Name.ID)
		}
		if err != nil {
			return err
		}
	}
	return p.out.Flush()
}

// patient renews the deadline with each write.
type patient struct {
	conn    Process
	timeout time.Duration
}

func (w *patient) Write(b []byte) (int, error) {
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return 0, err
	}
	return w.conn.Write(b)
}

func (p *process) ended() bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

// startTime is how long the start of a worker may take.
const startTime = 30 * time.Second

// endTime is how long a worker may take to end by itself.
const endTime = 10 * time.Second

// end lets the worker end, and waits for it: its place counts until then, or until nothing helps.
func (p *process) end() {
	p.Close()
	for range 3 {
		timer := time.NewTimer(endTime)
		select {
		case <-p.Done():
			timer.Stop()
			return
		case <-timer.C:
			p.Kill()
		}
	}
}
