package check

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// kernel is where the kernel tells about filesystems.
type kernel struct {
	proc, sys string
}

// mount is a line of mountinfo.
type mount struct {
	device  string // major:minor
	point   string
	kind    string
	options []string // of the mount and of the filesystem
}

// filesystem checks what the spool lies on: whether renames and locks hold, and whether a sync survives a power cut.
func (w *world) filesystem() {
	m, err := w.kernel.mount(w.SpoolDir)
	if err != nil {
		w.warn(w.SpoolDir, "filesystem not checked: %v", err)
		return
	}
	switch {
	case isRemote(m.kind) && !w.AllowRemoteSpool:
		w.fail(w.SpoolDir, "on %s, whose renames and locks are unproven; allow_remote_spool = true to dare it", m.kind)
	case isRemote(m.kind):
		w.warn(w.SpoolDir, "on %s, whose renames and locks are unproven", m.kind)
	case m.kind == "tmpfs" || m.kind == "ramfs":
		w.warn(w.SpoolDir, "on %s: the queue does not survive a restart of the host", m.kind)
	case m.kind == "ext2" || m.kind == "ext4" && w.kernel.noJournal(m.device):
		w.warn(w.SpoolDir, "on %s without a journal: a power cut can lose mail that was accepted", m.kind)
	}
	for _, option := range m.options {
		switch option {
		case "data=writeback":
			w.warn(w.SpoolDir, "mounted with %s: after a power cut files may hold what was there before them", option)
		case "nobarrier", "barrier=0", "barrier=none":
			w.warn(w.SpoolDir, "mounted with %s: a power cut can lose mail that was accepted, unless the disk's cache has a battery", option)
		case "ro":
			w.fail(w.SpoolDir, "mounted read-only")
		}
	}
}

// mailFilesystem checks what the mailboxes of virtual users lie on: sessions believe the times of directories, and notifications,
// unless they are told not to.
func (w *world) mailFilesystem() {
	m, err := w.kernel.mount(w.MailRoot)
	switch {
	case err != nil: // nobody has mail yet
	case isRemote(m.kind) && !w.RemoteMail:
		w.warn(w.MailRoot, "on %s: if other hosts write there too, their mail is seen late; remote_mail = true makes sessions look", m.kind)
	case m.kind == "tmpfs" || m.kind == "ramfs":
		w.warn(w.MailRoot, "on %s: mail does not survive a restart of the host", m.kind)
	}
}

// indexDir checks that every user can have a directory in index_dir, and only the own one.
func (w *world) indexDir() {
	if w.IndexDir == "" {
		return
	}
	info, err := os.Stat(w.IndexDir)
	switch {
	case err != nil:
		w.fail(w.IndexDir, "%v; make it with install -d -m 1733", cause(err))
	case !info.IsDir():
		w.fail(w.IndexDir, "not a directory")
	case !w.SingleUID && (info.Mode().Perm()&0o003 != 0o003 || info.Mode()&fs.ModeSticky == 0):
		w.fail(w.IndexDir, "not a place where each user can have a directory; chmod 1733 it")
	}
}

func isRemote(kind string) bool {
	switch kind {
	case "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "virtiofs":
		return true
	}
	return kind == "fuse" || strings.HasPrefix(kind, "fuse.") || kind == "fuseblk"
}

// mount finds the filesystem of a path in mountinfo (proc(5)): the last one whose mount point is nearest above. Not by
// the device number of the path, which on btrfs is another one.
func (k kernel) mount(path string) (mount, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return mount{}, err
	}
	data, err := os.ReadFile(filepath.Join(k.proc, "self/mountinfo"))
	if err != nil {
		return mount{}, err
	}
	var found mount
	for line := range strings.SplitSeq(string(data), "\n") {
		m, ok := parseMount(line)
		if ok && len(m.point) >= len(found.point) && within(path, m.point) {
			found = m
		}
	}
	if found.point == "" {
		return mount{}, fmt.Errorf("%s is on no mount", path)
	}
	return found, nil
}

// parseMount reads a line such as
//
//	36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/root rw,errors=continue
func parseMount(line string) (mount, bool) {
	left, right, _ := strings.Cut(line, " - ")
	fields, about := strings.Fields(left), strings.Fields(right)
	if len(fields) < 6 || len(about) < 1 {
		return mount{}, false
	}
	m := mount{device: fields[2], point: unescape.Replace(fields[4]), kind: about[0], options: strings.Split(fields[5], ",")}
	if len(about) > 2 {
		m.options = append(m.options, strings.Split(about[2], ",")...)
	}
	return m, true
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func within(path, point string) bool {
	return point == "/" || path == point || strings.HasPrefix(path, point+"/")
}

// noJournal says that the kernel runs no journal for an ext4 filesystem: each has a directory named after its device.
func (k kernel) noJournal(number string) bool {
	if _, err := os.Stat(filepath.Join(k.proc, "fs/ext4")); err != nil {
		return false // hidden from us
	}
	device, err := os.Readlink(filepath.Join(k.sys, "dev/block", number))
	if err != nil {
		return false
	}
	journals, err := filepath.Glob(filepath.Join(k.proc, "fs/jbd2", filepath.Base(device)+"-*"))
	return err == nil && len(journals) == 0
}
