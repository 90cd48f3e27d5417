package imapd

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postrider/internal/mailstore"
)

// TestModel has several sessions and other programs work on one Maildir, one step after the other, and compares what the
// clients were told with what is there.
func TestModel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		w := newWorld(t, rt, filepath.Join(dir, fmt.Sprint(runs)))
		for range rapid.IntRange(5, 60).Draw(rt, "steps") {
			if who := rapid.IntRange(0, len(w.views)).Draw(rt, "who"); who == len(w.views) {
				w.foreign()
			} else {
				w.act(w.views[who])
			}
		}
		w.converge()
		for _, v := range w.views {
			v.hangUp()
		}
	})
}

// world is a Maildir, who works on it, and what every message has been so far.
type world struct {
	t       *rapid.T
	remote  bool // each look lists all
	touched int
	server  *server
	servers []*server // processes
	views   []*view
	bodies  map[int]string // by UID
	last    int            // the largest UID that anybody was told
	count   int
}

// view is what one client knows, from what it was told alone.
type view struct {
	*client
	w      *world
	server *server
	slots  []slot
	tag    int
	code   string // of the last untagged COPYUID
	sync   remembered
}

type slot struct {
	uid    int    // 0 = not told yet
	flags  string // sorted, without \Recent; "?" = not told yet
	modSeq int    // 0 = not told yet
}

func newWorld(t *testing.T, rt *rapid.T, root string) *world {
	if err := os.Mkdir(root, 0o700); err != nil {
		rt.Fatal(err)
	}
	w := &world{t: rt, remote: rapid.Bool().Draw(rt, "remote"), bodies: make(map[int]string)}
	for _, sessions := range []int{2, 1} { // two processes
		store, err := mailstore.Open(root, mailstore.Options{Remote: w.remote, LockTimeout: 5 * time.Second})
		if err != nil {
			rt.Fatal(err)
		}
		w.server = &server{t: t, root: root, store: store, log: &logLines{}, times: defaultTimes,
			options: Options{Store: store, Log: &logLines{}}}
		w.servers = append(w.servers, w.server)
		for range sessions {
			w.deliver()
			w.touch()
			v := &view{w: w, server: w.server}
			v.begin()
			w.views = append(w.views, v)
		}
	}
	return w
}

// disk is the names of all messages.
func (w *world) disk() (names []string) {
	return append(w.server.files("new/*"), w.server.files("cur/*")...)
}

// onDisk is the flags of all messages by base name, as a client would see them.
func (w *world) onDisk() map[string]string {
	all, keywords := make(map[string]string), strings.Split(w.read("dovecot-keywords"), "\n")
	for _, name := range w.disk() {
		base, info, _ := strings.Cut(filepath.Base(name), ":2,")
		all[base] = letters(info, keywords)
	}
	return all
}

// byUID is the base names of the messages that have a UID, as a program without knowledge of sessions reads them.
func (w *world) byUID() map[int]string {
	bases := make(map[string]int)
	for line := range strings.Lines(w.read("dovecot-uidlist")) {
		if keys, base, ok := strings.Cut(strings.TrimSpace(line), " :"); ok {
			uid, _, _ := strings.Cut(keys, " ")
			bases[base] = atoi(uid)
		}
	}
	all := make(map[int]string)
	for base := range w.onDisk() {
		if uid, ok := bases[base]; ok {
			all[uid] = base
		}
	}
	return all
}

// read is a file of the Maildir; none is as good as an empty one.
func (w *world) read(name string) string {
	b, err := os.ReadFile(filepath.Join(w.server.root, name))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	return string(b)
}

var flagNames = map[rune]string{'D': `\Draft`, 'F': `\Flagged`, 'R': `\Answered`, 'S': `\Seen`, 'T': `\Deleted`}

// letters are the flags of a file name; keywords are the lines "0 name" of those that have a name.
func letters(info string, keywords []string) string {
	var flags []string
	for _, c := range info {
		if name, known := flagNames[c]; known {
			flags = append(flags, name)
		}
		for _, line := range keywords {
			if name, ok := strings.CutPrefix(line, fmt.Sprint(c-'a', " ")); ok {
				flags = append(flags, name)
			}
		}
	}
	slices.Sort(flags)
	return strings.Join(flags, " ")
}

func (w *world) deliver() {
	w.count++
	w.server.deliver("", fmt.Sprintf("%d.x", w.count), fmt.Sprintf("Id: %d\n\nx\n", w.count))
}

