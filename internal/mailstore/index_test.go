package mailstore

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/indexdir"
)

func indexOf(t testing.TB, messages int) (*Store, string) {
	s := newStore(t, Options{})
	for i := range messages {
		appendTo(t, s, "INBOX", fmt.Sprintf("%d\r\n", i), Flags(i%32), fmt.Sprint("k", i%5))
	}
	return s, s.root + "/" + indexFile
}

func FuzzIndex(f *testing.F) {
	_, path := indexOf(f, 3)
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed[headerSize:])
	b := batch{full: []*Message{newMessage(7, "1.a,S=2,W=3:2,FSa", "P1", false)}, change: []*Message{newMessage(9, "2.b:2,S", "", true)},
		gone: []vanished{{8, 77}}, info: []*Message{newMessage(7, "x", "", false)}}
	one, _ := b.encode(nil)
	f.Add(one)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		readIndex(t, data, nil) // the sum of the header and of the batches right
		if payload, _, err := nextBatch(data); err == nil {
			checkBatch(t, payload)
		}
		checkBatch(t, data)
	})
}

// readIndex reads octets as an index whose header is right.
func readIndex(t *testing.T, data, head []byte) {
	h := indexHeader{Length: uint64(headerSize + len(data)), UIDNext: 100}
	if head == nil {
		head = h.encode("guid", "Pfields")
	}
	_, s, _, err := decodeIndex(append(head, data...))
	if err != nil {
		return
	}
	last := uint32(0)
	for _, m := range s.messages {
		if m.UID <= last || strings.ContainsAny(m.name, "/\x00\n") || !validBase(m.Base()) || len(m.name) > maxName {
			t.Fatalf("UID %d after %d, name %q", m.UID, last, m.name)
		}
		last = m.UID
	}
}

// checkBatch: what is read is written the same.
func checkBatch(t *testing.T, payload []byte) {
	b, err := decodeBatch(payload)
	if err != nil {
		return
	}
	data, ok := b.encode(nil)
	if !ok {
		t.Fatal("cannot be written")
	}
	again, rest, err := nextBatch(data)
	if err != nil || len(rest) != 0 {
		t.Fatal(err)
	}
	c, err := decodeBatch(again)
	if err != nil || len(c.full) != len(b.full) || len(c.change) != len(b.change) || !slices.Equal(c.gone, b.gone) {
		t.Fatal(err)
	}
	twice, _ := c.encode(nil)
	if !bytes.Equal(twice, data) {
		t.Fatal("written differently")
	}
}

// TestIndexGarbled changes each octet of an index, in turn, and cuts it at each: another process comes to the same view, and whoever
// was away hears of everything.
func TestIndexGarbled(t *testing.T) {
	t.Parallel()
	s, path := indexOf(t, 4)
	b := openBox(t, s, "INBOX")
	age(t, b)
	syncBox(t, b)
	want, highest := show(b), b.HighestModSeq()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	saved := b.folder.index.saved
	if saved.Length != uint64(len(good)) || saved.Counts.Messages != 4 {
		t.Fatalf("%+v", saved)
	}
	for i := 0; i < len(good); i += 3 {
		for _, cut := range []bool{false, true} {
			bad := slices.Clone(good)
			if bad[i] ^= 0x55; cut {
				bad = bad[:i]
			}
			other := filepath.Join(t.TempDir(), "x")
			x := index{path: other, boot: s.opts.Boot}
			write(t, other, string(bad))
			if state, _ := x.load(); state != nil {
				t.Fatalf("octet %d is wrong (cut %t), and %d messages are believed", i, cut, len(state.messages))
			}
		}
	}
	write(t, path, string(good[:len(good)-1]))
	again := openBox(t, anotherProcess(s), "INBOX")
	wantView(t, again, want)
	for _, m := range again.Messages() {
		if m.ModSeq <= highest {
			t.Errorf("the index was lost, and UID %d still has mod-sequence %d, not above %d", m.UID, m.ModSeq, highest)
		}
	}
	if _, ok := again.Vanished(highest); ok {
		t.Error("the index was lost, and what went is known")
	}
	syncBox(t, b)
	if b.HighestModSeq() != again.HighestModSeq() || b.Messages()[0].ModSeq != again.Messages()[0].ModSeq {
		t.Error("the process that had the lost index goes on with its numbers")
	}
}

