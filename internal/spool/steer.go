package spool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/envelope"
)

// Action is what a Hand does to a message.
type Action string

// The actions. None waits for an attempt that is under way: docs/spool.md says what becomes of it.
const (
	ActHold    Action = "hold"    // new/ or cur/ → hold/
	ActRelease Action = "release" // hold/ → new/, where the channel's process picks it up
	ActRetry   Action = "retry"   // cur/ → new/, the same
	ActDelete  Action = "delete"  // the queue file, wherever it is, and then its journal
)

// Errors of an action that asks for what is not possible. That there is no message of that id, or none that the user may
// steer, is fs.ErrNotExist.
var (
	ErrNotHeld = errors.New("not on hold")
	ErrOnHold  = errors.New("on hold: release it first")
	ErrNotOurs = errors.New("on hold by the administrator")
	ErrDamaged = errors.New("its file is damaged or was edited: see postrider spool requeue")
)

// Outcome is what became of one id.
type Outcome struct {
	ID    string
	State State  // where the message was
	Dest  string // its routing key, as the name had it
	Err   error  // nil = done and durable
}

// looks is how often a message is searched for that moves while it is dealt with, or that a directory does not show because of
// that.
const looks = 4

// Do does something to the messages of these ids, those of which may says that the uid that submitted them allows it
// (envelope.NoUID: none of this host, or not to be read). Each id gets an outcome, in the order of ids. Ids of one
// subdirectory (Hash) side by side cost fewer syncs.
func (h *Hand) Do(ctx context.Context, act Action, ids []string, may func(uid int64) bool) []Outcome {
	t := task{Hand: h, act: act, may: may, now: time.Now(), left: make(map[string]bool), outcomes: make(map[string]*Outcome), dirty: make(map[place]bool), kept: make(map[string]bool)}
	for _, id := range ids {
		t.outcomes[id] = &Outcome{ID: id, Err: fs.ErrNotExist}
		if envelope.ValidID(id) {
			t.left[id] = true
		}
	}
	for n := 0; n < looks && len(t.left) > 0; n++ {
		if err := t.look(ctx); err != nil {
			for id := range t.left {
				t.outcomes[id].Err = err
			}
			break
		}
	}
	t.finish()
	out := make([]Outcome, len(ids))
	for i, id := range ids {
		out[i] = *t.outcomes[id]
	}
	return out
}

// task is one call of Do.
type task struct {
	*Hand
	act      Action
	may      func(uid int64) bool
	now      time.Time
	left     map[string]bool // ids that are to be searched for again
	outcomes map[string]*Outcome
	dirty    map[place]bool
	kept     map[string]bool // ids of which a file stays: so does their journal
}

// place is a directory that changed.
type place struct {
	state State
	sub   string
}

// look reads the directories once and deals with what it finds.
func (t *task) look(ctx context.Context) error {
	found := make(map[string][]Entry)
	if err := t.List(t.left, func(e Entry) error {
		found[e.Name.ID] = append(found[e.Name.ID], e)
		return ctx.Err()
	}); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !t.message(t.outcomes[id], found[id]) {
			delete(t.left, id)
		}
	}
	return nil
}

// message deals with the files of one id, of which there is more than one only after a crash, or by hand. It says whether one
// was gone.
func (t *task) message(o *Outcome, files []Entry) (again bool) {
	known := slices.ContainsFunc(files, func(e Entry) bool { return e.State == Queued || e.State == Held })
	for _, e := range files {
		if t.act == ActHold && e.State == Incoming && known {
			continue // the pick-up judges it; it may be a forgery
		}
		err := t.file(e)
		if errors.Is(err, fs.ErrNotExist) {
			again = true
			continue
		}
		if err != nil {
			t.kept[o.ID] = true
		}
		if err != errForeign {
			o.add(e, err)
		}
	}
	return again
}

// add takes the result for one file. A failure counts most, then what was done.
func (o *Outcome) add(e Entry, err error) {
	if err != nil && !impossible(err) || impossible(o.Err) && (err == nil || o.Err == fs.ErrNotExist) {
		o.State, o.Dest, o.Err = e.State, e.Name.Dest, err
	}
}

// impossible says that nothing failed: the message was not there, or not in a state for the action.
func impossible(err error) bool {
	return err == fs.ErrNotExist || err == ErrNotHeld || err == ErrOnHold || err == ErrNotOurs || err == ErrDamaged
}

// errForeign is a message that is not the user's: to him it is not there.
var errForeign = errors.New("not yours")

// file deals with one file.
func (t *task) file(e Entry) error {
	f, env, err := t.Open(e)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	uid := int64(envelope.NoUID) // of what cannot be read
	if err == nil {
		f.Close()
	}
	if env != nil {
		uid = env.UID
	}
	switch {
	case !t.may(uid):
		return errForeign
	case !t.mayUnhold(e, uid):
		return ErrNotOurs
	case t.act == ActDelete:
		return t.remove(e)
	case err != nil && !errors.Is(err, errContent):
		return err
	case env == nil || e.State == Damaged:
		return ErrDamaged
	}
	return t.move(e, env)
}

// everyone says that the caller may steer anybody's mail.
func (t *task) everyone() bool { return t.may(envelope.NoUID) }

// mayUnhold says whether a message may be taken out of hold/ by the caller: by others than administrators only if they put it
// there.
func (t *task) mayUnhold(e Entry, uid int64) bool {
	if e.State != Held || t.act == ActHold || t.act == ActRetry || t.everyone() {
		return true
	}
	_, by := e.Name.heldBy()
	return by != envelope.NoUID && by == uid
}

