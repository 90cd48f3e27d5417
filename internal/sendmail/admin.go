package sendmail

import (
	"context"
	"errors"
	"fmt"
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
