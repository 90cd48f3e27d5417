package mailstore

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// client is what a client remembers of a folder while it is away.
type client struct {
	validity uint32
	since    uint64
	flags    map[uint32]string
}

// visit brings a client up to date with what changed since it left, and says what is wrong then.
func (c *client) visit(b *Mailbox) error {
	if c.validity != b.UIDValidity() {
		*c = client{validity: b.UIDValidity(), flags: make(map[uint32]string)}
	}
	since := b.Since(c.since)
	if uids, ok := b.Vanished(since); ok {
		for _, uid := range uids {
			delete(c.flags, uid)
		}
	} else {
		maps.DeleteFunc(c.flags, func(uid uint32, _ string) bool {
			_, there := position(b.Messages(), uid)
			return !there
		})
	}
	truth := make(map[uint32]string)
	for _, m := range b.Messages() {
		truth[m.UID] = fmt.Sprint(m.Flags, b.KeywordNames(m.Keywords))
		if m.ModSeq > since {
			c.flags[m.UID] = truth[m.UID]
		}
		if m.ModSeq > b.HighestModSeq() {
			return fmt.Errorf("UID %d has mod-sequence %d, the highest is %d", m.UID, m.ModSeq, b.HighestModSeq())
		}
	}
	if !maps.Equal(c.flags, truth) {
		return fmt.Errorf("a client that knew all until %d believes %v, true is %v, highest %d", c.since, c.flags, truth, b.HighestModSeq())
	}
	if b.HighestModSeq() < c.since {
		return fmt.Errorf("HIGHESTMODSEQ was %d and is %d", c.since, b.HighestModSeq())
	}
	c.since = b.HighestModSeq()
	return nil
}

// comings is a Maildir in which several processes and others work, and clients that come and go.
type comings struct {
	t        *rapid.T
	root     string
	boxes    []*Mailbox // of a process each
	clients  []client
	count    int
	old      []byte   // an earlier index
	spare    *os.File // its file, whose inode no copy of it is to get
	keywords []string
}

func (w *comings) open(i int) {
	b, err := newStoreAt(w.root, Options{LockTimeout: 5 * time.Second, Boot: strings.Repeat("b", 36)}).Open(context.Background(), Inbox, false)
	if err != nil {
		w.t.Fatal(err)
	}
	w.boxes[i] = b
}

// box is one that is up to date; a process that finds the folder reset opens it again.
func (w *comings) box() *Mailbox {
	i := rapid.IntRange(0, len(w.boxes)-1).Draw(w.t, "process")
	if rapid.IntRange(0, 4).Draw(w.t, "anew") == 0 {
		w.boxes[i].Close()
		w.open(i)
	} else if _, err := w.boxes[i].Sync(context.Background(), All); err != nil {
		w.boxes[i].Close()
		w.open(i)
	}
	return w.boxes[i]
}

func (w *comings) files() []string {
	list, _ := filepath.Glob(w.root + "/cur/*")
	more, _ := filepath.Glob(w.root + "/new/*")
	return append(list, more...)
}

// foreign is what other programs do, which the times of the directories show.
func (w *comings) foreign() {
	w.count++
	files := w.files()
	name := ""
	kind := rapid.IntRange(0, 4).Draw(w.t, "foreign")
	if len(files) > 0 {
		name = rapid.SampledFrom(files).Draw(w.t, "file")
	}
	switch {
	case kind == 0 || name == "":
		os.WriteFile(fmt.Sprintf("%s/new/%d.x", w.root, w.count), fmt.Appendf(nil, "m%d\n", w.count), 0o600)
	case kind == 1:
		os.Remove(name)
	case kind == 4:
		w.keywords[rapid.IntRange(0, 2).Draw(w.t, "letter")] = fmt.Sprint("f", rapid.IntRange(0, 9).Draw(w.t, "name"))
		os.WriteFile(w.root+"/k", []byte(fmt.Sprintf("0 %s\n1 %s\n2 %s\n", w.keywords[0], w.keywords[1], w.keywords[2])), 0o600)
		os.Rename(w.root+"/k", w.root+"/"+keywordsFile)
	default:
		base, _, _ := strings.Cut(filepath.Base(name), ":")
		os.Rename(name, w.root+"/cur/"+base+":2,"+rapid.SampledFrom([]string{"", "S", "FS", "Sa", "b"}).Draw(w.t, "flags"))
	}
	at := time.Now().Add(-time.Hour + time.Duration(w.count)*time.Second)
	os.Chtimes(w.root+"/new", at, at)
	os.Chtimes(w.root+"/cur", at, at)
}

