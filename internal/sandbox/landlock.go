package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rules say what of the file system stays within reach. Each path is a directory, with all below it, or a file. Rights
// add up where paths overlap. What was opened before stays open, and Unix modes count as before.
type Rules struct {
	ReadOnly  []string // read files, list directories
	ReadWrite []string // also write, create, remove, and rename or link between any two directories under these
	Exec      []string // read and execute
}

// The rights of Landlock that are asked for, and those of them that a file can have.
const (
	accessRead = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	accessExec = accessRead | unix.LANDLOCK_ACCESS_FS_EXECUTE

	accessReadWrite = accessRead | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REFER |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM

	accessAll = accessReadWrite | accessExec |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK

	accessOfFile = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_EXECUTE
)

// Versions of the kernel's interface that brought a right.
const (
	abiRefer    = 2
	abiTruncate = 3
	abiScope    = 6
)

// Restrict confines all threads, and all that they start, to rules. There is no way back. It is meant to be called once:
// a further layer, whatever it says, forbids every rename and link between directories that it does not itself allow.
//
// What the kernel cannot do, or what is missing, is no error but a note for the log: no Landlock (or one without the
// right to rename between directories, when ReadWrite asks for it) leaves the process unconfined, a path that is not
// there or cannot be reached is left out.
func Restrict(rules Rules) (notes []string, err error) {
	if !confines {
		return []string{"files are not confined: this build is for tests that show what confinement is for"}, nil
	}
	abi, err := landlockABI()
	if err != nil {
		return []string{fmt.Sprintf("files are not confined: landlock: %v", err)}, nil
	}
	if abi < abiRefer && len(rules.ReadWrite) > 0 {
		return []string{"files are not confined: this kernel's landlock forbids renaming between directories"}, nil
	}
	handled := accessAll
	if abi < abiRefer {
		handled &^= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi < abiTruncate {
		handled &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
		notes = append(notes, "truncation of files is not confined: kernel before 6.2")
	}
	scoped := uint64(unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET)
	if abi < abiScope {
		scoped = 0
		notes = append(notes, "abstract sockets are not confined: kernel before 6.12")
	}
	ruleset, err := createRuleset(uint64(handled), scoped)
	if err != nil {
		return notes, err
	}
	defer unix.Close(ruleset)
	missing, err := addRules(ruleset, rules, uint64(handled))
	notes = append(notes, missing...)
	if err != nil {
		return notes, err
	}
	if err := NoNewPrivileges(); err != nil {
		return notes, err
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0); errno != 0 {
		return notes, fmt.Errorf("landlock_restrict_self: %w", errno)
	}
	return notes, nil
}

func landlockABI() (int, error) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, errno
	}
	return int(version), nil
}

func createRuleset(handled, scoped uint64) (int, error) {
	attr := &unix.LandlockRulesetAttr{Handled_access_fs: handled, Scoped: scoped}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET,
		uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr), 0)
	runtime.KeepAlive(attr)
	if errno != 0 {
		return -1, fmt.Errorf("landlock_create_ruleset: %w", errno)
	}
	return int(fd), nil
}

func addRules(ruleset int, rules Rules, handled uint64) (notes []string, err error) {
	grants := []struct {
		access uint64
		paths  []string
	}{
		{accessRead, rules.ReadOnly},
		{accessReadWrite, rules.ReadWrite},
		{accessExec, rules.Exec},
	}
	for _, grant := range grants {
		for _, path := range grant.paths {
			err := addRule(ruleset, path, grant.access&handled)
			switch {
			case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENOTDIR), errors.Is(err, os.ErrPermission):
				notes = append(notes, fmt.Sprintf("not within reach: %v", err))
			case err != nil:
				return notes, err
			}
		}
	}
	return notes, nil
}

func addRule(ruleset int, path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= accessOfFile
	}
	attr := &unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(attr)), 0, 0, 0)
	runtime.KeepAlive(attr)
	if errno != 0 {
		return fmt.Errorf("landlock_add_rule %s: %w", path, errno)
	}
	return nil
}
