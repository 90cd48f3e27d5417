package localdeliver

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"postrider/internal/config"
	"postrider/internal/fault"
	"postrider/internal/localdeliver/job"
	"postrider/internal/sandbox"
)

// process is a worker with the manager's side of the protocol.
type process struct {
	Process
	in     *job.Decoder
	out    *job.Encoder
	forget func() bool // the end of all work
}

// ordinaryWorkers is how many workers a user may have. One has only one home, as a rule.
const ordinaryWorkers = 4

// count counts another worker of a uid, if there may be one, until the function that it returns is called.
func (m *Manager) count(uid uint32) (end func(), ok bool) {
	s := m.settings.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.alive[uid] >= ordinaryWorkers && uid != s.MailboxUID && !s.Config.SingleUID {
		return nil, false
	}
	m.alive[uid]++
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.alive[uid]--; m.alive[uid] == 0 {
			delete(m.alive, uid)
		}
	}, true
}

// startProcess starts a worker for a lane and greets it.
func (m *Manager) startProcess(key laneKey) (*process, error) {
	ended, ok := m.count(key.uid)
	if !ok {
		return nil, sandbox.ErrBusy
	}
	ctx, cancel := context.WithTimeout(m.working, startTime)
	defer cancel()
	conn, err := m.starter.Start(ctx, key.uid, key.gid)
	if err != nil {
		ended()
		return nil, err
	}
	go func() {
		<-conn.Done()
		ended()
	}()
	p := &process{Process: conn, in: job.NewDecoder(conn), out: job.NewEncoder(conn)}
	p.forget = context.AfterFunc(m.working, func() { conn.Close() })
	c := m.settings.Load().Config
	hello := job.Hello{Version: job.Version, Roots: []string{key.root}, MaxForwards: c.LocalDeliver.MaxForwards, Origin: c.Origin,
		IndexDir: c.IndexDir, BounceFull: c.LocalDeliver.QuotaFull == config.Bounce}
	if key.extra != "" {
		hello.Roots = append(hello.Roots, key.extra)
	}
	if c.RecipientDelimiter != "" {
		hello.Delimiter = c.RecipientDelimiter[:1]
	}
	if key.root == filepath.Clean(c.MailRoot) {
		hello.Mailboxes, hello.Mount = key.root, c.MailstoreID
	}
	if err := p.out.Hello(hello); err != nil { // it waits in the buffer for the first batch
		p.Kill()
		p.end()
		return nil, err
	}
	return p, nil
}

// slowest is how many octets a second a worker must take.
const slowest = 1 << 20

// deliver sends a batch and reads its results. All of it has the timeout, and the time that a slow disk takes.
func (p *process) deliver(batch []*delivery, timeout time.Duration) ([]*job.Result, error) {
	for _, d := range batch {
		timeout += time.Duration(d.job.Size) * time.Second / slowest
	}
	if err := p.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if err := p.send(batch); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	fault.Point("deliver.sent-to-worker")
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
	p.forget()
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