// spoil does to our files what nobody should do.
func (w *comings) spoil() {
	path := w.root + "/" + rapid.SampledFrom([]string{indexFile, indexFile, indexFile, indexFile, uidlistFile, ownLockFile, keywordsFile}).Draw(w.t, "file")
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	switch rapid.IntRange(0, 5).Draw(w.t, "spoil") {
	case 0:
		os.Remove(path)
	case 1:
		os.Truncate(path, int64(rapid.IntRange(0, len(text)).Draw(w.t, "size")))
	case 2:
		if len(text) > 0 && filepath.Base(path) == indexFile {
			text[rapid.IntRange(0, len(text)-1).Draw(w.t, "octet")] ^= 0x41
			os.WriteFile(path, text, 0o600)
		}
	case 3:
		os.WriteFile(path+".x", text, 0o600)
		os.Rename(path+".x", path)
	case 4:
		if filepath.Base(path) == indexFile {
			w.old = text
			if w.spare != nil {
				w.spare.Close()
			}
			w.spare, _ = os.Open(path)
		}
	case 5:
		if filepath.Base(path) == indexFile && w.old != nil {
			os.WriteFile(path+".x", w.old, 0o600)
			os.Rename(path+".x", path)
		}
	}
}

func (w *comings) own(b *Mailbox) {
	var msgs []*Message
	for _, m := range b.Messages() {
		if rapid.Bool().Draw(w.t, "take") {
			msgs = append(msgs, m)
		}
	}
	var err error
	switch rapid.IntRange(0, 3).Draw(w.t, "own") {
	case 0, 1:
		_, err = b.StoreFlags(context.Background(), msgs, FlagOp(rapid.IntRange(0, 2).Draw(w.t, "op")), Flags(rapid.IntRange(0, 3).Draw(w.t, "flags")),
			w.keywords[:rapid.IntRange(0, 1).Draw(w.t, "keywords")])
	case 2:
		err = b.Expunge(context.Background(), msgs)
	case 3:
		_, err = b.Copy(context.Background(), msgs, Inbox)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestComeBack: a client that was away hears of every change, whoever made it, whichever process it comes back to, and whatever happened
// to the index meanwhile.
func TestComeBack(t *testing.T) {
	t.Parallel()
	dir, runs := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		w := &comings{t: rt, root: filepath.Join(dir, fmt.Sprint(runs)), boxes: make([]*Mailbox, 2), clients: make([]client, 3), keywords: []string{"f0", "f1", "f2"}}
		os.Mkdir(w.root, 0o700)
		makeMaildir(w.root)
		w.foreign()
		for i := range w.boxes {
			w.open(i)
		}
		defer func() {
			for _, b := range w.boxes {
				b.Close()
			}
			if w.spare != nil {
				w.spare.Close()
			}
		}()
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 6).Draw(rt, "step") {
			case 0, 1:
				w.foreign()
			case 2:
				w.spoil()
			case 3, 4:
				w.own(w.box())
			default:
				w.visit(rapid.IntRange(0, len(w.clients)-1).Draw(rt, "client"))
			}
		}
		for i := range w.clients {
			w.visit(i)
		}
	})
}

// visit lets a client come back to some process, whose view must be what is on disk.
func (w *comings) visit(i int) {
	b := w.box()
	var names []string
	for _, m := range b.Messages() {
		names = append(names, b.folder.filePath(m))
	}
	files := w.files()
	slices.Sort(names)
	slices.Sort(files)
	if !slices.Equal(names, files) {
		w.t.Fatalf("the view has %v, there are %v", names, files)
	}
	if err := w.clients[i].visit(b); err != nil {
		w.t.Fatalf("client %d: %v", i, err)
	}
	if counts := countMessages(b.Messages()); b.Counts() != counts {
		w.t.Fatalf("counts %+v, there are %+v", b.Counts(), counts)
	}
	if f := b.folder; f.sums != nil && !slices.Equal(f.sums, sumBases(f.state.messages)) {
		w.t.Fatal("sums of other base names than those of the messages")
	}
	st, err := newStoreAt(w.root, Options{Boot: strings.Repeat("b", 36)}).Status(context.Background(), Inbox)
	if err != nil || st.Counts != b.Counts() || st.UIDNext != b.UIDNext() || st.ModSeq < b.HighestModSeq() {
		w.t.Fatalf("STATUS %+v, %v, the view has %+v, UIDNEXT %d, %d", st, err, b.Counts(), b.UIDNext(), b.HighestModSeq())
	}
}
