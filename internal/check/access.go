package check

import (
	"io/fs"
	"os"
	"syscall"
)

// secret checks that one daemon can read a file, by its user or a group of its, and that others cannot.
func (w *world) secret(path, owner, group string) {
	info, err := os.Stat(path)
	if err != nil {
		return // reported by whoever read it
	}
	mode := info.Mode().Perm()
	if mode&0o007 != 0 {
		w.fail(path, "mode %s: a secret that others may reach; chmod o= it", octal(mode))
		return
	}
	if !w.SingleUID && !w.reaches(info, owner, group) {
		w.fail(path, "%s cannot read it: give it to group %s with mode 0640", owner, group)
	}
}

// reaches says whether a user or its group has the right to read. Accounts that do not exist are reported with the
// spool.
func (w *world) reaches(info fs.FileInfo, owner, group string) bool {
	st, mode := info.Sys().(*syscall.Stat_t), info.Mode().Perm()
	uid, uidErr := w.accounts.uid(owner)
	gid, gidErr := w.accounts.gid(group)
	return uidErr != nil || gidErr != nil || st.Uid == uid && mode&0o400 != 0 || st.Gid == gid && mode&0o040 != 0
}

// public checks that every daemon can read a file.
func (w *world) public(path string) {
	info, err := os.Stat(path)
	if err == nil && !w.SingleUID && info.Mode().Perm()&0o004 == 0 {
		w.warn(path, "mode %s: the daemons may be unable to read it; chmod a+r it", octal(info.Mode().Perm()))
	}
}