// foreign is what other programs do.
func (w *world) foreign() {
	defer w.touch()
	names := w.disk()
	kind := rapid.IntRange(0, 3).Draw(w.t, "foreign")
	if kind == 0 || len(names) == 0 {
		w.deliver()
		return
	}
	name := rapid.SampledFrom(names).Draw(w.t, "file")
	switch kind {
	case 1:
		os.Remove(name)
	default:
		base, _, _ := strings.Cut(filepath.Base(name), ":")
		info := rapid.SampledFrom([]string{"", "S", "FS", "T", "RT", "Sa"}).Draw(w.t, "flags")
		if names, _ := os.ReadFile(w.server.root + "/dovecot-keywords"); !strings.HasPrefix(string(names), "0 ") {
			info = strings.TrimSuffix(info, "a") // a letter that means nothing yet may get any meaning at any time
		}
		os.Rename(name, w.server.root+"/cur/"+base+":2,"+info)
	}
}

// act is what a client does, and what that may change on disk.
func (w *world) act(v *view) {
	defer w.touch()
	before := w.onDisk()
	kind := rapid.SampledFrom([]string{"noop", "fetch", "store", "expunge", "uid expunge", "append", "copy", "move", "close", "idle",
		"search", "body", "pipeline", "noop", "store", "return", "store unchanged", "changed since"}).Draw(w.t, "command")
	set := v.set()
	uid := rapid.SampledFrom([]string{"", "UID "}).Draw(w.t, "by")
	more, fewer := 0, 0
	switch kind {
	case "noop":
		v.run("NOOP")
	case "fetch":
		v.run(uid + "FETCH " + set + " (UID FLAGS)")
	case "search":
		v.run(uid + "SEARCH UNDELETED")
	case "body":
		v.run(uid + "FETCH " + set + " (UID BODY[])")
		before = nil
	case "store":
		v.store(uid, set)
		before = nil
	case "store unchanged":
		v.storeUnchanged(uid, set)
		before = nil
	case "changed since":
		v.changedSince()
	case "return":
		v.comeBack()
		return
	case "expunge", "close", "uid expunge":
		fewer = w.remove(v, kind, before)
	case "append":
		w.count++
		text := fmt.Sprintf("Id: %d\r\n\r\nx\r\n", w.count)
		v.run(fmt.Sprintf("APPEND INBOX (\\Seen) {%d+}\r\n%s", len(text), text))
		more = 1
	case "copy":
		more = v.copies(v.run(uid + "COPY " + set + " INBOX"))
	case "move":
		v.run(uid + "MOVE " + set + " INBOX")
		more = v.copies(v.code)
		fewer = more
	case "idle":
		v.send("i IDLE\r\nDONE\r\n")
		v.answers("i ", false)
	case "pipeline":
		v.send("p UID FETCH 1:* (FLAGS)\r\nq UID SEARCH ALL\r\nr NOOP\r\n")
		for _, tag := range []string{"p ", "q ", "r "} {
			v.answers(tag, false)
		}
	}
	w.compare(kind, before, more, fewer)
	if slices.Contains([]string{"noop", "close", "expunge", "uid expunge", "copy", "move", "append", "pipeline", "changed since"}, kind) {
		v.knowsAll(kind)
		v.sync.known = v.sync.seen
	}
}

// knowsAll says whether the client, which has just been told all, knows how it is.
func (v *view) knowsAll(kind string) {
	flags, bases := v.w.onDisk(), v.w.byUID()
	if len(v.slots) != len(bases) {
		v.w.t.Fatalf("%s: the client knows %d messages of %d", kind, len(v.slots), len(bases))
	}
	for i, s := range v.slots {
		if s.uid == 0 {
			continue
		}
		base, exists := bases[s.uid]
		if !exists || s.flags != "?" && s.flags != flags[base] {
			v.w.t.Fatalf("%s: message %d, UID %d: the client has %q, there is %q %q", kind, i+1, s.uid, s.flags, base, flags[base])
		}
	}
}

// compare says what a command changed that it must not. A nil before is one after which flags may differ.
func (w *world) compare(kind string, before map[string]string, more, fewer int) {
	now := w.onDisk()
	if before == nil {
		return
	}
	added, removed := 0, 0
	for base, flags := range now {
		old, was := before[base]
		if !was {
			added++
		} else if old != flags {
			w.t.Fatalf("%s: flags of %s were %q, are %q", kind, base, old, flags)
		}
	}
	for base := range before {
		if _, is := now[base]; !is {
			removed++
		}
	}
	if added != more || removed != fewer {
		w.t.Fatalf("%s: %d more and %d fewer, want %d and %d", kind, added, removed, more, fewer)
	}
}

