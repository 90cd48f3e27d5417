package sandbox

import (
	"fmt"
	"syscall"
)

// BecomeUser makes the user the identity of all threads of a process that root started, with no groups but gid, and checks that nothing
// of root is left: the kernel takes the capabilities away with the last uid 0. It is refused for root. It is for tools; daemons keep
// their root in a spawner.
func BecomeUser(uid, gid uint32) error {
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("setgroups: %w", err)
	}
	if err := syscall.Setresgid(int(gid), int(gid), int(gid)); err != nil {
		return fmt.Errorf("setresgid %d: %w", gid, err)
	}
	if err := syscall.Setresuid(int(uid), int(uid), int(uid)); err != nil {
		return fmt.Errorf("setresuid %d: %w", uid, err)
	}
	return verifyIdentity(int(uid), int(gid))
}
