package imapd

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
	"postrider/internal/mutf7"
)

const someGone = "Some of the requested messages no longer exist."

func readOnly() reply { return no("", "Mailbox is open read-only.") }
func expunged() reply { return no(imap.CodeExpungeIssued, someGone) }
func gone() reply     { return no("", "Mailbox was deleted or replaced.") }

// badSet is the answer to message numbers that are out of range.
func badSet() reply { return bad("Invalid messageset.") }

// refusal is the answer to an error of the store. What is nobody's fault but ours, or the system's, is logged.
func (s *session) refusal(op, name string, err error) reply {
	switch {
	case errors.Is(err, mailstore.ErrNoFolder):
		return no(imap.CodeNonExistent, "Mailbox doesn't exist: "+mutf7.Encode(name))
	case errors.Is(err, mailstore.ErrExists):
		return no(imap.CodeAlreadyExists, "Mailbox already exists.")
	case errors.Is(err, mailstore.ErrName):
		return no(imap.CodeCannot, "Invalid mailbox name.")
	case errors.Is(err, mailstore.ErrExpunged):
		return expunged()
	case errors.Is(err, mailstore.ErrKeywordLimit):
		return no(imap.CodeLimit, "A mailbox has at most 26 keywords.")
	case errors.Is(err, mailstore.ErrKeyword):
		return no(imap.CodeCannot, "Invalid keyword.")
	case errors.Is(err, mailstore.ErrReadOnly):
		return readOnly()
	case errors.Is(err, mailstore.ErrReset):
		return gone()
	case errors.Is(err, mailstore.ErrOverQuota):
		return no(imap.CodeOverQuota, "Quota exceeded (mailbox for user is full)")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return no(imap.CodeUnavailable, "Server shutting down.")
	}
	s.o.Log.Error("%s %s: %v", op, name, err)
	switch {
	case errors.Is(err, mailstore.ErrNoSpace):
		return no(imap.CodeOverQuota, "Not enough disk space.")
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return no(imap.CodeNoPerm, "Permission denied.")
	case errors.Is(err, mailstore.ErrLocked):
		return no(imap.CodeInUse, "Mailbox is locked by another program.")
	}
	return no(imap.CodeServerBug, "Internal error occurred. Refer to server log for more information. "+
		time.Now().Format("[2006-01-02 15:04:05]"))
}

// destination is refusal for a folder that the client may create and try again (RFC 3501 §7.1).
func (s *session) destination(op, name string, err error) reply {
	r := s.refusal(op, name, err)
	if r.code == imap.CodeNonExistent {
		r.code = imap.CodeTryCreate
	}
	return r
}
