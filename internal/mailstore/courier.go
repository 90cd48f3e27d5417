package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/internal/fault"
	"postrider/internal/maildir"
)

// Courier's files, of which the state of a Maildir is taken over at the first opening.
const (
	courierList          = "courierimapuiddb"      // a uidlist of version 1, in each folder
	courierPOP3          = "courierpop3dsizelist"  // unique-ids for POP3, in the INBOX
	courierKeywordsDir   = "courierimapkeywords"   // in each folder
	courierSubscriptions = "courierimapsubscribed" // in the root
)

// noFile says that a file which is only looked at once is not there, or is none.
func noFile(err error) bool {
	for _, kind := range []error{fs.ErrNotExist, maildir.ErrNotRegular, unix.ELOOP, unix.ENOTDIR} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// takeCourierList makes Courier's list the folder's uidlist, under the lock. It changes its name: UIDs given from now on are not in
// it, so it must not be taken a second time. A list that cannot be used stays where it is.
func (f *folder) takeCourierList() error {
	path := f.path(courierList)
	list, _, err := readUidfile(path, nil)
	if err != nil && !noFile(err) {
		return fmt.Errorf("take over %s: %w", courierList, err)
	}
	if list == nil || list.version != 1 {
		return nil
	}
	err = unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, f.path(uidlistFile), unix.RENAME_NOREPLACE)
	if errors.Is(err, fs.ErrExist) {
		return nil // there is one, that cannot be read: what it gave is not known
	}
	if err == nil {
		err = syncDir(f.dir)
	}
	if err != nil {
		return fmt.Errorf("take over %s: %w", courierList, diskError(err))
	}
	fault.Point("mailstore.courier-list")
	f.list, f.whole, err = readUidfile(f.path(uidlistFile), nil)
	f.fresh = f.whole
	return err
}

// fromCourier takes over what Courier has beside UIDs, under the lock and before a uidlist is written as version 3 for the first
// time: a crash in between has it done again. taken says that names or keys may have changed.
func (f *folder) fromCourier() (taken bool, err error) {
	written := f.list.id.Ino != 0
	if written && f.list.version != 1 {
		return false, nil
	}
	if !f.new.whole || !f.cur.whole {
		if err := f.scan(true, true); err != nil {
			return false, err
		}
	}
	if f.dir == f.store.root {
		if err := f.takeUIDLs(); err != nil {
			return true, fmt.Errorf("take over %s: %w", courierPOP3, err)
		}
	}
	if !written {
		return false, nil // the keys are for the UIDs to come
	}
	if err := f.takeCourierKeywords(); err != nil {
		return true, fmt.Errorf("take over %s: %w: %w", courierKeywordsDir, ErrUnwritable, diskError(err))
	}
	return true, nil
}

// present says whether the last listing of both directories had a file with the base name.
func (f *folder) present(base string) bool {
	_, ok := f.cur.names[base]
	if !ok {
		_, ok = f.new.names[base]
	}
	return ok
}

// takeUIDLs notes the unique-ids that POP3 clients know, as keys of the records that there are and of those to come.
func (f *folder) takeUIDLs() error {
	file, _, err := maildir.Open(f.path(courierPOP3), os.O_RDONLY)
	if noFile(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	f.newKeys = make(map[string]string)
	err = parseSizelist(file, func(base, uidl string) {
		if f.present(base) {
			f.newKeys[base] = "P" + uidl
		}
	})
	for _, list := range [][]record{f.fresh, f.whole} {
		for i, r := range list {
			if key, ok := f.newKeys[r.base]; ok && r.keys == "" {
				list[i].keys = key
			}
		}
	}
	return err
}

// parseSizelist reads Courier's list of POP3: "/3 <next> <uidvalidity>", or 2, and "<name> <size> <uid>:<uidvalidity>[:<utf8>]"
// lines. A line that is none is passed over.
func parseSizelist(r io.Reader, take func(base, uidl string)) error {
	lines := newLineReader(r)
	header, err := lines.next()
	if err == io.EOF || err == errLongLine || err == nil && !strings.HasPrefix(header, "/3 ") && !strings.HasPrefix(header, "/2 ") {
		return nil
	}
	for err == nil {
		var line string
		if line, err = lines.next(); err == nil {
			if base, uidl, ok := parseSize3(line); ok {
				take(base, uidl)
			}
		} else if err == errLongLine {
			err = nil
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// parseSize3 returns what UIDL said of the message in a line. The name may have spaces.
func parseSize3(line string) (base, uidl string, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return "", "", false
	}
	name, ids := line[:i], strings.Split(line[i+1:], ":")
	if i = strings.LastIndexByte(name, ' '); i < 0 || len(ids) < 2 {
		return "", "", false
	}
	base = baseOf(name[:i])
	uid, errUID := parseUID(ids[0])
	validity, errValidity := strconv.ParseUint(ids[1], 10, 64)
	if errUID != nil || errValidity != nil || uid == 0 || !validBase(base) {
		return "", "", false
	}
	if validity == 0 {
		return base, fmt.Sprintf("UID%d", uid), true
	}
	return base, fmt.Sprintf("UID%d-%d", uid, validity), true
}

// courierSubscribed reads Courier's list of subscriptions, without the INBOX that stands before each of its names; exists is false
// where there is none.
func (s *Store) courierSubscribed() (names []string, exists bool, err error) {
	f, _, err := maildir.Open(filepath.Join(s.root, courierSubscriptions), os.O_RDONLY)
	if noFile(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	all, err := parseSubscriptions(f)
	for _, name := range all {
		first, rest, below := strings.Cut(name, Separator)
		switch {
		case !strings.EqualFold(first, Inbox): // in a namespace that there is not here
		case below:
			names = append(names, rest)
		default:
			names = append(names, Inbox)
		}
	}
	return names, true, err
}

// takeSubscriptions makes Courier's subscriptions those of the store, if it has none. Where that fails Subscriptions reads Courier's
// until it succeeds.
func (s *Store) takeSubscriptions() {
	path := filepath.Join(s.root, subscriptionsFile)
	missing := func() bool {
		_, err := os.Lstat(path)
		return errors.Is(err, fs.ErrNotExist)
	}
	if !missing() {
		return
	}
	names, exists, err := s.courierSubscribed()
	if err != nil || !exists {
		return
	}
	lock, err := takeDotlock(context.Background(), path+".lock", 0) // who has it does the same
	if err != nil {
		return
	}
	defer lock.release()
	if missing() {
		lock.write(path, formatSubscriptions(names))
	}
}
