package mailstore

import (
	"slices"

	"golang.org/x/sys/unix"
)

// localFilesystems are those whose times of directories tell all that has changed there, because this kernel alone changes them. Of
// others (NFS, SMB, Ceph, FUSE, and FAT, whose times are too coarse) nobody knows.
var localFilesystems = []uint32{
	unix.EXT4_SUPER_MAGIC, // ext2 and ext3, too
	unix.XFS_SUPER_MAGIC,
	unix.BTRFS_SUPER_MAGIC,
	unix.F2FS_SUPER_MAGIC,
	unix.TMPFS_MAGIC,
	unix.RAMFS_MAGIC,
	unix.OVERLAYFS_SUPER_MAGIC,
	unix.REISERFS_SUPER_MAGIC,
	unix.NILFS_SUPER_MAGIC,
	unix.ECRYPTFS_SUPER_MAGIC,
	0x2fc12fc1, // ZFS
	0xca451a4e, // bcachefs
	0x3153464a, // JFS
	0x00011954, // UFS
}

// isLocal says whether path lies on such a filesystem.
func isLocal(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && slices.Contains(localFilesystems, uint32(st.Type))
}

// Remote says that directory times are not to be trusted here, as Options have it or because of the kind of filesystem.
func (s *Store) Remote() bool { return s.opts.Remote }
