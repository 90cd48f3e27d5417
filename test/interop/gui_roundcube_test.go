//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"postrider/test/suite"
)

// roundcube is one in a browser.
type roundcube struct {
	*browser
	url string
}

// startRoundcube has PHP itself serve it, with all extensions that the packages have.
const startRoundcube = `mkdir /srv/php && cat /usr/share/php*-*/*/*.ini >/srv/php/all.ini
cd /var/lib/roundcube/public_html
PHP_INI_SCAN_DIR=/srv/php PHP_CLI_SERVER_WORKERS=4 exec /usr/bin/php[0-9]*.[0-9] -d error_log=/srv/php.log -S %s >/dev/null 2>&1`

// newRoundcube starts one whose users are those of a mail server.
func newRoundcube(t *testing.T, s *mailServer) *roundcube {
	t.Helper()
	p := newPeer(t, "127.0.0.1", "roundcube-core roundcube-sqlite3 php-cli php-sqlite3", "", "roundcube.test")
	p.command = fmt.Sprintf(startRoundcube, p.addr)
	p.files["etc/tls/server.pem"] = readFile(t, s.ca)
	p.files["etc/roundcube/config.inc.php"] = fmt.Sprintf(readFile(t, "gui/roundcube.php"), s.port("imaps"), s.port("submission"), s.domain)
	p.start()
	return &roundcube{newBrowser(t), "http://" + p.addr + "/"}
}

// TestRoundcube has alice use Roundcube: what it shows is what the files say.
func TestRoundcube(t *testing.T) {
	t.Parallel()
	for _, server := range guiServers {
		t.Run(server.name, func(t *testing.T) {
			s := server.start(t, []string{"alice", "bob"})
			alice, bob := s.account(t, "alice"), s.account(t, "bob")
			octets := make([]byte, 300_000)
			rand.NewChaCha8([32]byte{}).Read(octets)
			rc := newRoundcube(t, s)
			rc.logsIn(alice)
			rc.fetches(alice, alice.letter("bob", "letter one"), alice.letter("bob", "letter two"), alice.letter("bob", "letter three"),
				alice.parcel("bob", "a parcel", "Übersicht 1.bin", octets))
			rc.click(inbox) // where there was nothing, only the number of new messages is shown by itself
			rc.lists("letter one", "letter two", "letter three", "a parcel")
			rc.shoot("2 list")
			rc.reads(alice)
			rc.replies(alice, bob)
			rc.movesAndDeletes(alice)
			rc.searches(alice)
			rc.downloads("Übersicht 1.bin", octets)
		})
	}
}

// rests waits until the page has loaded and its requests are answered: it ignores what is done before.
func (rc *roundcube) rests() {
	rc.t.Helper()
	rc.until("document.readyState == 'complete' && !rcmail.busy && !jQuery.active")
}

func (rc *roundcube) click(selector string) {
	rc.t.Helper()
	rc.rests()
	rc.browser.click(selector)
}

func (rc *roundcube) types(selector, text string) {
	rc.t.Helper()
	rc.rests()
	rc.browser.types(selector, text)
}

func (rc *roundcube) drag(from, to string) {
	rc.t.Helper()
	rc.rests()
	rc.browser.drag(from, to)
}

// row is the place of a message in the list.
func row(subject string) string {
	return "//table[@id='messagelist']/tbody/tr[not(contains(@style,'none'))][.//a[normalize-space(.)='" + subject + "']]"
}

// inbox is its place in the list of folders.
const inbox = "//ul[@id='mailboxlist']/li[contains(@class,'inbox')]/a"

// lists waits until just these messages are in the list.
func (rc *roundcube) lists(subjects ...string) {
	rc.t.Helper()
	slices.Sort(subjects)
	want, err := json.Marshal(subjects)
	must(rc.t, err)
	rc.until("JSON.stringify(Array.from(document.querySelectorAll('#messagelist tbody tr:not([style*=none]) .subject a'), a => a.innerText.trim()).sort()) == " + fmt.Sprintf("%q", want))
}

// logsIn logs in for the first time, which makes the folders that everybody has. No mail is there yet: Roundcube opens INBOX in two
// sessions at once, and while one of Dovecot's takes new mail in, the other one may see none.
func (rc *roundcube) logsIn(a *account) {
	rc.load(rc.url)
	rc.types("#rcmloginuser", a.user)
	rc.types("#rcmloginpwd", suite.Password)
	rc.click("#rcmloginsubmit")
	for _, folder := range []string{"Inbox", "Drafts", "Sent", "Junk", "Trash", "The list is empty."} {
		rc.shows(folder)
	}
	rc.shoot("1 empty")
}

