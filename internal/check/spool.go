package check

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// directory is what one directory of the spool must be. The modes are the privilege separation: smtpd adds to new/ and
// can neither list it nor touch what has been picked up.
type directory struct {
	path  string
	owner string // "" = root
	group string // "" = any
	mode  fs.FileMode
}

const (
	setgid = fs.ModeSetgid
	sticky = fs.ModeSticky
)

func layout() []directory {
	dirs := []directory{
		{".", "", "", 0o755},
		{"stage", "pr-smtpd", "pr-read", 0o700 | setgid},
	}
	for _, channel := range []struct{ name, owner string }{{"remote", "pr-relay"}, {"local", "pr-local"}} {
		dirs = append(dirs,
			directory{channel.name, channel.owner, "", 0o711},
			directory{channel.name + "/new", channel.owner, "pr-smtpd", 0o730 | sticky},
			directory{channel.name + "/cur", channel.owner, "", 0o700},
			directory{channel.name + "/log", channel.owner, "", 0o700},
			directory{channel.name + "/hold", channel.owner, "", 0o700},
			directory{channel.name + "/bad", channel.owner, "", 0o700},
		)
	}
	return dirs
}

// accounts finds ids by name.
type accounts interface {
	uid(name string) (uint32, error)
	gid(name string) (uint32, error)
}

// system is the host's passwd and group.
type system struct{}

func (system) uid(name string) (uint32, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, err
	}
	return number(u.Uid)
}

func (system) gid(name string) (uint32, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return number(g.Gid)
}

func number(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err
}

// spool checks the directories and what they lie on.
func (w *world) spool() {
	info, err := os.Stat(w.SpoolDir)
	if err != nil {
		w.fail(w.SpoolDir, "%v; make the spool with systemd-tmpfiles --create or make install", cause(err))
		return
	}
	root := info.Sys().(*syscall.Stat_t)
	for _, d := range layout() {
		w.directory(d, root.Dev)
	}
	w.filesystem()
	w.mailFilesystem()
	w.indexDir()
}

func (w *world) directory(d directory, dev uint64) {
	path := filepath.Join(w.SpoolDir, d.path)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		w.warn(path, "not checked: %v", cause(err))
		return
	case errors.Is(err, fs.ErrNotExist) && w.SingleUID:
		return // made by the daemons
	case err != nil:
		w.fail(path, "%v", cause(err))
		return
	case !info.IsDir():
		w.fail(path, "not a directory")
		return
	}
	st := info.Sys().(*syscall.Stat_t)
	if st.Dev != dev {
		w.fail(path, "lies on another filesystem than %s: files could not be renamed", w.SpoolDir)
	}
	if !w.SingleUID {
		w.rights(path, d, info.Mode(), st)
	}
}

func (w *world) rights(path string, d directory, mode fs.FileMode, st *syscall.Stat_t) {
	var owner uint32
	if d.owner != "" {
		var err error
		if owner, err = w.accounts.uid(d.owner); err != nil {
			w.fail(path, "there is no user %s to own it; make the suite's users with systemd-sysusers", d.owner)
			return
		}
	}
	if st.Uid != owner {
		w.fail(path, "owned by uid %d, not by %s", st.Uid, orRoot(d.owner))
	}
	if d.group != "" {
		if gid, err := w.accounts.gid(d.group); err != nil {
			w.fail(path, "there is no group %s", d.group)
		} else if st.Gid != gid {
			w.fail(path, "has gid %d, not group %s", st.Gid, d.group)
		}
	}
	if got := mode &^ fs.ModeDir; got != d.mode {
		w.fail(path, "has mode %s, not %s", octal(got), octal(d.mode))
	}
}

func orRoot(name string) string {
	if name == "" {
		return "root"
	}
	return name
}

// octal is a mode as chmod takes it.
func octal(mode fs.FileMode) string {
	bits := uint64(mode.Perm())
	for flag, bit := range map[fs.FileMode]uint64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&flag != 0 {
			bits |= bit
		}
	}
	text := strconv.FormatUint(bits, 8)
	return strings.Repeat("0", max(0, 4-len(text))) + text
}
