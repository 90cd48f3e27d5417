package imapd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

var refusals = []struct {
	err    error
	code   imap.Code
	text   string
	logged bool
}{
	{mailstore.ErrNoFolder, imap.CodeTryCreate, "Mailbox doesn't exist: A", false},
	{mailstore.ErrExists, imap.CodeAlreadyExists, "", false},
	{mailstore.ErrName, imap.CodeCannot, "", false},
	{mailstore.ErrKeywordLimit, imap.CodeLimit, "", false},
	{mailstore.ErrKeyword, imap.CodeCannot, "", false},
	{mailstore.ErrExpunged, imap.CodeExpungeIssued, "Some of the requested messages no longer exist", false},
	{context.Canceled, imap.CodeUnavailable, "", false},
	{fmt.Errorf("%w: %w", mailstore.ErrNoSpace, unix.EDQUOT), imap.CodeOverQuota, "", true},
	{fmt.Errorf("%w: %w", mailstore.ErrUnwritable, unix.EROFS), imap.CodeNoPerm, "", true},
	{&fs.PathError{Op: "open", Err: unix.EACCES}, imap.CodeNoPerm, "", true},
	{mailstore.ErrLocked, imap.CodeInUse, "", true},
	{errors.New("boom"), imap.CodeServerBug, "Internal error occurred. Refer to server log for more information. [", true},
}

// TestRefusals: which answer a client gets to which error of the store, and what the administrator hears.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range refusals {
		s := newServer(t)
		near, far := socketpair(t)
		near.Close()
		far.Close()
		session := newSession(far, &s.options, s.times)
		r := session.destination("append to", "A", test.err)
		if r.status != imap.NO || r.code != test.code || !strings.HasPrefix(r.text, test.text) {
			t.Errorf("%v: %+v", test.err, r)
		}
		if logged := s.log.all() != ""; logged != test.logged {
			t.Errorf("%v: logged %q", test.err, s.log.all())
		}
	}
}
