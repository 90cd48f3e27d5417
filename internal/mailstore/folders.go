package mailstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/internal/fault"
)

// Folder is a folder as LIST shows it.
type Folder struct {
	Name     string
	NoSelect bool // it is there only as the parent of others
	Children bool
}

// trashDir is where Dovecot moves a folder that is deleted; it is no folder's name.
const trashDir = "..DOVECOT-TRASHED"

// maxFolders bounds a listing.
const maxFolders = 100_000

// List returns all folders with their parents, INBOX first, the others in the order of their names.
func (s *Store) List() ([]Folder, error) {
	names, err := s.names()
	if err != nil {
		return nil, fmt.Errorf("list folders: %w", err)
	}
	all := map[string]*Folder{Inbox: {Name: Inbox}}
	for _, name := range names {
		all[name] = &Folder{Name: name}
	}
	for _, name := range names {
		for i := strings.LastIndex(name, Separator); i > 0; i = strings.LastIndex(name, Separator) {
			name = name[:i]
			if all[name] == nil {
				all[name] = &Folder{Name: name, NoSelect: true}
			}
			all[name].Children = true
		}
	}
	list := make([]Folder, 0, len(all))
	for _, f := range all {
		list = append(list, *f)
	}
	slices.SortFunc(list, func(a, b Folder) int {
		if (a.Name == Inbox) != (b.Name == Inbox) {
			if a.Name == Inbox {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list, nil
}

// names are the folders that have a directory, but INBOX.
func (s *Store) names() (names []string, err error) {
	d, err := os.Open(s.root)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for _, e := range entries {
		name, ok := folderName(e.Name())
		if !ok || seen[name] {
			continue
		}
		if !e.IsDir() {
			if e.Type()&fs.ModeSymlink == 0 {
				continue
			}
			if info, err := os.Stat(filepath.Join(s.root, e.Name())); err != nil || !info.IsDir() {
				continue
			}
		}
		if seen[name] = true; len(seen) > maxFolders {
			return nil, errors.New("too many folders")
		}
		names = append(names, name)
	}
	return names, nil
}

// Exists says whether there is a folder that can be opened.
func (s *Store) Exists(name string) (bool, error) {
	name, err := normalName(name)
	if err != nil {
		return false, err
	}
	_, exists := s.dir(name)
	return exists, nil
}

// Create makes a folder. Its parents need none of their own, as in Dovecot.
func (s *Store) Create(name string) error {
	name, err := normalName(name)
	if err != nil {
		return err
	}
	dir, exists := s.dir(name)
	if exists {
		return fmt.Errorf("create %s: %w", name, ErrExists)
	}
	if err := s.create(dir); err != nil {
		return fmt.Errorf("create %s: %w", name, diskError(err))
	}
	return nil
}

func (s *Store) create(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return ErrExists
	}
	if err != nil {
		return err
	}
	if err := s.fill(dir); err != nil {
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, ErrNoSpace) {
			s.trash(dir) // what there is of it has no use
		}
		return err
	}
	return nil
}

// fill makes what belongs into a new folder, with a UIDVALIDITY. Nothing is synced: an empty folder may be lost with the power, and the
// first message that comes into it makes it durable (see insert).
func (s *Store) fill(dir string) error {
	f, err := os.OpenFile(dir+"/maildirfolder", os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	if _, err := makeDirs(dir); err != nil {
		return err
	}
	fault.Point("mailstore.folder-made")
	validity, err := s.nextValidity(0)
	if err != nil {
		return err
	}
	fault.Point("mailstore.validity-taken")
	return firstList(dir, newUidlist(validity))
}

// firstList gives a folder its uidlist, if nobody was quicker.
func firstList(dir string, list *uidlist) error {
	tmp := dir + "/tmp/" + uniqueName()
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = list.write(bufio.NewWriterSize(f, 512), nil)
	if errClose := f.Close(); err == nil {
		err = errClose
	}
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, dir+"/"+uidlistFile, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		os.Remove(tmp)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// Delete removes a folder and its mail, not its children; INBOX stays.
func (s *Store) Delete(name string) error {
	name, err := normalName(name)
	if err != nil {
		return err
	}
	dir, exists := s.dir(name)
	if !exists {
		return fmt.Errorf("delete %s: %w", name, ErrNoFolder)
	}
	if name == Inbox {
		return fmt.Errorf("delete %s: %w", name, ErrName)
	}
	if err := s.trash(dir); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// trash moves a folder out of the way at once and then removes it; what a crash leaves goes with the next.
func (s *Store) trash(dir string) error {
	defer s.removeAside(dir)()
	trash := filepath.Join(s.root, trashDir)
	err := os.Rename(dir, trash)
	for tries := 0; err != nil; tries++ {
		if tries == maxTries || !errors.Is(err, fs.ErrExist) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.ENOTDIR) {
			return err
		}
		if err := os.RemoveAll(trash); err != nil {
			return err
		}
		err = os.Rename(dir, trash)
	}
	s.forgetFolder(dir)
	fault.Point("mailstore.trashed")
	if err := s.discard(trash); err != nil {
		return err
	}
	return syncDir(s.root)
}

// removeAside returns what removes the files of a folder that do not lie in it, and would not go with it.
func (s *Store) removeAside(dir string) func() {
	id, err := statID(dir + "/.")
	if s.opts.IndexDir == "" || err != nil {
		return func() {}
	}
	return func() {
		for _, path := range []string{s.index(dir, id).path, s.cachePath(dir, id)} {
			os.Remove(path)
			os.Remove(path + ".tmp")
		}
	}
}

// forgetFolder lets sessions that come later begin anew with what stands at dir; those that have it open find out.
func (s *Store) forgetFolder(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.folders[dir]; f != nil {
		s.opts.Kept.take(f)
		delete(s.folders, dir)
	}
}

// Rename renames a folder and those below it. Of INBOX the mail moves to a new folder (RFC 3501 §6.3.5). After a crash some
// children may have the old name still: the same command then goes on.
func (s *Store) Rename(ctx context.Context, from, to string) error {
	from, err := normalName(from)
	if err != nil {
		return err
	}
	if to, err = normalName(to); err != nil {
		return err
	}
	if err := s.rename(ctx, from, to); err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, diskError(err))
	}
	return nil
}

func (s *Store) rename(ctx context.Context, from, to string) error {
	if from == Inbox {
		return s.renameInbox(ctx, to)
	}
	if to == from || strings.HasPrefix(to, from+Separator) {
		return ErrName
	}
	names, err := s.names()
	if err != nil {
		return err
	}
	slices.Sort(names)
	var moves [][2]string // the folder itself last
	for _, name := range slices.Backward(names) {
		if rest, ok := strings.CutPrefix(name, from); ok && (rest == "" || strings.HasPrefix(rest, Separator)) {
			target, err := normalName(to + rest)
			if err != nil {
				return err
			}
			old, _ := s.dir(name)
			new, exists := s.dir(target)
			if exists {
				return ErrExists
			}
			moves = append(moves, [2]string{old, new})
		}
	}
	if len(moves) == 0 {
		return ErrNoFolder
	}
	if _, exists := s.dir(to); exists {
		return ErrExists
	}
	for _, m := range moves {
		if err := unix.Renameat2(unix.AT_FDCWD, m[0], unix.AT_FDCWD, m[1], unix.RENAME_NOREPLACE); err != nil {
			return &os.LinkError{Op: "rename", Old: m[0], New: m[1], Err: err}
		}
		fault.Point("mailstore.child-renamed")
		s.forgetFolder(m[0])
		s.forgetFolder(m[1])
	}
	return syncDir(s.root)
}

// renameInbox moves the mail of INBOX to a new folder.
func (s *Store) renameInbox(ctx context.Context, to string) error {
	if err := s.Create(to); err != nil {
		return err
	}
	b, err := s.Open(ctx, Inbox, false)
	if b == nil {
		return err
	}
	defer b.Close()
	_, err = b.Move(ctx, b.Messages(), to)
	return err
}