// TestIndexElsewhere: a copy of the file, one of another start of the system and one of another UIDVALIDITY are none.
func TestIndexElsewhere(t *testing.T) {
	t.Parallel()
	s, path := indexOf(t, 1)
	text := read(t, path)
	if state, _ := (&index{path: path, boot: s.opts.Boot}).load(); state == nil {
		t.Fatal("the index is not read")
	}
	if state, _ := (&index{path: path, boot: strings.Repeat("x", 36)}).load(); state != nil {
		t.Error("an index of another start of the system is believed")
	}
	write(t, path+".x", text)
	if err := os.Rename(path+".x", path); err != nil {
		t.Fatal(err)
	}
	if state, _ := (&index{path: path, boot: s.opts.Boot}).load(); state != nil {
		t.Error("a copy is believed")
	}
}

// TestIndexPlace: one that cannot be written is not there, and sessions do without.
func TestIndexPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := newStore(t, Options{IndexDir: indexdir.Dir(dir)})
	appendTo(t, s, "INBOX", "x\r\n", Seen)
	if found, _ := filepath.Glob(dir + "/*-" + indexFile); len(found) != 1 {
		t.Error("in the directory for indexes:", found)
	}
	if _, err := os.Lstat(s.root + "/" + indexFile); err == nil {
		t.Error("there is one in the folder")
	}
	if err := s.Create("gone"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, "gone", "x\r\n", Seen)
	if found, _ := filepath.Glob(dir + "/*"); len(found) < 2 {
		t.Error("of a second folder:", found)
	}
	if err := s.Delete("gone"); err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(dir + "/*"); len(found) != 1 {
		t.Error("after it was deleted:", found)
	}
	without := newStore(t, Options{IndexDir: indexdir.None})
	appendTo(t, without, "INBOX", "x\r\n", Seen)
	b, other := openBox(t, without, "INBOX"), openBox(t, anotherProcess(without), "INBOX")
	wantView(t, b, "1:S")
	before := other.HighestModSeq()
	for _, op := range []FlagOp{AddFlags, RemoveFlags} {
		if _, err := b.StoreFlags(t.Context(), b.Messages(), op, Flagged, nil); err != nil {
			t.Fatal(err)
		}
	}
	syncBox(t, other)
	if other.Messages()[0].ModSeq <= before {
		t.Error("two processes without an index: one changed a message twice, and who comes to the other hears nothing")
	}
}

// TestIndexSpoiled: numbers that could not be written are not in a file that is believed later.
func TestIndexSpoiled(t *testing.T) {
	t.Parallel()
	s, path := indexOf(t, 1)
	b := openBox(t, s, "INBOX")
	if err := os.Mkdir(path+indexTmp, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, path+indexTmp+"/x", "") // it cannot be written anew
	os.Remove(path)
	for _, op := range []FlagOp{AddFlags, RemoveFlags} {
		if _, err := b.StoreFlags(t.Context(), b.Messages(), op, Flagged, nil); err != nil {
			t.Fatal(err)
		}
	}
	told := b.HighestModSeq()
	if err := os.RemoveAll(path + indexTmp); err != nil {
		t.Fatal(err)
	}
	if other := openBox(t, anotherProcess(s), "INBOX"); other.Messages()[0].ModSeq <= told {
		t.Errorf("mod-sequence %d, another process told %d", other.Messages()[0].ModSeq, told)
	}
}

// TestIndexRewritten: an index that grows is written anew, and processes that know the old one go on.
func TestIndexRewritten(t *testing.T) {
	t.Parallel()
	s, path := indexOf(t, 3)
	a, b := openBox(t, s, "INBOX"), openBox(t, anotherProcess(s), "INBOX")
	for i := range 2000 {
		if _, err := a.StoreFlags(t.Context(), a.Messages(), FlagOp(i%2), Flagged, nil); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 2*indexSlack {
		t.Error("the index has", info.Size(), "octets")
	}
	if a.folder.index.saved.Rewritten == 0 {
		t.Error("it was not written anew")
	}
	syncBox(t, b)
	wantView(t, b, show(a))
	if b.HighestModSeq() != a.HighestModSeq() || b.Messages()[2].ModSeq != a.Messages()[2].ModSeq {
		t.Error("mod-sequences differ")
	}
}

// TestKnownIsKept: what was found out about a message is known to the next process.
func TestKnownIsKept(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	write(t, s.root+"/new/1.a", "x\ny\n")
	b, err := s.Open(t.Context(), "INBOX", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := b.Size(); ok {
		t.Error("the size is known")
	}
	info, err := b.Info(t.Context(), b.Messages()[0])
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	other := openBox(t, anotherProcess(s), "INBOX")
	if kept, ok := other.Messages()[0].Known(); !ok || !reflect.DeepEqual(kept, info) {
		t.Errorf("%+v, %t, was %+v", kept, ok, info)
	}
	if size, ok := other.Size(); !ok || size != 6 {
		t.Error("size", size, ok)
	}
	old := time.Now().Add(-time.Minute)
	for _, sub := range []string{"new", "cur"} {
		os.Chtimes(s.root+"/"+sub, old, old)
	}
	syncBox(t, other)
	if st, err := anotherProcess(s).Status(t.Context(), "INBOX"); err != nil || !st.Sized || st.Size != 6 || st.Messages != 1 || st.ID != other.ID() {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestKept: a folder that nobody has open is known for a while, but all stores of the process together keep not too many of them.
func TestKept(t *testing.T) {
	t.Parallel()
	kept := new(Kept)
	a, b := newStore(t, Options{Kept: kept}), newStore(t, Options{Kept: kept})
	visit := func(s *Store, name string) {
		t.Helper()
		box, err := s.Open(t.Context(), name, false)
		if err != nil {
			t.Fatal(err)
		}
		box.Close()
	}
	visit(b, "INBOX")
	for i := range maxKept {
		name := fmt.Sprint("F", i)
		if err := a.Create(name); err != nil {
			t.Fatal(err)
		}
		visit(a, name)
	}
	if len(a.folders) != maxKept || len(b.folders) != 0 {
		t.Error(len(a.folders), len(b.folders), "folders are kept")
	}
	visit(a, "F0")
	visit(b, "INBOX")
	if a.folders[a.root+"/.F0"] == nil || a.folders[a.root+"/.F1"] != nil {
		t.Error("the folder that was used last is forgotten first")
	}
	last := fmt.Sprint("F", maxKept-1)
	os.RemoveAll(a.root + "/." + last)
	if err := a.Create(last); err != nil {
		t.Fatal(err)
	}
	visit(a, last)
	a.Close()
	if len(kept.folders) != 1 || len(a.folders) != 0 {
		t.Error(len(kept.folders), len(a.folders), "folders are kept of a store that was closed")
	}
}

// TestKeptMessages: large folders count for more.
func TestKeptMessages(t *testing.T) {
	t.Parallel()
	var k Kept
	var over []*folder
	for range 4 {
		f := new(folder)
		f.published.Store(&state{messages: make([]*Message, maxKeptMessages/3)})
		over = append(over, k.put(f)...)
	}
	if len(over) != 1 || len(k.folders) != 3 || k.messages != maxKeptMessages {
		t.Error(len(over), len(k.folders), k.messages)
	}
}
