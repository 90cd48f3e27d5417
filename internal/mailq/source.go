package mailq

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"

	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/listen"
	"postrider/internal/spool"
)

// source is a channel's queue, by its files or its daemon.
type source interface {
	// list shows the messages, or with ids these and perhaps others; with steer only those that this user may steer.
	list(ctx context.Context, ids []string, steer bool, show func(*control.Entry) error) error
	do(ctx context.Context, a control.Action, ids []string, report func(control.Outcome) error) error
	cat(ctx context.Context, id string, w io.Writer) error // errNone: there is no such message
	flush(ctx context.Context) (int, error)
	name() string // of the channel
	close()
}

var errNone = errors.New(control.NoMessage)

// each does something in every channel that there is and returns the exit status. A channel for which this host has no daemon
// is passed over.
func (w *run) each(choose func(channel) (source, error), do func(source) error) int {
	status, reached := exitOK, 0
	var absent error
	for _, c := range channels {
		s, err := choose(c)
		if err != nil && errors.Is(err, fs.ErrNotExist) {
			absent = err
			continue
		}
		if err == nil {
			err = do(s)
			s.close()
		}
		if failed, ok := errors.AsType[*outputError](err); ok {
			return w.failed(failed)
		}
		if err != nil {
			w.complain("%s queue: %v", c.via, err)
			status = exitUnavailable
			continue
		}
		reached++
	}
	if reached == 0 && status == exitOK {
		w.complain("the mail system is down: %v", absent)
		return exitUnavailable
	}
	return status
}

// reader is whence a channel is read: its files, or, if this user may not read them, its daemon.
func (w *run) reader(c channel) (source, error) {
	f, err := w.files(c)
	if !errors.Is(err, fs.ErrPermission) || w.Files {
		return f, err
	}
	return w.daemon(c)
}

// steerer is by what a channel is steered: its daemon, or, if none listens and this user may, its files.
func (w *run) steerer(c channel) (source, error) {
	if w.Files {
		return w.files(c)
	}
	d, err := w.daemon(c)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		if f, failed := w.files(c); failed == nil {
			return f, nil
		}
	}
	return d, err
}

// files is the channel by its files, if this user may read them.
func (w *run) files(c channel) (source, error) {
	hand, err := spool.OpenHand(w.SpoolDir, c.via)
	if err != nil {
		return nil, err
	}
	hand.Close()
	return byFiles{Files{Root: w.SpoolDir, Via: c.via}}, nil
}

// daemon is the channel by its daemon.
func (w *run) daemon(c channel) (source, error) {
	d := &byDaemon{via: c.via, path: filepath.Join(w.RunDir, c.socket)}
	if err := d.dial(w.ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// byFiles is what may all, by the files' own rights.
type byFiles struct{ Files }

func anyone(int64) bool { return true }

func (f byFiles) name() string { return string(f.Via) }
func (f byFiles) close()       {}

func (f byFiles) list(ctx context.Context, ids []string, _ bool, show func(*control.Entry) error) error {
	return f.List(ctx, ids, show)
}

func (f byFiles) do(ctx context.Context, a control.Action, ids []string, report func(control.Outcome) error) error {
	for some := range slices.Chunk(ids, atOnce) {
		outcomes, err := f.Do(ctx, a, some, anyone)
		if err != nil {
			return err
		}
		for _, o := range Told(outcomes) {
			if err := report(o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f byFiles) cat(ctx context.Context, id string, w io.Writer) error {
	file, size, err := f.Open(ctx, id, anyone)
	if errors.Is(err, fs.ErrNotExist) {
		return errNone
	}
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.CopyN(w, file, size)
	return err
}

// flush hands all that is deferred to whoever will work on the channel.
func (f byFiles) flush(ctx context.Context) (n int, err error) {
	var ids []string
	if err := f.List(ctx, nil, func(e *control.Entry) error {
		if e.State == control.Deferred {
			ids = append(ids, e.ID)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	err = f.do(ctx, control.DoRetry, byPlace(ids), func(o control.Outcome) error {
		if o.Trouble == "" {
			n++
		}
		return nil
	})
	return n, err
}

// byPlace sorts ids so that those of one subdirectory stand side by side.
func byPlace(ids []string) []string {
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(spool.Hash(a), spool.Hash(b)), cmp.Compare(a, b)) })
	return ids
}

// atOnce is how many messages are dealt with in one go through the files, and perConnection by how many a daemon is asked over
// one connection.
const (
	atOnce        = 1000
	perConnection = 100_000
)

// byDaemon is what the daemon allows.
type byDaemon struct {
	via    envelope.Via
	path   string
	client *control.Client
}

func (d *byDaemon) dial(ctx context.Context) error {
	conn, err := listen.DialUnix(ctx, d.path)
	if err != nil {
		return err
	}
	d.client = control.NewClient(conn)
	return nil
}

func (d *byDaemon) name() string { return string(d.via) }
func (d *byDaemon) close()       { d.client.Close() }

func (d *byDaemon) list(ctx context.Context, ids []string, steer bool, show func(*control.Entry) error) error {
	q := control.Query{Steer: steer}
	if len(ids) == 1 {
		q.ID = ids[0]
	}
	return d.client.List(ctx, q, show)
}

func (d *byDaemon) do(ctx context.Context, a control.Action, ids []string, report func(control.Outcome) error) error {
	for n := 0; n < len(ids); n += perConnection {
		if n > 0 {
			d.close()
			if err := d.dial(ctx); err != nil {
				return err
			}
		}
		if err := d.client.Steer(ctx, a, ids[n:min(len(ids), n+perConnection)], report); err != nil {
			return err
		}
	}
	return nil
}

func (d *byDaemon) cat(ctx context.Context, id string, w io.Writer) error {
	err := d.client.Cat(ctx, id, w)
	if errors.Is(err, fs.ErrNotExist) {
		return errNone
	}
	return err
}

func (d *byDaemon) flush(ctx context.Context) (int, error) { return d.client.Flush(ctx, "") }
