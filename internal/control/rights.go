package control

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
)

// Rights are those of a client over mail that is not its own.
type Rights struct {
	List  bool
	Steer bool
}

// Authority knows who has which rights: root, the daemon's own uid and the administrators all, anybody else that to list, or
// none.
type Authority struct {
	admins      map[uint32]bool
	anyoneLists bool
}

// NewAuthority looks up administrators. A name that the system does not know is an error; the others count nevertheless.
func NewAuthority(admins []string, anyoneLists bool) (*Authority, error) {
	a := &Authority{admins: map[uint32]bool{0: true, uint32(os.Geteuid()): true}, anyoneLists: anyoneLists}
	var failed []string
	for _, name := range admins {
		uid, err := lookup(name)
		if err != nil {
			failed = append(failed, err.Error())
			continue
		}
		a.admins[uid] = true
	}
	if failed != nil {
		return a, fmt.Errorf("look up administrators: %s", strings.Join(failed, "; "))
	}
	return a, nil
}

// Rights are those of a uid.
func (a *Authority) Rights(uid uint32) Rights {
	return Rights{List: a.admins[uid] || a.anyoneLists, Steer: a.admins[uid]}
}

func lookup(name string) (uint32, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(uid), err
}
