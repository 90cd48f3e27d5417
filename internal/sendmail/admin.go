package sendmail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"postrider/internal/control"
	"postrider/internal/listen"
	"postrider/internal/mailq"
	"postrider/internal/table"
)

// checkAliases is newaliases: there is nothing to compile, the daemons read alias files when they change. What they would
// not accept is said here.
func (p *program) checkAliases() int {
	paths := p.config.Tables.Aliases
	if p.options.aliases != "" {
		paths = []string{p.options.aliases}
	}
	problems := table.NewAliases(paths, table.Options{}).Load()
	for _, problem := range problems {
		fmt.Fprintln(p.stderr, problem)
	}
	if problems.Err() != nil {
		return exitDataErr
	}
	return exitOK
}

// flush asks the queue's daemons to try again now (-q). A daemon that this host does not have is passed over.
func (p *program) flush(ctx context.Context) int {
	if len(p.options.flushOnly) > 0 {
		return p.retry(ctx)
	}
	asked, status := 0, exitOK
	for _, path := range mailq.Sockets(p.config.RunDir) {
		err := flush(ctx, path, p.options.flushID)
		switch {
		case err == nil:
			asked++
		case !errors.Is(err, fs.ErrNotExist):
			p.complain("%s: %v", path, err)
			status = exitTempFail
		}
	}
	if asked == 0 && status == exitOK {
		return p.fail(exitTempFail, fmt.Errorf("the mail system is down: no control socket in %s", p.config.RunDir))
	}
	return status
}

// retry has what is chosen by parts of the id, the sender or a recipient tried again now. That there may be no such message is
// no failure.
func (p *program) retry(ctx context.Context) int {
	r := mailq.Request{SpoolDir: p.config.SpoolDir, RunDir: p.config.RunDir, Do: mailq.Retry}
	if id := p.options.flushID; id != "" {
		r.IDs = []string{id}
	}
	for _, s := range p.options.flushOnly {
		test := mailq.Containing[s.letter](s.part)
		if s.others {
			test = mailq.Not(test)
		}
		r.Filter = append(r.Filter, test)
	}
	if status := r.Run(ctx, io.Discard, io.Discard); status > mailq.NotFound {
		return p.fail(exitTempFail, fmt.Errorf("the queue cannot be steered now; mailq retry says why"))
	}
	return exitOK
}

func flush(ctx context.Context, path, id string) error {
	conn, err := listen.DialUnix(ctx, path)
	if err != nil {
		return err
	}
	c := control.NewClient(conn)
	defer c.Close()
	_, err = c.Flush(ctx, id)
	return err
}
