package mailbox

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"postrider/internal/config"
	"postrider/internal/mailstore"
	"postrider/internal/usertest"
)

var backends = map[string]func(p *peer, root string){"ours": ours, "Dovecot": dovecots}

// strange are folders with names that somebody may have.
var strange = []string{"Entwürfe", "a&b", "über.Straße.日本", "with space", `quo"te`, `back\slash`, "per%cent*", "(x) {3}", "x~home", "Sent Items", "Sent Items.2020"}

// source is a Maildir with mail in it.
func source(t testing.TB, messages int) string {
	t.Helper()
	root := newMaildir(t)
	s := openStore(t, root)
	fill(t, s, "INBOX", 0, messages)
	for i, name := range strange {
		fill(t, s, name, 1000*i, i)
		if i%2 == 0 {
			if err := s.Subscribe(t.Context(), name, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	usertest.Give(t, root)
	return root
}

// newCommand is an import into the Maildir at root.
func newCommand(t testing.TB, root string) *command {
	t.Helper()
	return &command{name: "import imap", maildir: root, conf: config.Default(), store: openStore(t, root), out: new(bytes.Buffer), err: new(bytes.Buffer)}
}

// copyFrom carries the import out in this process.
func copyFrom(t testing.TB, p *peer, root, password string) (said string, err error) {
	t.Helper()
	c, out := newCommand(t, root), new(bytes.Buffer)
	c.out, c.err = out, out
	from := &server{user: "alice", password: password, startTLS: p.startTLS, report: c.remark, rest: time.Millisecond}
	if err := from.locate(p.addr, p.ca); err != nil {
		t.Fatal(err)
	}
	defer from.close()
	err = copyAccount(t.Context(), c, from)
	return out.String(), err
}

func TestImportIMAP(t *testing.T) {
	t.Parallel()
	for name, backend := range backends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := source(t, 200), t.TempDir()
			p := newPeer(t, from, backend)
			said, err := copyFrom(t, p, to, "secret")
			if err != nil || !strings.Contains(said, fmt.Sprintf("%d messages copied, in %d folders", 200+55, 1+len(strange))) {
				t.Fatal(said, err)
			}
			compare(t, from, to, name == "Dovecot")
			if said, err = copyFrom(t, p, to, "secret"); err != nil || !strings.HasPrefix(said, "0 messages copied") {
				t.Error("a second time:", said, err)
			}
			fill(t, openStore(t, from), "a&b", 5000, 3)
			usertest.Give(t, from)
			if said, err = copyFrom(t, p, to, "secret"); err != nil || !strings.HasPrefix(said, "3 messages copied") {
				t.Error("what is new:", said, err)
			}
			compare(t, from, to, name == "Dovecot")
		})
	}
}

// compare looks whether all is there; with a special use the folder has the name that it has here.
func compare(t *testing.T, from, to string, special bool) {
	t.Helper()
	source, target := openStore(t, from), openStore(t, to)
	want, got := dump(t, source), dump(t, target)
	subscribed, err := source.Subscriptions()
	if err != nil {
		t.Fatal(err)
	}
	here := func(name string) string {
		if special {
			name = strings.Replace(name, "Sent Items", "Sent", 1)
		}
		return name
	}
	for name, list := range want {
		wantSame(t, name, got[here(name)], list)
		delete(got, here(name))
	}
	if len(got) > 0 {
		t.Error("too much:", got)
	}
	for i, name := range subscribed {
		subscribed[i] = here(name)
	}
	names, err := target.Subscriptions()
	slices.Sort(names)
	slices.Sort(subscribed)
	if err != nil || !slices.Equal(names, subscribed) {
		t.Errorf("subscribed %q, want %q, %v", names, subscribed, err)
	}
}

func TestStartTLS(t *testing.T) {
	t.Parallel()
	from, to := newMaildir(t), t.TempDir()
	fill(t, openStore(t, from), "INBOX", 0, 3)
	p := newPeer(t, from, func(p *peer, root string) {
		ours(p, root)
		p.startTLS = true
	})
	if said, err := copyFrom(t, p, to, "secret"); err != nil || !strings.HasPrefix(said, "3 messages") {
		t.Error(said, err)
	}
}

// TestRefusedLogin: a wrong password and a certificate that nobody vouches for are not tried again.
func TestRefusedLogin(t *testing.T) {
	t.Parallel()
	p := newPeer(t, newMaildir(t), ours)
	if said, err := copyFrom(t, p, t.TempDir(), "wrong"); err == nil || strings.Contains(said, "trying again") {
		t.Error(said, err)
	}
	if err := os.WriteFile(p.ca, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := new(server).locate(p.addr, p.ca); err == nil {
		t.Error("no certificate in the file")
	}
	c := newCommand(t, newMaildir(t))
	from := &server{user: "alice", password: "secret", report: c.remark, rest: time.Millisecond}
	if err := from.locate(p.addr, ""); err != nil {
		t.Fatal(err)
	}
	err := copyAccount(t.Context(), c, from)
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
}

// TestConnectionLost: each connection carries some more, and nothing comes twice.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	from, to := newMaildir(t), t.TempDir()
	fill(t, openStore(t, from), "INBOX", 0, 300)
	var octets atomic.Int64
	octets.Store(500)
	p := newPeer(t, from, func(p *peer, root string) {
		ours(p, root)
		p.cut = func() int64 { return octets.Add(octets.Load() * 3 / 2) }
	})
	said, err := copyFrom(t, p, to, "secret")
	if err != nil || !strings.Contains(said, "trying again") {
		t.Fatal(said, err)
	}
	wantSame(t, "INBOX", messages(t, openStore(t, to), "INBOX"), messages(t, openStore(t, from), "INBOX"))
	octets.Store(-1000) // from now on nothing comes
	if said, err := copyFrom(t, p, to, "secret"); err == nil || strings.Count(said, "trying again") != maxAttempts-1 {
		t.Error("for ever:", said, err)
	}
}

