//go:build interop

package interop

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/test/suite"
)

// thunderbird is a running one, with its screen.
type thunderbird struct {
	*marionette
	peer *peer
}

// startThunderbird has it on a screen that nobody else can see.
const startThunderbird = `export HOME=/srv/home NO_AT_BRIDGE=1
mkdir -p /srv/home /srv/screen
Xvfb -displayfd 3 -screen 0 1280x900x24 -fbdir /srv/screen -nolisten tcp 3>/srv/display 2>/srv/xvfb.log &
while [ ! -s /srv/display ]; do sleep 0.1; done
export DISPLAY=:$(cat /srv/display)
export MOZ_LOG=sync,timestamp,IMAP:4 MOZ_LOG_FILE=/srv/imap
exec /usr/lib/thunderbird/thunderbird --marionette --remote-allow-system-access --no-remote --profile /srv/profile >/srv/thunderbird.log 2>&1`

// newThunderbird starts one that has accounts for alice and bob, and knows their passwords.
func newThunderbird(t *testing.T, s *mailServer) *thunderbird {
	p := newPeer(t, "127.0.0.1", "thunderbird xvfb fonts-dejavu-core", startThunderbird, "thunderbird.test")
	p.files["etc/tls/server.pem"] = readFile(t, s.ca)
	p.files["etc/thunderbird/policies/policies.json"] = `{"policies": {"Certificates": {"Install": ["/etc/tls/server.pem"]}}}`
	must(t, os.Mkdir(p.dir+"/srv/profile", 0o755))
	prefs := fmt.Sprintf(readFile(t, "gui/thunderbird.prefs"), p.port(), s.domain, s.port("imaps"), s.port("imap"), s.port("submission"))
	must(t, os.WriteFile(p.dir+"/srv/profile/user.js", []byte(prefs), 0o644))
	p.start()
	tb := &thunderbird{dialMarionette(t, p.addr, readFile(t, "gui/thunderbird.js")), p}
	t.Cleanup(func() {
		if t.Failed() {
			picture(t, "failure", screen(t, p.dir+"/srv/screen/Xvfb_screen0"))
		}
	})
	tb.script("remember", nil, suite.Password)
	return tb
}

// shoot keeps a picture of the screen.
func (tb *thunderbird) shoot(name string) {
	tb.t.Helper()
	tb.script("paint", nil)
	picture(tb.t, name, screen(tb.t, tb.peer.dir+"/srv/screen/Xvfb_screen0"))
}

// expand asks the server for an account's folders.
func (tb *thunderbird) expand(user string) {
	tb.t.Helper()
	tb.script("expand", nil, user)
}

// open shows a folder.
func (tb *thunderbird) open(user, name string) {
	tb.t.Helper()
	tb.script("show", nil, user, name)
}

// sees waits until a message is in the list.
func (tb *thunderbird) sees(subject string) {
	tb.t.Helper()
	tb.script(`async subject => void await row(subject)`, nil, subject)
}

// logged is what Thunderbird's log says of a connection that has selected a folder: it sends a command, or begins to wait for news.
var logged = regexp.MustCompile(`I/IMAP (\w+):localhost:S-(.*):(SendData|HandleIdleResponses: idle mode async waiting)`)

// rests waits until every connection that has selected a folder waits for news. Before, Thunderbird does not always heed what it
// hears: neither EXISTS in the answer to its FETCH, nor what comes in the moment after the answer to its IDLE.
func (tb *thunderbird) rests(folder string) {
	tb.t.Helper()
	suite.WaitLong(tb.t, 30*time.Second, folder+" to be watched", func() bool {
		log, err := os.ReadFile(tb.peer.dir + "/srv/imap.moz_log")
		if err != nil {
			return false
		}
		last := make(map[string][]string)
		for _, s := range logged.FindAllStringSubmatch(string(log), -1) {
			last[s[1]] = s[2:]
		}
		idle, busy := 0, 0
		for _, s := range last {
			switch {
			case s[0] != folder:
			case s[1] == "SendData":
				busy++
			default:
				idle++
			}
		}
		return idle > 0 && busy == 0
	})
}

// misses waits until a message is not in the list any more.
func (tb *thunderbird) misses(subject string) {
	tb.t.Helper()
	tb.script(`subject => until(subject + " to go", () => index(subject) < 0)`, nil, subject)
}

// read clicks on a message in the list, and waits until a line of its text is shown. The list may move under the mouse.
func (tb *thunderbird) read(subject, line string) {
	tb.t.Helper()
	for range 5 {
		tb.click("row", subject)
		var shown bool
		tb.script("shown", &shown, subject, strings.TrimSpace(line))
		if shown {
			return
		}
	}
	tb.t.Fatalf("%s is not shown", subject)
}

// shows waits until the list says of a message that it has a property: unread, flagged, a tag.
func (tb *thunderbird) shows(subject, property string) {
	tb.t.Helper()
	tb.script("marked", nil, subject, property)
}

// write has the window for a new message or a reply opened by keys, fills in by keys what is not empty, and sends it by keys.
func (tb *thunderbird) write(to, subject, text string, open ...string) {
	tb.t.Helper()
	tb.rests("INBOX")
	var before, after []string
	tb.call("WebDriver:GetWindowHandles", nil, &before)
	tb.press(open...)
	tb.script("writing", nil)
	tb.call("WebDriver:GetWindowHandles", nil, &after)
	for _, handle := range after {
		if !slices.Contains(before, handle) {
			tb.call("WebDriver:SwitchToWindow", map[string]any{"handle": handle}, nil)
		}
	}
	if to != "" {
		tb.click("id", "toAddrInput")
		tb.types(to)
		tb.click("id", "msgSubject")
		tb.types(subject)
		tb.click("id", "messageEditor")
	}
	tb.types(text)
	tb.shoot("writing " + text)
	tb.press(keyControl, keyReturn)
	tb.call("WebDriver:SwitchToWindow", map[string]any{"handle": before[0]}, nil)
	suite.Wait(tb.t, "the window to close", func() bool {
		tb.call("WebDriver:GetWindowHandles", nil, &after)
		return len(after) == len(before)
	})
}