// remove expunges, and returns how many files must go.
func (w *world) remove(v *view, kind string, before map[string]string) (fewer int) {
	for _, flags := range before {
		if strings.Contains(flags, `\Deleted`) {
			fewer++
		}
	}
	switch kind {
	case "expunge":
		v.run("EXPUNGE")
	case "uid expunge":
		v.run("UID EXPUNGE 1:4294967295")
	case "close":
		v.run("CLOSE")
		v.slots = nil
		v.selectBox("SELECT INBOX")
	}
	return fewer
}

// set is some messages, as the client knows them.
func (v *view) set() string {
	n := uint32(max(len(v.slots), 1))
	a, b := rapid.Uint32Range(1, n).Draw(v.w.t, "from"), rapid.Uint32Range(1, n).Draw(v.w.t, "to")
	return fmt.Sprintf("%d:%d", min(a, b), max(a, b))
}

// run sends a command and takes in what it answers; OK, NO and BAD are all right, the model decides what is true.
func (v *view) run(command string) (answer string) {
	v.tag++
	tag := fmt.Sprintf("m%d ", v.tag)
	v.code = ""
	v.send(tag + command + "\r\n")
	word, _, _ := strings.Cut(command, " ")
	return v.answers(tag, word == "FETCH" || word == "STORE" || word == "SEARCH")
}

var (
	countLine   = regexp.MustCompile(`^\* (\d+) (EXISTS|EXPUNGE|RECENT)$`)
	fetchLine   = regexp.MustCompile(`(?s)^\* (\d+) FETCH \((.*)\)$`)
	uidItem     = regexp.MustCompile(`UID (\d+)`)
	flagsItem   = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	bodyItem    = regexp.MustCompile(`(?s)BODY\[\] \{\d+\}\r\n(.*)$`)
	copyUIDCode = regexp.MustCompile(`COPYUID \d+ (\S+) (\S+)\]`)
)

