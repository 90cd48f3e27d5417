package mailbox

import (
	"fmt"
	"os"
	"syscall"

	"postrider/internal/sandbox"
)

// becomeOwner gives up all rights that the owner of the Maildir does not have. Whatever stands at the path later is then touched with
// the rights of that user. Files made from now on are readable by the owner alone.
func becomeOwner(maildir string) error {
	info, err := os.Stat(maildir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() {
		return fmt.Errorf("%s is not a directory", maildir)
	}
	syscall.Umask(0o077)
	uid := os.Geteuid()
	switch {
	case st.Uid == 0:
		return fmt.Errorf("%s belongs to root, as whom no mail is touched", maildir)
	case uid == int(st.Uid):
		return nil
	case uid != 0:
		return fmt.Errorf("%s belongs to uid %d: run this as that user, or as root", maildir, st.Uid)
	}
	if err := sandbox.BecomeUser(st.Uid, st.Gid); err != nil {
		return fmt.Errorf("become the owner of %s: %w", maildir, err)
	}
	return nil
}