// fetches has mail shown that comes while the page rests.
func (rc *roundcube) fetches(a *account, letters ...string) {
	rc.t.Helper()
	rc.rests()
	for _, letter := range letters {
		a.deliver("", letter)
	}
	rc.click("#layout-list .header a.refresh")
}

// reads reads a message and gives it a star.
func (rc *roundcube) reads(a *account) {
	const one = "This is letter one\n"
	rc.click(row("letter one"))
	rc.within("#messagecontframe", func() {
		rc.shows("Grüße!")
		rc.shows("This is letter one")
	})
	a.has("", one, "S")
	rc.click(row("letter one") + "/td[contains(@class,'flags')]/span[@class='flag']")
	a.has("", one, "FS")
	rc.shoot("3 read, starred")
}

// replies answers the message that is shown.
func (rc *roundcube) replies(a, to *account) {
	const answer = "Answered by Roundcube.\n"
	rc.click("#toolbar-menu a.reply")
	rc.until("document.querySelector('#composebody').value.includes('> This is letter one')")
	rc.types("#composebody", answer)
	rc.shoot("4 writing")
	rc.click("button.send")
	contains(rc.t, to.has("", answer, "").text, "\nFrom: "+a.user+" <"+a.address()+">\n", "\nSubject: Re: letter one\n", "\nIn-Reply-To: <")
	a.has("Sent", answer, "S")
	a.has("", "This is letter one\n", "FRS")
	rc.lists("letter one", "letter two", "letter three", "a parcel")
	rc.finds(row("letter one") + "//span[contains(@class,'replied')]")
	rc.shoot("5 replied")
}

// movesAndDeletes makes a folder, drags a message there, and deletes another one.
func (rc *roundcube) movesAndDeletes(a *account) {
	const folder, dir = "Entwürfe & mehr", "Entw&APw-rfe &- mehr"
	rc.load(rc.url + "?_task=settings&_action=edit-folder&_mbox=")
	rc.types("input[name=_name]", folder)
	rc.click("button.submit")
	a.wait("the new folder", func() bool { return slices.Contains(a.folders(), dir) })
	rc.load(rc.url + "?_task=mail")
	place := "//ul[@id='mailboxlist']//a[normalize-space(.)='" + folder + "']"
	rc.drag(row("letter one"), place)
	a.has(dir, "This is letter one\n", "FRS")
	a.gone("", "This is letter one\n")
	rc.lists("letter two", "letter three", "a parcel")
	rc.click(row("letter two"))
	a.has("", "This is letter two\n", "S")
	rc.click("#toolbar-menu a.delete")
	a.has("Trash", "This is letter two\n", "S")
	a.gone("", "This is letter two\n")
	rc.lists("letter three", "a parcel")
	rc.shoot("6 moved, deleted")
	rc.click(place)
	rc.lists("letter one")
	rc.click(inbox)
}

// searches looks for words in subjects and in texts.
func (rc *roundcube) searches(a *account) {
	rc.fetches(a, a.letter("bob", "Grüße aus Köln"))
	rc.lists("Grüße aus Köln", "letter three", "a parcel")
	rc.types("#mailsearchform", "KÖLN"+keyEnter)
	rc.lists("Grüße aus Köln")
	rc.shoot("7 found")
	rc.click("#layout-list .searchbar a.reset")
	rc.lists("Grüße aus Köln", "letter three", "a parcel")
	rc.click("#layout-list .searchbar a.options")
	rc.click("//input[@name='s_mods[]'][@value='text']")
	rc.types("#mailsearchform", "is letter three"+keyEnter)
	rc.lists("letter three")
	rc.shoot("8 found in the text")
	rc.click("#layout-list .searchbar a.reset")
}

// downloads opens a message with a file, and keeps that.
func (rc *roundcube) downloads(name string, octets []byte) {
	rc.click(row("a parcel"))
	rc.within("#messagecontframe", func() {
		rc.until("document.querySelector('#messagebody b')?.innerText == 'This'")
		rc.shows(name)
		rc.click("#attachment-list a.filename")
	})
	rc.shoot("9 file")
	path := filepath.Join(rc.peer.dir, "srv/downloads", name)
	suite.WaitLong(rc.t, 30*time.Second, path, func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
	if got := readFile(rc.t, path); got != string(octets) {
		rc.t.Errorf("%d octets, not those of the %d that were sent", len(got), len(octets))
	}
}
