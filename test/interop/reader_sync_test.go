//go:build interop

package interop

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/test/suite"
)

const mbsyncConf = `FSync no

IMAPStore far
Host localhost
Port %s
User %s
Pass "%s"
SSLType IMAPS
CertificateFile %s

MaildirStore near
Inbox %[5]s
SubFolders Maildir++

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState %[6]s/
`

func syncWithMbsync(a *account) {
	mbsync, dir := need(a.t, "mbsync", "isync"), a.t.TempDir()
	near := &maildir{a.t, dir + "/near", os.Getuid()}
	near.deliver("", seedMessage(30_000))
	must(a.t, os.Mkdir(dir+"/state", 0o700))
	conf := dir + "/mbsyncrc"
	must(a.t, writeFile(conf, fmt.Sprintf(mbsyncConf, a.port("imaps"), a.user, suite.Password, a.ca, near.root, dir+"/state")))
	sync := func() { runs(a.t, "", mbsync, "-c", conf, "-a") }
	syncs(a, near, 2000, sync)
	near.mark("", seedMessage(55), "ST")
	sync()
	a.gone("", seedMessage(55))
	near.gone("", seedMessage(55))
}

const offlineimapConf = `[general]
accounts = a
metadata = %[1]s/state
socktimeout = 60
fsync = False
[Account a]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = %[1]s/folders
[Repository far]
type = IMAP
remotehost = localhost
remoteport = %[2]s
remoteuser = %[3]s
remotepass = %[4]s
ssl = yes
sslcacertfile = %[5]s
starttls = no
`

func syncWithOfflineimap(a *account) {
	offlineimap, dir := need(a.t, "offlineimap", "offlineimap3"), a.t.TempDir()
	// It has a directory for each folder, and those of our kind are links to them.
	near := &maildir{a.t, dir + "/folders/INBOX", os.Getuid()}
	must(a.t, os.MkdirAll(near.root, 0o700))
	near.deliver("", seedMessage(30_000))
	conf := dir + "/offlineimaprc"
	must(a.t, writeFile(conf, fmt.Sprintf(offlineimapConf, dir, a.port("imaps"), a.user, suite.Password, a.ca)))
	syncs(a, near, 200, func() {
		folders, _ := filepath.Glob(near.root + "/.*")
		for _, folder := range folders {
			must(a.t, os.Rename(folder, dir+"/folders/"+filepath.Base(folder)[1:]))
		}
		runs(a.t, "", offlineimap, "-c", conf, "-o", "-u", "basic")
		folders, _ = filepath.Glob(dir + "/folders/*")
		for _, folder := range folders {
			if folder != near.root {
				must(a.t, os.Rename(folder, near.root+"/."+filepath.Base(folder)))
			}
		}
	})
}

// syncs has a program keep a user's mail and a Maildir alike, where both begin with mail, and both change.
func syncs(a *account, near *maildir, n int, sync func()) {
	t := a.t
	texts := a.seed(n)
	for _, i := range []int{3, 5, 8} {
		a.mark("", texts[i], "FS")
	}
	a.mark("", texts[13], "RS")
	timed := func(what string) {
		t.Helper()
		began := time.Now()
		sync()
		t.Logf("%s: %v", what, time.Since(began).Round(time.Millisecond))
		alike(t, what, a.contents(), near.contents())
	}
	timed(fmt.Sprint("the first ", n, " messages"))
	a.count("", n+1)
	for _, i := range []int{3, 5, 8} {
		near.has("", texts[i], "FS")
	}
	if len(a.find("", seedMessage(30_000))) != 1 {
		t.Error("the message that was here is not there")
	}
	idle(a, near, timed)

	// On the server: flags, removals, mail, a folder.
	a.mark("", texts[3], "S")
	a.mark("", texts[21], "FRS")
	a.remove("", texts[34])
	for i := range 20 {
		a.deliver("", seedMessage(10_000+i))
	}
	a.deliver("Gr&APwA3w-e", seedMessage(20_000))
	// And here.
	near.mark("", texts[5], "RS")
	near.remove("", texts[56])
	for i := range 20 {
		near.deliver("", seedMessage(11_000+i))
	}
	near.deliver("near", seedMessage(21_000))
	timed("changes on both sides")
	a.count("", n+1+20+20-2)
	a.has("", texts[5], "RS")
	near.has("", texts[3], "S")
	near.has("", texts[21], "FRS")
	near.has("Gr&APwA3w-e", seedMessage(20_000), "")
	a.has("near", seedMessage(21_000), "")
	for _, text := range []string{texts[34], texts[56]} {
		a.gone("", text)
		near.gone("", text)
	}
	idle(a, near, timed)
}

// idle has the program run when there is nothing to do. Then it does nothing.
func idle(a *account, near *maildir, sync func(string)) {
	a.t.Helper()
	before, nearBefore := a.listing(), near.listing()
	sync("nothing to do")
	if after := a.listing(); after != before {
		a.t.Errorf("the server's files changed from\n%.2000s\nto\n%.2000s", before, after)
	}
	if after := near.listing(); after != nearBefore {
		a.t.Errorf("the files here changed from\n%.2000s\nto\n%.2000s", nearBefore, after)
	}
}

// listing are the names and times of all messages.
func (m *maildir) listing() string {
	var b strings.Builder
	for _, folder := range append([]string{""}, m.folders()...) {
		for _, path := range suite.Maildir(m.dir(folder)) {
			i, err := os.Stat(path)
			must(m.t, err)
			fmt.Fprintln(&b, path, i.Size(), i.ModTime())
		}
	}
	return b.String()
}

// alike fails if two Maildirs have not the same messages with the same flags in the same folders.
func alike(t *testing.T, what string, there, here map[string][]string) {
	t.Helper()
	if a, b := slices.Sorted(maps.Keys(there)), slices.Sorted(maps.Keys(here)); !slices.Equal(a, b) {
		t.Errorf("%s: folders %q there, %q here", what, a, b)
	}
	for folder, mails := range there {
		if slices.Equal(mails, here[folder]) {
			continue
		}
		t.Errorf("%s: %q has %d messages there, %d here", what, folder, len(mails), len(here[folder]))
		for i, mail := range mails {
			if i >= len(here[folder]) || here[folder][i] != mail {
				t.Errorf("the first that differs is %.500q", mail)
				if i < len(here[folder]) {
					t.Errorf("and here %.500q", here[folder][i])
				}
				break
			}
		}
	}
}
