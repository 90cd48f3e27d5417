package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"postrider/internal/logline"
	"postrider/internal/sandbox"
)

// spareThreads are threads beyond the number of processors. Go looks at connections again only when nothing can run, or 10 ms later, and
// so has a short command wait for all that take long. The kernel, which has more threads than processors to share out, lets it run first.
const spareThreads = 4

// Main is a session process. It ends when authd has closed the connection and the last session is over; the status is for the log
// only.
func Main(engines map[string]Engine) int {
	if err := run(engines); err != nil {
		fmt.Fprintf(os.Stderr, "postrider/session[%d]: error: uid %d: %v\n", os.Getpid(), os.Getuid(), err)
		return 1
	}
	return 0
}

func run(engines map[string]Engine) error {
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + spareThreads)
	syscall.Umask(0o077)
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE) // a log that ends must not end a session
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	_, _ = time.Now().Zone() // the time zone's file is read now, while it can be
	err := errors.Join(sandbox.NoCoreDumps(), sandbox.NoNewPrivileges(), sandbox.NoExec(), sandbox.NoSockets())
	if err != nil {
		return err
	}
	conn, err := sandbox.WorkerConn()
	if err != nil {
		return err
	}
	s := &Server{Engines: engines, Confine: confine, Log: openLog}
	return s.Serve(ctx, conn)
}

func openLog(format string) *logline.Logger {
	f, err := logline.ParseFormat(format)
	if err != nil {
		f = logline.Text
	}
	return logline.New("session", f)
}

// confine leaves the process the directories of the mail.
func confine(roots []string) error {
	_, err := sandbox.Restrict(sandbox.Rules{ReadWrite: roots}) // authd has logged what this kernel cannot do
	return err
}
