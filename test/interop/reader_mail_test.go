//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/test/suite"
)

// account is a user of a mail server, and his mail as its files show it.
type account struct {
	*mailServer
	*maildir
	user string
}

// maildir is a Maildir with folders.
type maildir struct {
	t     *testing.T
	root  string
	owner int // uid and gid of what is put into it
}

// mailFile is a message in a Maildir.
type mailFile struct {
	name  string // before the flags
	flags string // sorted
	text  string // with LF, and without what is added
}

// account is one of the server's users in a test.
func (s *mailServer) account(t *testing.T, user string) *account {
	m := &maildir{t, s.mailbox(user), s.owner}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the mail of %s:%s", user, m)
		}
	})
	return &account{s, m, user}
}

func (a *account) address() string { return a.user + "@" + a.domain }

// dir is a folder's directory. INBOX is "".
func (m *maildir) dir(folder string) string {
	if folder == "" {
		return m.root
	}
	return filepath.Join(m.root, "."+folder)
}

// own gives a file to the user.
func (m *maildir) own(path string) {
	m.t.Helper()
	if os.Getuid() == 0 {
		must(m.t, os.Lchown(path, m.owner, m.owner))
	}
}

var deliveries atomic.Int64

// deliver puts a message into a folder as other people's delivery agents do, and returns its name. It makes the folder.
func (m *maildir) deliver(folder, text string) string {
	m.t.Helper()
	dir := m.dir(folder)
	for _, d := range []string{m.dir(""), dir, dir + "/tmp", dir + "/new", dir + "/cur"} {
		if err := os.Mkdir(d, 0o700); err == nil {
			m.own(d)
		}
	}
	name := fmt.Sprintf("%d.M%dP%d.elsewhere", time.Now().Unix(), deliveries.Add(1), os.Getpid())
	must(m.t, os.WriteFile(filepath.Join(dir, "tmp", name), []byte(lf(text)), 0o600))
	m.own(filepath.Join(dir, "tmp", name))
	must(m.t, os.Rename(filepath.Join(dir, "tmp", name), filepath.Join(dir, "new", name)))
	return name
}

// seed delivers n messages to INBOX and returns them.
func (m *maildir) seed(n int) []string {
	m.t.Helper()
	texts := make([]string, n)
	for i := range texts {
		texts[i] = seedMessage(i)
		m.deliver("", texts[i])
	}
	return texts
}

// mails are the messages of a folder, by their names.
func (m *maildir) mails(folder string) []mailFile {
	m.t.Helper()
	return mailsIn(m.t, m.dir(folder))
}

// mailsIn are the messages of a Maildir, by their names.
func mailsIn(t *testing.T, dir string) []mailFile {
	t.Helper()
again:
	for range 1000 {
		var mails []mailFile
		for _, path := range suite.Maildir(dir) {
			text, err := os.ReadFile(path)
			if err != nil {
				continue again // renamed or removed meanwhile
			}
			name, info, _ := strings.Cut(filepath.Base(path), ":")
			flags := []byte(strings.TrimPrefix(info, "2,"))
			slices.Sort(flags)
			mails = append(mails, mailFile{name, string(flags), withoutAdded(lf(string(text)))})
		}
		slices.SortFunc(mails, func(a, b mailFile) int { return strings.Compare(a.name, b.name) })
		return mails
	}
	t.Fatalf("%s does not come to rest", dir)
	return nil
}

