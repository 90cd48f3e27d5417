package imapd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/dovecottest"
	"postrider/internal/mailstore"
	"postrider/internal/usertest"
)

// TestDovecot plays random scripts to Dovecot and to a session of this package, each with a copy of the same Maildir, and
// compares the answers. DOVECOT_SCRIPTS=n plays n of them, DOVECOT_FIRST says the seed of the first.
func TestDovecot(t *testing.T) {
	t.Parallel()
	dovecottest.Need(t, dovecottest.IMAP)
	first, count, enough := setting(os.Getenv("DOVECOT_FIRST"), 1), setting(os.Getenv("DOVECOT_SCRIPTS"), 0), 8*time.Second
	if count > 0 {
		enough = 24 * time.Hour
	} else {
		count = 60
	}
	start, different := time.Now(), 0
	for seed := first; seed < first+count && time.Since(start) < enough && different < maxDifferent; seed++ {
		steps := newScript(uint64(seed))
		if at := play(t, steps); at >= 0 {
			different++
			t.Errorf("seed %d:\n%s", seed, transcript(t, shrink(t, steps[:at+1])))
		}
	}
}

// maxDifferent is how many differences are reported of a run.
const maxDifferent = 20

func setting(s string, otherwise int) int {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	return otherwise
}

// step is a command that one of the clients sends, or, without one, mail that arrives.
type step struct {
	client  int
	command string
}

const clients = 2

// shrink leaves out what is not needed for the last step to show a difference.
func shrink(t *testing.T, steps []step) []step {
	for size := len(steps) / 2; size > 0; size /= 2 {
		for at := 0; at+size < len(steps); {
			fewer := slices.Concat(steps[:at], steps[at+size:])
			if found := play(t, fewer); found == len(fewer)-1 {
				steps = fewer
			} else {
				at += size
			}
		}
	}
	return steps
}

// play returns the index of the first step with different answers, or -1.
func play(t *testing.T, steps []step) int {
	p := newPair(t)
	defer p.close()
	for i, s := range steps {
		if d, o := p.do(i, s); !slices.Equal(d, o) {
			return i
		}
	}
	return -1
}

// transcript is a script with all answers.
func transcript(t *testing.T, steps []step) string {
	p := newPair(t)
	defer p.close()
	var b strings.Builder
	for i, s := range steps {
		d, o := p.do(i, s)
		fmt.Fprintf(&b, "%d: %q\n", s.client, s.command)
		for i := range max(len(d), len(o)) {
			if line := lineAt(d, i); line == lineAt(o, i) {
				fmt.Fprintf(&b, "          %q\n", line)
			} else {
				fmt.Fprintf(&b, "  Dovecot %q\n  ours    %q\n", line, lineAt(o, i))
			}
		}
	}
	return b.String()
}

// pair is two Maildirs, alike at first, and the clients of the servers on them.
type pair struct {
	t         *testing.T
	roots     [2]string // Dovecot's and ours
	peers     [2][clients]*peer
	mail      int
	procs     []*exec.Cmd
	ended     [clients]bool
	examining [clients]bool
	views     [2][clients]told
}

func newPair(t *testing.T) *pair {
	p := &pair{t: t}
	for i := range p.roots {
		p.roots[i] = p.maildir()
	}
	for range 5 {
		p.deliver("cur", fmt.Sprintf(":2,%s", []string{"", "S", "FS", "T", "RS"}[p.mail%5]))
	}
	p.deliver("new", "")
	for i := range clients {
		p.peers[0][i] = p.dovecot()
		p.peers[1][i] = p.ours()
		p.do(i, step{i, "SELECT INBOX"}) // before an APPEND does: Dovecot gives the first UID to whoever comes first
	}
	return p
}

func (p *pair) maildir() string {
	root, err := os.MkdirTemp("", "imapd")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, dir := range []string{"cur", "new", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			p.t.Fatal(err)
		}
	}
	usertest.Give(p.t, root)
	return root
}

var someMail = []string{
	"From: A <a@example.org>\nSubject: one\nDate: Mon, 2 Nov 2026 10:00:00 +0000\n\nhello\n",
	"From: b@example.net\nTo: \"C, D\" <c@example.org>\nSubject: =?utf-8?q?zw=C3=B6lf?=\n\nworld\n",
	"Subject: multi\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nfirst\n--x\nContent-Type: text/html\n\n<p>second\n--x--\n",
	"no header\n",
	"Subject: long\n\n" + strings.Repeat("0123456789abcde\n", 100),
}

// deliver puts the same message into both Maildirs.
func (p *pair) deliver(dir, info string) {
	when := time.Date(2026, 10, 1+p.mail, 23, 30, 0, 0, time.UTC)
	p.put(fmt.Sprintf("%s/%d.M1P1.h%s", dir, 1000000000+p.mail, info), someMail[p.mail%len(someMail)], when)
	p.mail++
}

// put writes a file into both Maildirs.
func (p *pair) put(name, text string, when time.Time) {
	for _, root := range p.roots {
		path := filepath.Join(root, name)
		err := os.WriteFile(path, []byte(text), 0o600)
		if err == nil {
			err = os.Chtimes(path, when, when)
		}
		if err != nil {
			p.t.Fatal(err)
		}
		usertest.Give(p.t, path)
	}
}

func (p *pair) dovecot() *peer {
	conf := filepath.Join(p.roots[0], "dovecot.conf")
	text := fmt.Sprintf("protocols = imap\nbase_dir = %s/run\nmail_location = maildir:~\nlog_path = /dev/null\nssl = no\n", p.roots[0])
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	near, far := socketpair(p.t)
	defer far.Close()
	file, err := far.(*net.UnixConn).File()
	if err != nil {
		p.t.Fatal(err)
	}
	defer file.Close()
	cmd := dovecottest.Command(p.t, dovecottest.IMAP, conf, p.roots[0])
	cmd.Stdin, cmd.Stdout = file, file
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.procs = append(p.procs, cmd)
	peer := newPeer(near)
	if line, err := peer.line(); err != nil || !strings.HasPrefix(line, "* PREAUTH") {
		p.t.Fatalf("Dovecot: %q, %v", line, err)
	}
	return peer
}

// ours is a session in a store of its own, as in another process.
func (p *pair) ours() *peer {
	store, err := mailstore.Open(p.roots[1], mailstore.Options{LockTimeout: 20 * time.Second})
	if err != nil {
		p.t.Fatal(err)
	}
	near, far := socketpair(p.t)
	peer := newPeer(near)
	peer.done = make(chan struct{})
	go func() {
		defer close(peer.done)
		Serve(p.t.Context(), far, &Options{Store: store})
	}()
	return peer
}

func (p *pair) close() {
	for _, peers := range p.peers {
		for _, peer := range peers {
			peer.conn.Close()
			if peer.done != nil {
				<-peer.done
			}
		}
	}
	for _, cmd := range p.procs {
		cmd.Wait() // its connection has ended
	}
	for _, root := range p.roots {
		os.RemoveAll(root)
	}
}

// do carries out one step and returns the answers, made comparable, and then how the mailbox is.
func (p *pair) do(i int, s step) (dovecot, ours []string) {
	if s.command == "" {
		p.deliver("new", "")
		for _, look := range []string{"NOOP", "STATUS INBOX (UIDNEXT)"} { // so that it has its UID
			for client := range clients {
				if !p.ended[client] {
					p.ask(client, fmt.Sprintf("d%d", i), look)
				}
			}
		}
		return nil, nil
	}
	if p.ended[s.client] {
		return nil, nil
	}
	word, _, _ := strings.Cut(strings.TrimPrefix(strings.ToUpper(s.command), "UID "), " ")
	if slices.Contains([]string{"STATUS", "LIST", "SEARCH", "EXPUNGE", "CLOSE"}, word) || word == "FETCH" && setsSeen.MatchString(s.command) {
		p.ask(s.client, fmt.Sprintf("n%d", i), "NOOP")
	}
	d, o := p.ask(s.client, fmt.Sprintf("t%d", i), s.command)
	if slices.Contains(d, "(closed)") || slices.Contains(d, "* BYE") {
		p.ended[s.client] = true // Dovecot gives up when a selected mailbox is renamed or deleted
		return nil, nil
	}
	switch known(word, last(d), last(o), p.examining[s.client]) {
	case parting:
		p.ended = [clients]bool{true, true}
		return nil, nil
	case harmless:
		d, o = nil, nil
	}
	if answer := last(d); strings.Contains(answer, "[READ-") {
		p.examining[s.client] = strings.Contains(answer, "[READ-ONLY]")
	}
	return p.look(s, i, d, o)
}

// difference is what two answers come to.
type difference int

const (
	unknown  difference = iota
	harmless            // it is meant, and the Maildirs stay alike
	parting             // it is meant, and the Maildirs are no longer alike
)

// known tells the differences that are meant.
func known(word, dovecot, ours string, examining bool) difference {
	of := func(words ...string) bool { return slices.Contains(words, word) }
	does, do := strings.Contains(dovecot, " OK"), strings.Contains(ours, " OK")
	gone := func(answer string) bool { return strings.HasSuffix(answer, " NO [EXPUNGEISSUED]") }
	switch {
	case !does && !do && of("APPEND", "STATUS", "RENAME"), strings.HasSuffix(dovecot, " NO [BADCHARSET]") && strings.HasSuffix(ours, " BAD"):
		return harmless // both refuse, of several reasons not for the same
	case of("FETCH") && does && gone(ours):
		return harmless // Dovecot has it in its cache, or makes it up
	case of("STORE") && does && gone(ours):
		return harmless // by number, of who is gone
	case of("COPY", "MOVE") && gone(dovecot) && do:
		return parting // Dovecot copies none if one is gone
	case of("RENAME") && does && strings.HasSuffix(ours, " NO [ALREADYEXISTS]"):
		return parting // Dovecot moves children of a folder that is not there to one that is
	case examining && of("MOVE") && does:
		return parting // Dovecot does it
	case examining && of("STORE", "EXPUNGE", "MOVE") && strings.HasSuffix(ours, " NO"):
		return harmless // Dovecot says OK, and does nothing
	}
	return unknown
}

// setsSeen finds what sets \Seen on messages that have not got it, as far as the session knows.
var setsSeen = regexp.MustCompile(`(?i)BODY\[|RFC822( |\)|$)|RFC822\.TEXT`)

// look adds what there is in the mailbox now, and what our client was told that is not so.
func (p *pair) look(s step, i int, d, o []string) (dovecot, ours []string) {
	moreD, moreO := p.ask(s.client, fmt.Sprintf("c%d", i), "NOOP")
	if slices.Contains(moreD, "(closed)") {
		return nil, nil
	}
	d, o = append(d, moreD...), append(o, moreO...)
	before := slices.Clone(p.views[1][s.client].messages)
	moreD, moreO = p.ask(s.client, fmt.Sprintf("c%d", i), "FETCH 1:* (UID FLAGS)")
	v := &p.views[1][s.client]
	for n, m := range before {
		silent := strings.Contains(strings.ToUpper(s.command), "SILENT")
		if !silent && m.flags != "?" && n < len(v.messages) && m.flags != v.messages[n].flags {
			o = append(o, fmt.Sprintf("message %d: told %q, is %q", n+1, m.flags, v.messages[n].flags))
		}
	}
	d, o = append(d, moreD...), append(o, moreO...)
	return append(d, p.views[0][s.client].list()...), append(o, v.list()...)
}

func lineAt(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

func last(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

// ask sends a command to both servers.
func (p *pair) ask(client int, tag, command string) (dovecot, ours []string) {
	var answers [2][]string
	for side := range p.peers {
		lines, err := p.peers[side][client].exchange(tag, command)
		if err != nil {
			p.ended[client] = true
			lines = append(lines, "(closed)")
			if errors.Is(err, os.ErrDeadlineExceeded) {
				lines = append(lines, "(no answer)")
			}
		}
		v := &p.views[side][client]
		v.begin(command, last(lines))
		for i, l := range lines {
			lines[i] = v.take(l)
		}
		if v.wrong != "" && side == 1 {
			lines = append(lines, "wrong: "+v.wrong)
		}
		answers[side] = likeOthers(command, lines)
	}
	return answers[0], answers[1]
}

// told is what a client was told of its mailbox.
type told struct {
	messages []slot
	wrong    string // what it cannot have been told rightly
}

func (v *told) list() (list []string) {
	for _, s := range v.messages {
		list = append(list, fmt.Sprint(s.uid, " ", s.flags))
	}
	return list
}

// begin forgets the mailbox if the command leaves it.
func (v *told) begin(command, answer string) {
	word, _, _ := strings.Cut(strings.ToUpper(command), " ")
	_, answer, _ = strings.Cut(answer, " ")
	if slices.Contains([]string{"SELECT", "EXAMINE", "CLOSE", "UNSELECT"}, word) && !strings.HasPrefix(answer, "BAD") {
		v.messages = nil
	}
}

var uidLater = regexp.MustCompile(`^((?:[A-Z0-9.]+ (?:\d+|"[^"]*") )*?)(UID \d+)(?: |$)`)

// take notes what a line says of number and flags of messages, and leaves that out: servers tell it when they like.
func (v *told) take(line string) string {
	if strings.HasPrefix(line, "* OK [CLOSED]") {
		v.messages = nil
	}
	if m := countLine.FindStringSubmatch(line); m != nil {
		v.count(m[2], atoi(m[1]))
		return ""
	}
	m := fetchLine.FindStringSubmatch(line)
	if m == nil {
		return line
	}
	n, items := atoi(m[1]), m[2]
	if n < 1 || n > len(v.messages) {
		v.wrong = line
		return ""
	}
	s := &v.messages[n-1]
	if uid := uidItem.FindStringSubmatch(items); uid != nil {
		if s.uid != 0 && s.uid != atoi(uid[1]) {
			v.wrong = fmt.Sprint(line, " had UID ", s.uid)
		}
		s.uid = atoi(uid[1])
	}
	if f := flagsItem.FindStringSubmatchIndex(items); f != nil {
		s.flags = sortedFlags(strings.ToLower(items[f[2]:f[3]]))
		items = strings.Trim(items[:f[0]]+strings.TrimPrefix(items[f[1]:], " "), " ")
		if items == "" || uidItem.FindString(items) == items {
			return ""
		}
	}
	return fmt.Sprintf("* %d FETCH (%s)", n, strings.TrimSuffix(uidLater.ReplaceAllString(items, "$2 $1"), " "))
}

func (v *told) count(what string, n int) {
	switch {
	case what == "EXPUNGE" && (n < 1 || n > len(v.messages)), what == "EXISTS" && n < len(v.messages):
		v.wrong = fmt.Sprint(n, what, " of ", len(v.messages))
	case what == "EXPUNGE":
		v.messages = slices.Delete(v.messages, n-1, n)
	case what == "EXISTS":
		for len(v.messages) < n {
			v.messages = append(v.messages, slot{flags: "?"})
		}
	}
}

// peer is a server as its client sees it.
type peer struct {
	conn net.Conn
	r    *bufio.Reader
	done chan struct{} // closed when a session of ours has ended
}

func newPeer(conn net.Conn) *peer {
	return &peer{conn: conn, r: bufio.NewReader(conn)}
}

// line reads a response with its literals.
func (p *peer) line() (string, error) {
	p.conn.SetReadDeadline(time.Now().Add(patience))
	var b strings.Builder
	for {
		part, err := p.r.ReadString('\n')
		if err != nil {
			return b.String() + part, err
		}
		part = strings.TrimSuffix(part, "\r\n")
		b.WriteString(part)
		size := literalHeader.FindStringSubmatch(part)
		if size == nil {
			return b.String(), nil
		}
		n, _ := strconv.Atoi(size[1])
		text := make([]byte, n)
		if _, err := io.ReadFull(p.r, text); err != nil {
			return b.String(), err
		}
		b.WriteString("\r\n" + string(text))
	}
}

var syncLiteral = regexp.MustCompile(`\{\d+\}\r\n`)

// exchange sends a command, in pieces where it has synchronizing literals or a continuation, and returns all answers; the
// last begins with the tag.
func (p *peer) exchange(tag, command string) (lines []string, err error) {
	rest := tag + " " + command + "\r\n"
	for {
		send := rest
		if at := syncLiteral.FindStringIndex(rest); at != nil {
			send = rest[:at[1]]
		}
		rest = rest[len(send):]
		p.conn.SetWriteDeadline(time.Now().Add(patience))
		if _, err := p.conn.Write([]byte(send)); err != nil {
			return lines, err
		}
		for {
			line, err := p.line()
			if err != nil {
				return lines, err
			}
			if strings.HasPrefix(line, "+ ") {
				if rest == "" {
					rest = "DONE\r\n"
				}
				break
			}
			lines = append(lines, line)
			if strings.HasPrefix(line, tag+" ") {
				return lines, nil
			}
		}
	}
}

var (
	textOfStatus = regexp.MustCompile(`^(\S+ (?:OK|NO|BAD|BYE))((?: \[[^\]]*\]+)?) ?.*$`)
	recentStatus = regexp.MustCompile(` ?RECENT \d+`)
	validities   = regexp.MustCompile(`(UIDVALIDITY|APPENDUID|COPYUID) \d+`)
	recentFlag   = regexp.MustCompile(` ?\\Recent`)
	keywordName  = regexp.MustCompile(` [$\w][^ )]*`)
	noSelect     = regexp.MustCompile(` ?\\(Noselect|NonExistent)`)
	createdID    = regexp.MustCompile(`^(t\S* OK) \[MAILBOXID \([0-9a-f]+\)\]`)
	firstItem    = regexp.MustCompile(`\(\s+`)
	today        = regexp.MustCompile(`INTERNALDATE "` + time.Now().UTC().Format("02-Jan-2006") + ` [^"]*"`)
)

// likeOthers leaves out what may differ: texts for people, mod-sequences, who was the first to see a message, and the flags
// of the mailbox outside of SELECT, which either server tells again when it likes.
func likeOthers(command string, lines []string) (kept []string) {
	selecting := strings.Contains(strings.ToUpper(command), "SELECT") || strings.Contains(strings.ToUpper(command), "EXAMINE")
	for _, l := range lines {
		if m := textOfStatus.FindStringSubmatch(l); m != nil {
			l = m[1] + sameCodes(m[2], strings.HasSuffix(m[1], " OK"))
		}
		l = validities.ReplaceAllString(l, "$1 V")
		l = today.ReplaceAllString(l, `INTERNALDATE "today"`)
		l = createdID.ReplaceAllString(l, "$1")
		l = firstItem.ReplaceAllString(recentFlag.ReplaceAllString(l, ""), "(")
		if strings.HasPrefix(l, "* STATUS") {
			l = strings.Replace(firstItem.ReplaceAllString(recentStatus.ReplaceAllString(l, ""), "("), "inbox", "INBOX", 1)
		}
		flags := strings.HasPrefix(l, "* FLAGS") || strings.HasPrefix(l, "* OK [PERMANENTFLAGS")
		if list := strings.Index(l, "("); flags { // Dovecot gives a letter also to a keyword that is only looked for
			l = l[:list] + keywordName.ReplaceAllString(l[list:], "")
		}
		if strings.HasPrefix(l, "* LIST (") { // of a parent that was deleted Dovecot may not know that yet
			l = firstItem.ReplaceAllString(noSelect.ReplaceAllString(l, ""), "(")
		}
		switch {
		case l == "", strings.HasPrefix(l, `* LIST () "." `) && strings.HasSuffix(command, ` ""`), flags && !selecting, strings.HasPrefix(l, "* OK [HIGHESTMODSEQ"),
			strings.HasPrefix(l, "* OK [MAILBOXID"): // which 2.3 does not know
			continue
		}
		kept = append(kept, l)
	}
	listed := func(l string) bool {
		return strings.HasPrefix(l, "* LIST") || strings.HasPrefix(l, "* LSUB") || strings.HasPrefix(l, "* STATUS")
	}
	if slices.ContainsFunc(kept, listed) { // in any order
		slices.Sort(kept)
	}
	return kept
}

// sameCodes leaves out the codes that only one of the servers has.
func sameCodes(code string, ok bool) string {
	word, _, _ := strings.Cut(strings.Trim(code, " []"), " ")
	if slices.Contains([]string{"SERVERBUG", "NONEXISTENT", "CANNOT", "PARSE", "CLIENTBUG", "LIMIT"}, word) {
		return ""
	}
	if code == " [EXPUNGEISSUED]" && ok {
		return "" // Dovecot warns so in a SEARCH
	}
	if word == "BADCHARSET" {
		return " [BADCHARSET]" // ours also names the charsets
	}
	return code
}
