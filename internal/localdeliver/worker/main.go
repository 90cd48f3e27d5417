package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"postrider/internal/sandbox"
)

// Main is a worker's process. It ends when the manager closes the connection; the status is for the log only.
func Main() int {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "postrider/localdeliver[%d]: worker of uid %d: %v\n", os.Getpid(), os.Getuid(), err)
		return 1
	}
	return 0
}

func run() error {
	syscall.Umask(0o077)
	if err := sandbox.NoCoreDumps(); err != nil {
		return err
	}
	if err := sandbox.NoNewPrivileges(); err != nil {
		return err
	}
	conn, err := sandbox.WorkerConn()
	if err != nil {
		return err
	}
	defer conn.Close()
	w := &Worker{Confine: confine, Patience: 5 * time.Second}
	return w.Serve(conn)
}

// confine leaves the process the directories of its jobs. One that is not there now could not be let in later, so the
// process then does without, and ends after a batch.
func confine(roots []string) error {
	for _, root := range roots {
		d, err := os.Open(root) // a look that mounts it, if it is to be mounted on demand
		if errors.Is(err, fs.ErrNotExist) {
			return errMissingRoot
		}
		if err == nil {
			d.Close()
		}
	}
	_, err := sandbox.Restrict(sandbox.Rules{ReadWrite: roots})
	return err
}

var errMissingRoot = errors.New("a directory of the mailboxes is missing")