func lf(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

// find returns a folder's messages that end in a text.
func (m *maildir) find(folder, text string) (found []mailFile) {
	m.t.Helper()
	for _, mail := range m.mails(folder) {
		if strings.HasSuffix(mail.text, lf(text)) {
			found = append(found, mail)
		}
	}
	return found
}

// has waits until a folder has one message that ends in a text, with these flags in the name, and returns it.
func (m *maildir) has(folder, text, flags string) (found mailFile) {
	m.t.Helper()
	m.wait(fmt.Sprintf("one %.80q with flags %q in %q", text, flags, folder), func() bool {
		mails := m.find(folder, text)
		if len(mails) == 1 {
			found = mails[0]
		}
		return len(mails) == 1 && found.flags == flags
	})
	return found
}

// titled waits until a folder has one message with a subject, with these flags, and returns it.
func (m *maildir) titled(folder, subject, flags string) (found mailFile) {
	m.t.Helper()
	m.wait(fmt.Sprintf("one message %q with flags %q in %q", subject, flags, folder), func() bool {
		n := 0
		for _, mail := range m.mails(folder) {
			if header, _, _ := strings.Cut(mail.text, "\n\n"); strings.Contains("\n"+header+"\n", "\nSubject: "+subject+"\n") {
				found, n = mail, n+1
			}
		}
		return n == 1 && found.flags == flags
	})
	return found
}

// gone waits until a folder has no message that ends in a text.
func (m *maildir) gone(folder, text string) {
	m.t.Helper()
	m.wait(fmt.Sprintf("%.80q to be gone from %q", text, folder), func() bool { return len(m.find(folder, text)) == 0 })
}

// contents are the messages of each folder, each with its flags.
func (m *maildir) contents() map[string][]string {
	m.t.Helper()
	all := make(map[string][]string)
	for _, folder := range append([]string{""}, m.folders()...) {
		all[folder] = []string{}
		for _, mail := range m.mails(folder) {
			all[folder] = append(all[folder], mail.flags+" "+mail.text)
		}
		slices.Sort(all[folder])
	}
	return all
}

// added are fields that programs that copy mail put between those of a message.
var added = regexp.MustCompile(`(?m)^X-(TUID|OfflineIMAP|getmail-retrieved-from-mailbox): .*\n`)

func withoutAdded(text string) string {
	if !strings.Contains(text, "\nX-") {
		return text
	}
	return added.ReplaceAllString(text, "")
}

// count fails if a folder has not so many messages.
func (m *maildir) count(folder string, n int) {
	m.t.Helper()
	if got := len(m.mails(folder)); got != n {
		m.t.Errorf("%d messages in %q, not %d", got, folder, n)
	}
}

// wait polls until ok.
func (m *maildir) wait(what string, ok func() bool) {
	m.t.Helper()
	suite.Wait(m.t, what, ok)
}

// String lists at most 20 messages of each folder.
func (m *maildir) String() string {
	var b strings.Builder
	for _, folder := range append([]string{""}, m.folders()...) {
		mails := m.mails(folder)
		fmt.Fprintf(&b, "\n%q: %d", folder, len(mails))
		for _, mail := range mails[:min(len(mails), 20)] {
			_, subject, _ := strings.Cut(mail.text, "\nSubject: ")
			subject, _, _ = strings.Cut(subject, "\n")
			fmt.Fprintf(&b, "\n\t%s:%s %q", mail.name, mail.flags, subject)
		}
	}
	return b.String()
}

// folders are the names of a Maildir's folders as they are on disk, without INBOX.
func (m *maildir) folders() (names []string) {
	dirs, _ := filepath.Glob(m.dir("") + "/.*/cur")
	for _, dir := range dirs {
		names = append(names, filepath.Base(filepath.Dir(dir))[1:])
	}
	return names
}

// mark gives a message other flags as another program does: by a rename.
func (m *maildir) mark(folder, text, flags string) {
	m.t.Helper()
	m.change(folder, text, func(path, name string) error {
		return os.Rename(path, filepath.Join(m.dir(folder), "cur", name+":2,"+flags))
	})
}

// remove removes a message as another program does.
func (m *maildir) remove(folder, text string) {
	m.t.Helper()
	m.change(folder, text, func(path, _ string) error { return os.Remove(path) })
}

// change does something to the file of a message, which others may rename meanwhile.
func (m *maildir) change(folder, text string, do func(path, name string) error) {
	m.t.Helper()
	for range 1000 {
		mails := m.find(folder, text)
		if len(mails) != 1 {
			m.t.Fatalf("%d of %.80q in %q", len(mails), text, folder)
		}
		paths, _ := filepath.Glob(m.dir(folder) + "/*/" + mails[0].name + "*")
		if len(paths) == 1 && do(paths[0], mails[0].name) == nil {
			return
		}
	}
	m.t.Fatalf("%.80q in %q cannot be changed", text, folder)
}

// seedKinds are bodies, with the header fields before them, that programs have to bring back as they are.
var seedKinds = []string{
	"\r\nplain kiwi\r\n",
	"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße, Ελλάδα, 日本 \U0001f4ee\r\n",
	"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\npreamble\r\n--=_b\r\nContent-Type: text/plain\r\n\r\nsee the file\r\n" +
		"--=_b\r\nContent-Type: application/octet-stream; name=\"mango.bin\"\r\nContent-Disposition: attachment; filename=\"mango.bin\"\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\nAAECAwQFBgcICQ==\r\n--=_b--\r\nepilogue\r\n",
	"\r\n.\r\n..\r\n.dot\r\n\ttab \r\ntrailing   \r\n\r\n\r\nend of dots\r\n",
	"\r\nLatin-1: Gr\xfc\xdfe \xa4\r\n",
	"\r\n" + strings.Repeat("a long line of papaya ", 300) + "\r\n",
	"X-Folded: one\r\n two\r\n\tthree\r\nX-Word: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nFrom here on\r\nFrom there on\r\n",
	"\r\n\r\n",
}

// seedMessage is the message i: each begins with other octets and ends in other ones.
func seedMessage(i int) string {
	return fmt.Sprintf("Message-ID: <seed.%d@elsewhere.test>\r\nFrom: Sender %d <sender%d@elsewhere.test>\r\nTo: reader@example.test\r\n"+
		"Date: Sat, 21 Nov 2026 %02d:%02d:%02d +0000\r\nSubject: seed %d.\r\n%send of seed %d.\r\n",
		i, i%7, i%7, i/3600%24, i/60%60, i%60, i, seedKinds[i%len(seedKinds)], i)
}

func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }
