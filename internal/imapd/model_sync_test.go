package imapd

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// remembered is what a client that uses QRESYNC remembers between its connections, beside its messages (RFC 7162).
type remembered struct {
	on       bool
	validity string
	seen     int // the largest mod-sequence that it was told
	known    int // the one until which it was told all
}

var (
	vanishedLine = regexp.MustCompile(`^\* VANISHED (\(EARLIER\) )?(\S+)$`)
	validityCode = regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`)
	modifiedCode = regexp.MustCompile(`\[MODIFIED (\S+)\]`)
)

// note takes the UIDVALIDITY and the mod-sequences of a line.
func (s *remembered) note(line string) {
	if m := validityCode.FindStringSubmatch(line); m != nil {
		s.validity = m[1]
	}
	for _, n := range modSeqs([]string{line}) {
		s.seen = max(s.seen, int(n))
	}
}

// begin is the first connection of a client.
func (v *view) begin() {
	v.sync.on = rapid.Bool().Draw(v.w.t, "QRESYNC")
	v.connect()
	v.selectBox("SELECT INBOX")
	v.run("FETCH 1:* (UID FLAGS)")
}

func (v *view) connect() {
	v.client = v.server.connectFor(v.w.t)
	if v.sync.on {
		v.run("ENABLE QRESYNC")
	}
}

// selectBox takes in what a SELECT tells, as any other command, and that all is known then.
func (v *view) selectBox(command string) {
	v.slots, v.sync.seen = nil, 0
	v.run(command)
	v.sync.known = v.sync.seen
}

// numbered checks that a mod-sequence grows with each change of a message, and never becomes smaller.
func (v *view) numbered(s *slot, flags string, modSeq int) {
	if s.modSeq > modSeq || s.modSeq == modSeq && flags != "?" && flags != s.flags {
		v.w.t.Fatalf("UID %d: %q at %d, then %q at %d", s.uid, flags, s.modSeq, s.flags, modSeq)
	}
	s.modSeq = modSeq
}

// vanished takes messages away. A UID that the client was not told is that of a message between those that it knows; one of earlier
// times is of none that it counts (RFC 7162 §3.2.10.1).
func (v *view) vanished(uids []int, earlier, stay bool) {
	if !v.sync.on || stay && !earlier {
		v.w.t.Fatalf("VANISHED %v, numbers must stay: %v", uids, stay)
	}
	for _, uid := range uids {
		if i := v.place(uid); i >= 0 && (!earlier || v.slots[i].uid == uid) {
			v.slots = slices.Delete(v.slots, i, i+1)
		} else if !earlier {
			v.w.t.Fatalf("VANISHED %d, which is not among %v", uid, v.slots)
		}
	}
}

// place is where a UID is, or where the client was not told of it; -1 = nowhere.
func (v *view) place(uid int) int {
	unknown := -1
	for i, s := range v.slots {
		switch {
		case s.uid == uid:
			return i
		case s.uid == 0:
			unknown = i
		case s.uid > uid:
			return unknown
		case s.uid < uid:
			unknown = -1
		}
	}
	return unknown
}

// storeUnchanged must not change what the client has not seen.
func (v *view) storeUnchanged(uid, set string) {
	flags, bases := v.w.onDisk(), v.w.byUID()
	known := slices.Clone(v.slots)
	since := v.sync.known
	answer := v.run(fmt.Sprintf("%sSTORE %s (UNCHANGEDSINCE %d) +FLAGS (\\Answered)", uid, set, since))
	var modified []int
	if m := modifiedCode.FindStringSubmatch(answer); m != nil {
		modified = numbers(m[1])
	}
	now := v.w.onDisk()
	for i, s := range known {
		base, exists := bases[s.uid]
		if !exists || s.flags == "?" || !inSet(set, map[bool]int{true: s.uid, false: i + 1}[uid != ""]) || flags[base] == s.flags {
			continue
		}
		if n := (map[bool]int{true: s.uid, false: i + 1}[uid != ""]); !slices.Contains(modified, n) || now[base] != flags[base] {
			v.w.t.Fatalf("STORE %s UNCHANGEDSINCE %d: UID %d was %q and not %q, now it is %q; %s", set, since, s.uid, flags[base], s.flags, now[base], answer)
		}
	}
}

func inSet(set string, n int) bool {
	from, to, _ := strings.Cut(set, ":")
	return atoi(from) <= n && n <= atoi(to)
}

// changedSince brings the client up to date by what has changed since it last knew all.
func (v *view) changedSince() {
	if v.sync.on {
		v.run(fmt.Sprintf("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)", v.sync.known))
	} else {
		v.run(fmt.Sprintf("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d)", max(v.sync.known, 1)))
	}
}

// comeBack is a client that goes, and comes back when others have been at work, perhaps to a server that has lost its index.
func (v *view) comeBack() {
	v.hangUp()
	for range rapid.IntRange(0, 4).Draw(v.w.t, "meanwhile") {
		v.w.foreign()
	}
	if rapid.Bool().Draw(v.w.t, "without index") {
		v.w.removeIndex()
	}
	v.server = rapid.SampledFrom(v.w.servers).Draw(v.w.t, "process")
	v.connect()
	all := len(v.slots)
	known := slices.DeleteFunc(v.slots, func(s slot) bool { return s.uid == 0 })
	if !v.sync.on || len(known) == 0 {
		v.selectBox("SELECT INBOX")
		v.run("FETCH 1:* (UID FLAGS)")
		return
	}
	some := ""
	if len(known) < all || rapid.Bool().Draw(v.w.t, "known UIDs") { // without them it would be taken to know all
		some = " " + uidSet(known)
		if rapid.Bool().Draw(v.w.t, "match data") {
			some += fmt.Sprintf(" (1:%d %s)", len(known), uidSet(known))
		}
	}
	v.resync(known, some)
	v.knowsAll("return" + some)
}

// touch gives the directories other times, as if some had passed: what is done in one tick of the clock would not show at once.
func (w *world) touch() {
	w.touched++
	when := time.Now().Add(time.Duration(w.touched)*time.Second - time.Hour)
	for _, dir := range []string{"new", "cur"} {
		if err := os.Chtimes(filepath.Join(w.server.root, dir), when, when); err != nil {
			w.t.Fatal(err)
		}
	}
}

// removeIndex deletes what may be deleted at any time.
func (w *world) removeIndex() {
	names, err := filepath.Glob(filepath.Join(w.server.root, "postrider.index*"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			w.t.Fatal(err)
		}
	}
}

func uidSet(slots []slot) string {
	var list []string
	for _, s := range slots {
		list = append(list, fmt.Sprint(s.uid))
	}
	return strings.Join(list, ",")
}

// resync selects the mailbox with what the client knows, and corrects that by what it is told.
func (v *view) resync(known []slot, some string) {
	since := v.sync.known
	v.slots, v.sync.seen = known, 0
	v.tag++
	tag := fmt.Sprintf("m%d ", v.tag)
	v.send(fmt.Sprintf("%sSELECT INBOX (QRESYNC (%s %d%s))\r\n", tag, v.sync.validity, since, some))
	lines, _ := v.collect(tag)
	exists, fetched := 0, false
	for _, line := range lines {
		v.sync.note(line)
		if m := countLine.FindStringSubmatch(line); m != nil && m[2] == "EXISTS" {
			exists = atoi(m[1])
		} else if m := vanishedLine.FindStringSubmatch(line); m != nil {
			if fetched {
				v.w.t.Fatalf("VANISHED behind FETCH: %q", lines)
			}
			v.vanished(numbers(m[2]), true, false)
		} else if m := fetchLine.FindStringSubmatch(line); m != nil {
			v.returned(m[2])
			fetched = true
		}
	}
	if v.sync.seen < since {
		v.w.t.Fatalf("HIGHESTMODSEQ was %d, is %d", since, v.sync.seen)
	}
	v.sync.known = v.sync.seen
	if len(v.slots) > exists || some == "" && len(v.slots) != exists {
		v.w.t.Fatalf("the client has %v, there are %d; it was told %q", v.slots, exists, lines)
	}
	v.learn()
	if len(v.slots) != exists {
		v.w.t.Fatalf("%d messages, %d UIDs", exists, len(v.slots))
	}
}

// learn asks which UIDs there are, and so what numbers the messages have.
func (v *view) learn() {
	v.send("u UID SEARCH ALL\r\n")
	lines, _ := v.collect("u ")
	for _, word := range strings.Fields(strings.TrimPrefix(strings.Join(lines, ""), "* SEARCH")) {
		uid := atoi(word)
		if i, known := v.find(uid); !known {
			v.slots = slices.Insert(v.slots, i, slot{uid: uid, flags: "?"})
		}
	}
}

// find is where a UID is among slots that all have one.
func (v *view) find(uid int) (int, bool) {
	return slices.BinarySearchFunc(v.slots, uid, func(s slot, uid int) int { return s.uid - uid })
}

// returned takes in a FETCH of a SELECT, for which the UID counts.
func (v *view) returned(items string) {
	uid := atoi(uidItem.FindStringSubmatch(items)[1])
	i, found := v.find(uid)
	if !found {
		v.slots = slices.Insert(v.slots, i, slot{uid: uid, flags: "?"})
	}
	before := v.slots[i].flags
	v.slots[i].flags = sortedFlags(flagsItem.FindStringSubmatch(items)[1])
	v.numbered(&v.slots[i], before, atoi(modSeqItem.FindStringSubmatch(items)[1]))
}