// TestThunderbird has alice and bob use Thunderbird, by mouse and keys: what it shows is what the files say.
func TestThunderbird(t *testing.T) {
	t.Parallel()
	for _, server := range guiServers {
		t.Run(server.name, func(t *testing.T) {
			s := server.start(t, []string{"alice", "bob"})
			alice, bob := s.account(t, "alice"), s.account(t, "bob")
			for _, subject := range []string{"letter one", "letter two", "letter three", "letter four"} {
				alice.deliver("", alice.letter("bob", subject))
			}
			tb := newThunderbird(t, s)
			tb.opensInbox(alice)
			tb.marks(alice)
			tb.movesAndDeletes(alice)
			tb.isTold(alice)
			tb.sendsAndReplies(alice, bob)
		})
	}
}

// opensInbox opens an account at its first login, which makes the folders that everybody has.
func (tb *thunderbird) opensInbox(a *account) {
	tb.expand(a.user)
	tb.open(a.user, "INBOX")
	for _, subject := range []string{"letter one", "letter two", "letter three", "letter four"} {
		tb.sees(subject)
		tb.shows(subject, "unread")
	}
	for _, folder := range []string{"Drafts", "Sent", "Junk", "Trash"} {
		tb.script("async (user, name) => void await folder(user, name)", nil, a.user, folder)
	}
	tb.shoot("1 inbox")
}

// marks reads a message, gives it a star and a tag, and takes the star away.
func (tb *thunderbird) marks(a *account) {
	const one = "This is letter one\n"
	tb.read("letter one", "This is letter one")
	a.tagged("", one, "S")
	tb.shows("letter one", "read")
	tb.press("s")
	a.tagged("", one, "FS")
	tb.shows("letter one", "flagged")
	tb.press("1")
	a.tagged("", one, "FS", "$label1")
	tb.shows("letter one", "tagged")
	tb.shoot("2 read, starred, tagged")
	tb.read("letter two", "This is letter two")
	tb.press("s")
	a.tagged("", "This is letter two\n", "FS")
	tb.shows("letter two", "flagged")
	tb.press("s")
	a.tagged("", "This is letter two\n", "S")
}

// movesAndDeletes moves a message to a new folder, where it keeps its marks, and another one to the bin.
func (tb *thunderbird) movesAndDeletes(a *account) {
	const folder, dir = "Entwürfe & mehr", "Entw&APw-rfe &- mehr"
	tb.script("create", nil, a.user, folder)
	tb.read("letter one", "This is letter one")
	tb.script("move", nil, a.user, folder)
	a.tagged(dir, "This is letter one\n", "FS", "$label1")
	a.gone("", "This is letter one\n")
	tb.misses("letter one")
	tb.read("letter two", "This is letter two")
	tb.press(keyDelete)
	a.tagged("Trash", "This is letter two\n", "S")
	a.gone("", "This is letter two\n")
	tb.misses("letter two")
	tb.shoot("3 moved, deleted")
	tb.open(a.user, folder)
	tb.read("letter one", "This is letter one")
	tb.shows("letter one", "flagged")
	tb.shows("letter one", "tagged")
	tb.shoot("4 the new folder")
	tb.open(a.user, "INBOX")
}

// isTold has others put a message into the folder that is shown, mark one and remove one.
func (tb *thunderbird) isTold(a *account) {
	tb.rests("INBOX")
	began := time.Now()
	a.deliver("", a.letter("bob", "letter five"))
	tb.sees("letter five")
	tb.t.Logf("a new message was shown after %v", time.Since(began).Round(time.Millisecond))
	tb.rests("INBOX")
	a.mark("", "This is letter four\n", "F")
	tb.shows("letter four", "flagged")
	tb.rests("INBOX")
	a.remove("", "This is letter three\n")
	tb.misses("letter three")
	tb.shoot("5 told of changes")
}

// sendsAndReplies sends a message from one account to the other, where it is answered.
func (tb *thunderbird) sendsAndReplies(from, to *account) {
	const question, answer = "Is this sent by Thunderbird?\n", "\nYes, it is.\n"
	tb.expand(to.user)
	tb.open(to.user, "INBOX")
	tb.open(from.user, "INBOX")
	tb.write(to.address(), "letter six", strings.TrimSpace(question), keyControl, "n")
	mail := to.has("", question, "").text
	contains(tb.t, mail, "\nFrom: Alice <"+from.address()+">\n", "\nTo: "+to.address()+"\n", "\nSubject: letter six\n", "with ESMTPSA id")
	from.has("Sent", question, "S")
	tb.open(from.user, "Sent")
	tb.read("letter six", question)
	tb.shoot("6 sent")

	tb.open(to.user, "INBOX")
	tb.read("letter six", question)
	tb.write("", "", strings.TrimSpace(answer), keyControl, "r")
	to.has("", question, "RS")
	tb.shows("letter six", "replied")
	to.has("Sent", answer, "S")
	tb.shoot("7 replied")
	tb.open(from.user, "INBOX")
	contains(tb.t, from.has("", answer, "").text, "\nSubject: Re: letter six\n", "> "+question, "In-Reply-To: <")
	tb.read("letter six", answer) // "Re:" is kept apart
	tb.shoot("8 the answer")
}
