package sandbox

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Limits say whose workers a spawner starts, and how many. They hold for its life: a change needs a restart.
type Limits struct {
	FirstUID   uint32 // lowest uid of an ordinary user, at least 1
	FirstGID   uint32 // lowest gid of a worker, at least 1; 0 = FirstUID
	MailboxUID uint32 // the mailbox user, though lower; 0 = none
	MailboxGID uint32 // the mailbox user's group, though lower; 0 = none
	SingleUID  bool   // no uid but the daemon's own; then no capability is needed, and the four above do not count
	Workers    int    // living workers at once
	PerUID     int    // of these, under one uid
}

// maxWorkers bounds Limits.Workers: each costs the spawner a table entry and the machine a process.
const maxWorkers = 1 << 16

func (l Limits) valid() error {
	switch {
	case !l.SingleUID && l.FirstUID < 1:
		return errors.New("sandbox: first uid is not above 0")
	case l.Workers < 1 || l.Workers > maxWorkers:
		return fmt.Errorf("sandbox: limit of %d workers is not in 1..%d", l.Workers, maxWorkers)
	case l.PerUID < 1:
		return errors.New("sandbox: limit of workers under one uid is not above 0")
	}
	return nil
}

// identities are the ids that workers may have. own are those of the spawner.
func (l Limits) identities(ownUID, ownGID uint32) (uids, gids idSet) {
	if l.SingleUID {
		return idSet{exact: []uint32{ownUID}, first: unchanged}, idSet{exact: []uint32{ownGID}, first: unchanged}
	}
	uids, gids = idSet{first: l.FirstUID}, idSet{first: l.FirstGID}
	if gids.first == 0 {
		gids.first = l.FirstUID
	}
	if l.MailboxUID != 0 {
		uids.exact = []uint32{l.MailboxUID}
	}
	if l.MailboxGID != 0 {
		gids.exact = []uint32{l.MailboxGID}
	}
	return uids, gids
}

// String is the form in which limits travel to the spawner, as its argument.
func (l Limits) String() string {
	single := 0
	if l.SingleUID {
		single = 1
	}
	return fmt.Sprintf("%d,%d,%d,%d,%d,%d,%d",
		l.FirstUID, l.FirstGID, l.MailboxUID, l.MailboxGID, single, l.Workers, l.PerUID)
}

func parseLimits(s string) (Limits, error) {
	fields := strings.Split(s, ",")
	if len(fields) != 7 {
		return Limits{}, fmt.Errorf("sandbox: limits %q: not 7 numbers", s)
	}
	var n [7]uint32
	for i, field := range fields {
		value, err := strconv.ParseUint(field, 10, 32)
		if err != nil {
			return Limits{}, fmt.Errorf("sandbox: limits %q: %w", s, err)
		}
		n[i] = uint32(value)
	}
	l := Limits{
		FirstUID: n[0], FirstGID: n[1], MailboxUID: n[2], MailboxGID: n[3],
		SingleUID: n[4] == 1, Workers: int(n[5]), PerUID: int(n[6]),
	}
	return l, l.valid()
}
