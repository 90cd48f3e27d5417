package control

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// Authority gives root, the daemon's own uid and the named administrators all rights, and anybody else the right to list
// if anyoneLists. A name that the system does not know is an error; the others count nevertheless.
func Authority(admins []string, anyoneLists bool) (func(uid uint32) Rights, error) {
	all := map[uint32]bool{0: true, uint32(os.Geteuid()): true}
	var failed error
	for _, name := range admins {
		uid, err := lookup(name)
		if err != nil {
			failed = fmt.Errorf("administrator %s: %w", name, err)
			continue
		}
		all[uid] = true
	}
	return func(uid uint32) Rights {
		return Rights{List: all[uid] || anyoneLists, Steer: all[uid]}
	}, failed
}

func lookup(name string) (uint32, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(uid), err
}
