package worker

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/internal/maildir"
	"postrider/internal/quota"
	"postrider/internal/reply"
)

// explain is what the sender is told of a mailbox that cannot be written to, and as its cause what the log is. All of it may
// pass.
func explain(err error) *reply.Reply {
	switch {
	case errors.Is(err, maildir.ErrNotMounted):
		return reply.New(451, 3, 5, "mailboxes are not there").With(err)
	case errors.Is(err, unix.EDQUOT):
		return reply.New(452, 2, 2, "mailbox full").With(err)
	case errors.Is(err, unix.ENOSPC):
		return reply.New(452, 3, 1, "file system full").With(err)
	case errors.Is(err, maildir.ErrNoMaildir), errors.Is(err, fs.ErrPermission):
		return reply.New(451, 2, 1, "mailbox cannot be written to").With(err)
	case errors.Is(err, fs.ErrNotExist):
		return reply.New(451, 2, 1, "home directory is missing").With(err)
	}
	return reply.New(451, 3, 0, "mailbox cannot be written to").With(err)
}

// full is what the sender is told where the quota leaves no room, or cannot be known.
func full(err error, bounce bool) *reply.Reply {
	switch {
	case !errors.Is(err, quota.ErrExceeded):
		return explain(err)
	case bounce:
		return reply.New(552, 2, 2, "mailbox full").With(err)
	}
	return reply.New(452, 2, 2, "mailbox full").With(err)
}

// below says whether path lies under dir.
func below(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, "../")
}
