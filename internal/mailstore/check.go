package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postrider/internal/cache"
	"postrider/internal/maildir"
)

// oldTmp is the age from which a file in tmp is nobody's any more, as maildir(5) says.
const oldTmp = 36 * time.Hour

// checker reads a Maildir and changes nothing: it takes no lock, so what others do meanwhile may look wrong.
type checker struct {
	ctx    context.Context
	report func(path, problem string)
	sizes  bool
	cache  *cache.Cache // of the folder
	now    time.Time
}

// Check reports what is wrong with the Maildir at root and its folders. With sizes set it reads every message to compare it with the
// sizes in its name. An error says that it could not go on.
func Check(ctx context.Context, root string, sizes bool, report func(path, problem string)) error {
	s := &Store{root: filepath.Clean(root)}
	names, err := s.names()
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	c := &checker{ctx: ctx, report: report, sizes: sizes, now: time.Now()}
	exists := map[string]bool{Inbox: true}
	for _, name := range names {
		exists[name] = true
	}
	c.subscriptions(s, exists)
	for _, name := range append([]string{Inbox}, names...) {
		dir, _ := s.dir(name)
		if other := filepath.Join(s.root, "."+name); other != dir && name != Inbox && c.is(other, fs.ModeDir) {
			c.report(other, "is hidden by "+dir+", which has the same name")
		}
		if err := c.folder(dir); err != nil {
			return fmt.Errorf("check: %w", err)
		}
	}
	if trash := filepath.Join(s.root, trashDir); c.is(trash, fs.ModeDir) {
		c.report(trash, "is what was left of a folder that was deleted")
	}
	return nil
}

func (c *checker) is(path string, kind fs.FileMode) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().Type() == kind
}

// subscriptions compares the list with the folders.
func (c *checker) subscriptions(s *Store, exists map[string]bool) {
	path := filepath.Join(s.root, subscriptionsFile)
	names, err := s.Subscriptions()
	if err != nil {
		c.report(path, err.Error())
	}
	for _, name := range names {
		if !exists[name] {
			c.report(path, fmt.Sprintf("names a folder that there is not: %q", name))
		}
	}
	c.lock(path + ".lock")
}

// folder looks at one folder. Only the end of the context is an error.
func (c *checker) folder(dir string) error {
	c.cache = cache.Open(dir + "/" + cache.FileName)
	defer c.cache.Close()
	if c.sizes {
		c.cache.Refresh()
	}
	used, present := Keywords(0), make(map[string]string)
	for _, sub := range []string{"new", "cur"} {
		letters, err := c.messages(dir+"/"+sub, present)
		if err != nil {
			return err
		}
		used |= letters
	}
	c.tmp(dir + "/tmp")
	c.uidlist(dir, present)
	c.keywords(dir+"/"+keywordsFile, used)
	for _, name := range []string{uidlistLock, keywordsFile + ".lock"} {
		c.lock(dir + "/" + name)
	}
	return c.ctx.Err()
}

// messages looks at the files in new or cur; present are those that were seen, by base name. It returns the keyword letters in use.
func (c *checker) messages(dir string, present map[string]string) (used Keywords, err error) {
	var names []string
	if err := eachName(dir, func(name string) { names = append(names, name) }); err != nil {
		c.report(dir, err.Error())
		return 0, nil
	}
	for _, name := range names {
		if err := c.ctx.Err(); err != nil {
			return used, err
		}
		path := dir + "/" + name
		if strings.HasPrefix(name, ".") {
			continue
		}
		if base := baseOf(name); !validBase(base) {
			c.report(path, "has a name that no mail can have")
		} else if other, twice := present[base]; twice {
			c.report(path, "is the same message as "+other)
		} else {
			present[base] = path
		}
		_, letters := parseInfo(name)
		used |= letters
		c.message(path, name)
	}
	return used, nil
}

// message looks at one file.
func (c *checker) message(path, name string) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return // renamed or removed meanwhile
	case err != nil:
		c.report(path, err.Error())
		return
	case !info.Mode().IsRegular():
		c.report(path, "is no mail: "+kindOf(info.Mode()))
		return
	case info.Size() == 0:
		c.report(path, "is empty")
		return
	}
	if c.sizes {
		c.compareSizes(path, baseOf(name))
	}
}

// open returns nil for a file that is not there, and for one that cannot be opened, which it reports.
func (c *checker) open(path string) (*os.File, fs.FileInfo) {
	f, info, err := maildir.Open(path, os.O_RDONLY)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.report(path, err.Error())
	}
	return f, info
}

func kindOf(mode fs.FileMode) string {
	switch mode.Type() {
	case fs.ModeDir:
		return "a directory"
	case fs.ModeSymlink:
		return "a symbolic link"
	}
	return "not a regular file"
}