// TestFlood: a server that sends without end is not listened to for ever, nor again.
func TestFlood(t *testing.T) {
	t.Parallel()
	p := newPeer(t, newMaildir(t), func(p *peer, _ string) {
		p.backend = func(conn *net.UnixConn) {
			defer conn.Close()
			in := bufio.NewReader(conn)
			if _, err := in.ReadString('\n'); err != nil { // CAPABILITY
				return
			}
			io.WriteString(conn, "* CAPABILITY IMAP4rev1 ")
			part := bytes.Repeat([]byte("x"), 1<<20)
			for {
				if _, err := conn.Write(part); err != nil {
					return
				}
			}
		}
	})
	said, err := copyFrom(t, p, t.TempDir(), "secret")
	if err == nil || !strings.Contains(err.Error(), "without end") || strings.Contains(said, "trying again") {
		t.Error(said, err)
	}
}

// TestOtherUIDs: a folder whose UIDs are not those of the last time is left alone, the others are not.
func TestOtherUIDs(t *testing.T) {
	t.Parallel()
	from, to := newMaildir(t), t.TempDir()
	s := openStore(t, from)
	fill(t, s, "INBOX", 0, 3)
	fill(t, s, "other", 0, 3)
	if said, err := copyFrom(t, newPeer(t, from, ours), to, "secret"); err != nil {
		t.Fatal(said, err)
	}
	if err := os.Remove(filepath.Join(from, "dovecot-uidlist")); err != nil {
		t.Fatal(err)
	}
	fill(t, openStore(t, from), "other", 9, 1)
	p := newPeer(t, from, ours) // another place, and so another source
	ledgers, err := filepath.Glob(filepath.Join(to, ledgerDir, "*"))
	if err != nil || len(ledgers) != 2 {
		t.Fatal(ledgers, err)
	}
	c := newCommand(t, to)
	remote := &server{user: "alice", password: "secret", report: c.remark, rest: time.Millisecond}
	if err := remote.locate(p.addr, p.ca); err != nil {
		t.Fatal(err)
	}
	for _, path := range ledgers {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "alice ")
		old, _, _ := strings.Cut(rest, " ")
		folder := "INBOX"
		if !strings.Contains(rest, `"INBOX"`) {
			folder = "other"
		}
		l, err := openLedger(to, origin{"alice " + p.addr + " " + folder, "x"}, folder)
		if err != nil {
			t.Fatal(err)
		}
		l.close()
		if err := os.WriteFile(l.file.Name(), bytes.ReplaceAll(text, []byte(old), []byte(p.addr)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err = copyAccount(t.Context(), c, remote)
	if said := fmt.Sprint(c.out, c.err); err != nil || c.wrong != 1 || !strings.Contains(said, "1 messages copied") || !strings.Contains(said, "INBOX") {
		t.Error(said, err, c.wrong)
	}
	if n := len(messages(t, openStore(t, to), "INBOX")); n != 3 {
		t.Error(n, "messages")
	}
}

// TestKilled: the process is killed at any time, again and again, and in the end every message is there once.
func TestKilled(t *testing.T) {
	t.Parallel()
	from, to := newMaildir(t), newMaildir(t)
	const n = 400
	fill(t, openStore(t, from), "INBOX", 0, n)
	usertest.Give(t, from)
	p := newPeer(t, from, ours)
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"import", "imap", "-maildir", to, "-ca", p.ca, "-password-file", secret, "alice", p.addr}
	for kill := 1; kill < n; kill += 30 + rand.IntN(100) {
		killAfter(t, child(t, args...), to, kill)
	}
	if out, status := runChild(t, args...); status != exitOK {
		t.Fatal(out)
	}
	wantSame(t, "INBOX", messages(t, openStore(t, to), "INBOX"), messages(t, openStore(t, from), "INBOX"))
	if out, status := runChild(t, args...); status != exitOK || !strings.HasPrefix(out, "0 messages") {
		t.Error(status, out)
	}
}

// killAfter kills a command when so many files are in cur, if it does not end before.
func killAfter(t *testing.T, cmd *exec.Cmd, maildir string, files int) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	for {
		entries, _ := os.ReadDir(maildir + "/cur")
		if len(entries) >= files {
			cmd.Process.Kill()
			<-ended
			return
		}
		select {
		case <-ended:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

func TestSplitFlags(t *testing.T) {
	t.Parallel()
	flags, keywords := splitFlags([]imap.Flag{`\seen`, `\Recent`, `\Flagged`, "$Forwarded", "work", "", `\Strange`})
	if flags != mailstore.Seen|mailstore.Flagged || !slices.Equal(keywords, []string{"$Forwarded", "work"}) {
		t.Error(flags, keywords)
	}
}
