package sandbox

import (
	"os"

	"golang.org/x/sys/unix"
)

// unchanged is the id that setresuid and its like take for "leave it".
const unchanged = 0xffffffff

// The ids that stand for nobody: the kernel's overflow id, and 16 bits of ones.
const (
	nobody   = 65534
	nobody16 = 65535
)

// idSet is a set of user or group ids: some exactly, and all from first on but those of nobody.
type idSet struct {
	exact []uint32
	first uint32
}

func (s idSet) has(id uint32) bool {
	for _, e := range s.exact {
		if id == e {
			return true
		}
	}
	return id >= s.first && id != nobody && id != nobody16 && id != unchanged
}

// check is has in BPF, for one argument. It goes on behind its end if the id is in the set, else it returns EPERM.
// Where the system call takes unchanged, that passes too.
func (s idSet) check(argument int, takesUnchanged bool) filter {
	pass, refuse := append([]uint32(nil), s.exact...), []uint32{nobody, nobody16, unchanged}
	if takesUnchanged {
		pass, refuse = append(pass, unchanged), refuse[:2]
	}
	size := 1 + len(pass) + len(refuse) + 2 // load, comparisons, first, return
	f := make(filter, 0, size)
	f = append(f, loadArgument(argument))
	for _, id := range pass {
		f = append(f, jumpIf(unix.BPF_JEQ, id, size-len(f)-1, 0))
	}
	for _, id := range refuse {
		f = append(f, jumpIf(unix.BPF_JEQ, id, size-len(f)-2, 0))
	}
	f = append(f, jumpIf(unix.BPF_JGE, s.first, 1, 0))
	return append(f, fail(unix.EPERM))
}

// checkAll allows a system call whose first n arguments pass.
func (s idSet) checkAll(n int, takesUnchanged bool) filter {
	var f filter
	for i := range n {
		f = append(f, s.check(i, takesUnchanged)...)
	}
	return append(f, allow)
}

// LimitIdentities lets this process, and all that it starts, take on no identities but those of limits, whatever
// capabilities it holds: set*uid and set*gid with another argument fail with EPERM, and so do all other ways that the
// kernel offers (supplementary groups, file system ids, user namespaces). For all threads, for good.
func LimitIdentities(limits Limits) error {
	uids, gids := limits.identities(uint32(os.Getuid()), uint32(os.Getgid()))
	return installFilter(identityRules(uids, gids)...)
}

// identityRules keep a process that holds CAP_SETUID and CAP_SETGID, and all that it starts, to the given ids.
func identityRules(uids, gids idSet) []rule {
	noUserNamespace := filter{
		loadArgument(0),
		jumpIf(unix.BPF_JSET, unix.CLONE_NEWUSER, 0, 1),
		fail(unix.EPERM),
		allow,
	}
	emptyList := filter{
		loadArgument(0),
		jumpIf(unix.BPF_JEQ, 0, 0, 1),
		allow,
		fail(unix.EPERM),
	}
	return []rule{
		{unix.SYS_SETUID, uids.checkAll(1, false)},
		{unix.SYS_SETGID, gids.checkAll(1, false)},
		{unix.SYS_SETREUID, uids.checkAll(2, true)},
		{unix.SYS_SETREGID, gids.checkAll(2, true)},
		{unix.SYS_SETRESUID, uids.checkAll(3, true)},
		{unix.SYS_SETRESGID, gids.checkAll(3, true)},
		{unix.SYS_SETFSUID, answer(unix.EPERM)},
		{unix.SYS_SETFSGID, answer(unix.EPERM)},
		{unix.SYS_SETGROUPS, emptyList},
		{unix.SYS_CLONE, noUserNamespace},
		{unix.SYS_CLONE3, answer(unix.ENOSYS)}, // its flags lie in memory; the C library falls back to clone
		{unix.SYS_UNSHARE, noUserNamespace},
		{unix.SYS_SETNS, answer(unix.EPERM)},
	}
}