// compareSizes reads a message.
func (c *checker) compareSizes(path, base string) {
	file, info := c.open(path)
	if file == nil {
		return
	}
	defer file.Close()
	if size := nameSize(base, maildir.SizeField); size >= 0 && size != info.Size() {
		c.report(path, fmt.Sprintf("has %d octets, its name says %d", info.Size(), size))
		return
	}
	wire, err := wireSize(file)
	if err != nil {
		c.report(path, err.Error())
		return
	}
	if size := nameSize(base, maildir.WireField); size >= 0 && size != wire {
		c.report(path, fmt.Sprintf("has %d octets with CRLF, its name says %d", wire, size))
	}
	if kept, _, ok := c.cache.Find(base, info.Size()); ok && kept.Wire >= 0 && kept.Wire != wire {
		c.report(path, fmt.Sprintf("has %d octets with CRLF, %s says %d", wire, cache.FileName, kept.Wire))
	}
}

// tmp looks for what a program left that died while it delivered.
func (c *checker) tmp(dir string) {
	err := eachName(dir, func(name string) {
		info, err := os.Lstat(dir + "/" + name)
		if err == nil && c.now.Sub(info.ModTime()) > oldTmp {
			c.report(dir+"/"+name, "is older than 36 hours, nobody delivers it any more")
		}
	})
	if err != nil {
		c.report(dir, err.Error())
	}
}

// uidlist reads the list; a folder that nobody has opened yet has none.
func (c *checker) uidlist(dir string, present map[string]string) {
	path := dir + "/" + uidlistFile
	f, _ := c.open(path)
	if f == nil {
		return
	}
	defer f.Close()
	list, records, n, err := parseUidlist(f)
	if errors.Is(err, errUidlist) || err == errLongLine {
		c.report(path, "is none: clients will fetch everything again, under a new UIDVALIDITY")
		return
	}
	if err != nil {
		c.report(path, err.Error())
		return
	}
	if list.damaged {
		c.report(path, "has lines that are none")
	}
	uids := make(map[string]uint32, len(records))
	for _, r := range records {
		if uids[r.base] != 0 {
			c.report(path, fmt.Sprintf("has the same message twice, as UID %d and %d", uids[r.base], r.uid))
		}
		uids[r.base] = r.uid
	}
	if size, err := f.Seek(0, io.SeekEnd); err == nil && size > n {
		c.report(path, "ends in the middle of a line")
	}
	if c.is(dir+"/"+courierList, 0) {
		c.report(dir+"/"+courierList, "does not count beside "+path)
	}
	c.index(dir, uids, present)
}

// index compares what is kept of the folder with what there is: uids and present are by base name. One that is behind is no fault.
func (c *checker) index(dir string, uids map[string]uint32, present map[string]string) {
	path := dir + "/" + indexFile
	f, info := c.open(path)
	if f == nil {
		return
	}
	defer f.Close()
	data := make([]byte, min(info.Size(), maxIndexSize))
	if _, err := io.ReadFull(f, data); err != nil {
		c.report(path, err.Error())
		return
	}
	h, s, _, err := decodeIndex(data)
	if err != nil {
		c.report(path, err.Error()+": it will be made anew")
		return
	}
	if string(h.Boot[:]) != Boot() || !c.current(dir, h) {
		return
	}
	for _, m := range s.messages {
		if at := present[m.Base()]; filepath.Base(at) != m.name || uids[m.Base()] != m.UID {
			c.report(path, fmt.Sprintf("says that UID %d is %s: remove it", m.UID, m.name))
			return
		}
	}
}

// current says that the index would be believed.
func (c *checker) current(dir string, h *indexHeader) bool {
	list, errList := statID(dir + "/" + uidlistFile)
	added, errNew := statID(dir + "/new")
	cur, errCur := statID(dir + "/cur")
	return errors.Join(errList, errNew, errCur) == nil && list == h.List.ID && added == h.New.ID && cur == h.Cur.ID && !h.New.Young && !h.Cur.Young
}

// keywords compares the names with the letters in use.
func (c *checker) keywords(path string, used Keywords) {
	names, err := readKeywordNames(path)
	if err != nil {
		c.report(path, err.Error())
		return
	}
	for i, name := range names {
		if used&(1<<i) != 0 && name == "" {
			c.report(path, fmt.Sprintf("has no name for the keyword %q of messages", 'a'+rune(i)))
		}
	}
}

// lock looks for one that nobody holds.
func (c *checker) lock(path string) {
	info, err := os.Lstat(path)
	if err == nil && (c.now.Sub(info.ModTime()) > staleLock || ownerDead(path)) {
		c.report(path, "is a lock whose holder is gone")
	}
}