// move moves a file to where the action wants it, if it is not there.
func (t *task) move(e Entry, env *envelope.Envelope) error {
	switch {
	case t.act == ActHold && e.State == Held && e.Name == t.heldName(e, env):
		return nil
	case t.act == ActHold && e.State == Held && !t.everyone():
		return nil // the administrator's hold stays his
	case t.act == ActHold:
		return t.rename(e, Held, t.heldName(e, env))
	case t.act == ActRelease && e.State != Held:
		return ErrNotHeld
	case t.act == ActRetry && e.State == Held:
		return ErrOnHold
	case t.act == ActRetry && (e.State == Incoming || t.Scheduled):
		return nil
	}
	n, _ := e.Name.heldBy()
	return t.rename(e, Incoming, n)
}

// heldName is a message's name in hold/.
func (t *task) heldName(e Entry, env *envelope.Envelope) Name {
	n, _ := t.nameOf(e, env).heldBy()
	if !t.everyone() {
		n.Dest += holder + strconv.FormatInt(env.UID, 10)
	}
	return n
}

// nameOf is a message's name in hold/. One that was never picked up gets one.
func (t *task) nameOf(e Entry, env *envelope.Envelope) Name {
	if n, ok := ParseName(e.base()); ok {
		return n
	}
	dest := ""
	for _, r := range env.To {
		switch {
		case r.Via != t.via:
		case dest != "" && dest != r.Addr.Domain:
			return Name{t.now.Unix(), e.Name.ID, "*"}
		default:
			dest = r.Addr.Domain
		}
	}
	return Name{t.now.Unix(), e.Name.ID, EscapeDest(dest)}
}

// sameName is how many names are tried where there is another file of that name.
const sameName = 10

// rename replaces nothing: where the name is taken it takes another DUE, which does not count in hold/ and new/.
func (t *task) rename(e Entry, to State, n Name) error {
	from, err := t.subdir(e.State, e.sub())
	if err != nil {
		return err
	}
	defer from.Close()
	dir, err := t.target(to)
	if err != nil {
		return err
	}
	for range sameName {
		err = unix.Renameat2(int(from.Fd()), e.base(), dir, n.String(), unix.RENAME_NOREPLACE)
		if err != unix.EEXIST {
			break
		}
		n.Due = (n.Due + 1) % (maxDue + 1)
	}
	if err == nil {
		t.dirty[place{e.State, e.sub()}], t.dirty[place{to, ""}] = true, true
	}
	return err
}

// target is the directory that files are moved to. That for held messages may never have been needed.
func (t *task) target(s State) (fd int, err error) {
	if d := t.dirs[s]; d != nil {
		return int(d.Fd()), nil
	}
	if s != Held {
		return -1, unix.ENOENT
	}
	return t.makeHold()
}

// makeHold makes hold/ as the channel's process would.
func (t *task) makeHold() (fd int, err error) {
	var st unix.Stat_t
	base := int(t.base.Fd())
	if err := unix.Fstat(base, &st); err != nil {
		return -1, err
	}
	if err := unix.Mkdirat(base, string(Held), 0o700); err != nil && err != unix.EEXIST {
		return -1, err
	}
	if t.dirs[Held], err = openDir(base, string(Held)); err != nil {
		return -1, err
	}
	fd = int(t.dirs[Held].Fd())
	if unix.Geteuid() == 0 {
		err = unix.Fchown(fd, int(st.Uid), int(st.Gid))
	}
	return fd, err
}

// remove unlinks a queue file.
func (t *task) remove(e Entry) error {
	d, err := t.subdir(e.State, e.sub())
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Unlinkat(int(d.Fd()), e.base(), 0); err != nil {
		return err
	}
	t.dirty[place{e.State, e.sub()}] = true
	return nil
}

// finish makes what was done durable, and then removes the journals of what was deleted: as long as a queue file may come back
// its journal says what was done for it.
func (t *task) finish() {
	if err := t.sync(); err != nil {
		for _, o := range t.outcomes {
			if o.Err == nil {
				o.Err = fmt.Errorf("done, but not yet on the disk: %w", err)
			}
		}
		return
	}
	if t.act != ActDelete {
		return
	}
	for id, o := range t.outcomes {
		if o.Err == nil && !t.kept[id] {
			t.removeJournal(id)
		}
	}
}

// removeJournal removes the journals that a message may have. What stays is an orphan, and goes in some days.
func (t *task) removeJournal(id string) {
	if t.log != nil {
		if sub, err := openDir(int(t.log.Fd()), Hash(id)); err == nil {
			unix.Unlinkat(int(sub.Fd()), id, 0)
			sub.Close()
		}
	}
	if d := t.dirs[Damaged]; d != nil {
		unix.Unlinkat(int(d.Fd()), id+".log", 0)
	}
}

// sync syncs the directories that changed; on btrfs that takes the whole filesystem.
func (t *task) sync() error {
	if len(t.dirty) == 0 {
		return nil
	}
	var st unix.Statfs_t
	if unix.Fstatfs(int(t.base.Fd()), &st) == nil && st.Type == unix.BTRFS_SUPER_MAGIC {
		return unix.Syncfs(int(t.base.Fd()))
	}
	for p := range t.dirty {
		d, err := t.subdir(p.state, p.sub)
		if err != nil {
			return err
		}
		err = d.Sync()
		d.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