// answers takes in all up to the tagged answer. Where numbers must stay there may be no EXPUNGE.
func (v *view) answers(tag string, stay bool) string {
	for {
		line := v.line()
		if answer, ok := strings.CutPrefix(line, tag); ok {
			v.sync.note(line)
			return answer
		}
		if m := countLine.FindStringSubmatch(line); m != nil {
			v.counted(m[2], atoi(m[1]), stay)
		} else if m := fetchLine.FindStringSubmatch(line); m != nil {
			v.fetched(atoi(m[1]), m[2])
		} else if copyUIDCode.MatchString(line) {
			v.code = line
		} else if m := vanishedLine.FindStringSubmatch(line); m != nil {
			v.vanished(numbers(m[2]), m[1] != "", stay)
		}
		v.sync.note(line)
	}
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func (v *view) counted(what string, n int, stay bool) {
	switch {
	case what == "EXPUNGE" && (stay || n < 1 || n > len(v.slots)):
		v.w.t.Fatalf("EXPUNGE %d of %d, numbers must stay: %v", n, len(v.slots), stay)
	case what == "EXPUNGE":
		v.slots = slices.Delete(v.slots, n-1, n)
	case what == "EXISTS" && n < len(v.slots):
		v.w.t.Fatalf("EXISTS %d, had %d", n, len(v.slots))
	case what == "EXISTS":
		for len(v.slots) < n {
			v.slots = append(v.slots, slot{flags: "?"})
		}
	}
}

func (v *view) fetched(seq int, items string) {
	if seq < 1 || seq > len(v.slots) {
		v.w.t.Fatalf("FETCH %d of %d", seq, len(v.slots))
	}
	s := &v.slots[seq-1]
	if m := uidItem.FindStringSubmatch(items); m != nil {
		uid := atoi(m[1])
		if s.uid != 0 && s.uid != uid {
			v.w.t.Fatalf("message %d was UID %d, is %d", seq, s.uid, uid)
		}
		s.uid = uid
		v.w.last = max(v.w.last, uid)
	}
	before := s.flags
	if m := flagsItem.FindStringSubmatch(items); m != nil {
		s.flags = sortedFlags(m[1])
	}
	if m := modSeqItem.FindStringSubmatch(items); m != nil {
		v.numbered(s, before, atoi(m[1]))
	}
	if m := bodyItem.FindStringSubmatch(items); m != nil && s.uid != 0 {
		if old, known := v.w.bodies[s.uid]; known && old != m[1] {
			v.w.t.Fatalf("UID %d was %q, is %q", s.uid, old, m[1])
		}
		v.w.bodies[s.uid] = m[1]
	}
}

func sortedFlags(list string) string {
	flags := slices.DeleteFunc(strings.Fields(list), func(f string) bool { return strings.EqualFold(f, `\Recent`) })
	slices.Sort(flags)
	return strings.Join(flags, " ")
}

// store changes flags; of what it does silently the client takes it that it was done, unless told otherwise.
func (v *view) store(uid, set string) {
	op := rapid.SampledFrom([]string{"", "+", "-"}).Draw(v.w.t, "op")
	flag := rapid.SampledFrom([]string{`\Seen`, `\Flagged`, `\Deleted`, "work", "$Junk"}).Draw(v.w.t, "flag")
	silent := rapid.SampledFrom([]string{"", ".SILENT"}).Draw(v.w.t, "silent")
	if silent != "" {
		for i := range v.slots {
			s := &v.slots[i]
			switch {
			case uid != "" && s.uid == 0:
				s.flags = "?"
			case s.flags != "?" && v.inSet(uid != "", set, i):
				s.flags = change(s.flags, op, flag)
			}
		}
	}
	v.run(fmt.Sprintf("%sSTORE %s %sFLAGS%s (%s)", uid, set, op, silent, flag))
}

func (v *view) inSet(uid bool, set string, i int) bool {
	from, to, _ := strings.Cut(set, ":")
	n := i + 1
	if uid {
		n = v.slots[i].uid
	}
	return atoi(from) <= n && n <= atoi(to)
}

func change(flags, op, flag string) string {
	if op == "" {
		return flag
	}
	list := slices.DeleteFunc(strings.Fields(flags), func(f string) bool { return f == flag })
	if op == "+" {
		list = append(list, flag)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// copies returns how many files a COPY or MOVE within the mailbox must have made, as its COPYUID says.
func (v *view) copies(answer string) int {
	m := copyUIDCode.FindStringSubmatch(answer)
	if m == nil {
		return 0
	}
	from, to := numbers(m[1]), numbers(m[2])
	if len(from) != len(to) {
		v.w.t.Fatalf("COPYUID %s %s", m[1], m[2])
	}
	if to[0] <= from[len(from)-1] || to[0] <= v.w.last {
		v.w.t.Fatalf("UID %d is not above %d", to[0], v.w.last)
	}
	v.w.last = to[len(to)-1]
	return len(to)
}

func numbers(set string) (list []int) {
	for part := range strings.SplitSeq(set, ",") {
		from, to, isRange := strings.Cut(part, ":")
		if !isRange {
			to = from
		}
		for n := atoi(from); n <= atoi(to); n++ {
			list = append(list, n)
		}
	}
	return list
}

// converge lets every session look, and compares all of them with the Maildir.
func (w *world) converge() {
	for _, v := range w.views {
		v.run("NOOP") // moves what is new, and gives UIDs
	}
	for _, v := range w.views {
		v.run("NOOP")
		told := slices.Clone(v.slots)
		v.run("UID FETCH 1:* (FLAGS BODY.PEEK[])")
		var flags []string
		for i, s := range v.slots {
			if i > 0 && s.uid <= v.slots[i-1].uid || s.uid == 0 {
				w.t.Fatalf("UIDs do not ascend: %v", v.slots)
			}
			if i < len(told) && told[i].flags != "?" && told[i].flags != s.flags {
				w.t.Fatalf("UID %d: the client has %q, it is %q", s.uid, told[i].flags, s.flags)
			}
			flags = append(flags, s.flags)
		}
		var want []string
		for _, f := range w.onDisk() {
			want = append(want, f)
		}
		slices.Sort(flags)
		slices.Sort(want)
		if !slices.Equal(flags, want) {
			w.t.Fatalf("a client has %q, on disk is %q", flags, want)
		}
		if !slices.Equal(uids(v), uids(w.views[0])) {
			w.t.Fatalf("clients have %v and %v", uids(v), uids(w.views[0]))
		}
	}
}

func uids(v *view) (list []int) {
	for _, s := range v.slots {
		list = append(list, s.uid)
	}
	return list
}
