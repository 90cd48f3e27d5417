package mailstore

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"postrider/internal/dovecottest"
	"postrider/internal/usertest"
)

// dovecot is Dovecot's IMAP program on a Maildir, already logged in.
type dovecot struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	tag int
}

func startDovecot(t *testing.T, root string) *dovecot {
	t.Helper()
	config := filepath.Join(t.TempDir(), "dovecot.conf")
	write(t, config, "ssl = no\nmail_location = maildir:"+root+"\nnamespace inbox {\n inbox = yes\n separator = .\n}\n")
	d := &dovecot{t: t, cmd: dovecottest.Command(t, dovecottest.IMAP, config, t.TempDir())}
	var complaints strings.Builder
	d.cmd.Stderr = &complaints
	d.in, _ = d.cmd.StdinPipe()
	out, _ := d.cmd.StdoutPipe()
	d.out = bufio.NewReader(out)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if greeting, err := d.out.ReadString('\n'); err != nil || !strings.HasPrefix(greeting, "* PREAUTH") {
		t.Fatal(greeting, err)
	}
	t.Cleanup(func() {
		d.in.Close()
		d.cmd.Wait()
		if text := complaints.String(); strings.Contains(text, "Error:") || strings.Contains(text, "Warning:") || strings.Contains(text, "Panic:") {
			t.Error("dovecot says:", text)
		}
	})
	return d
}

// do sends a command and returns the untagged answers.
func (d *dovecot) do(format string, args ...any) string {
	d.t.Helper()
	d.tag++
	tag := fmt.Sprintf("t%d ", d.tag)
	fmt.Fprintf(d.in, tag+format+"\r\n", args...)
	var b strings.Builder
	for {
		line, err := d.out.ReadString('\n')
		if err != nil {
			d.t.Fatalf("dovecot: %v after %s", err, b.String())
		}
		if done, ok := strings.CutPrefix(line, tag); ok {
			if !strings.HasPrefix(done, "OK") {
				d.t.Errorf("dovecot: "+format+": %s", append(args, done)...)
			}
			b.WriteString(done)
			return b.String()
		}
		b.WriteString(line)
	}
}

var (
	fetched  = regexp.MustCompile(`FETCH \(UID (\d+) FLAGS \((.*?)\)\)`)
	validity = regexp.MustCompile(`UIDVALIDITY (\d+)`)
)

// view is what Dovecot says of a folder, as show says it.
func (d *dovecot) view(folder string) (view, uidvalidity string) {
	d.t.Helper()
	uidvalidity = validity.FindStringSubmatch(d.do("SELECT %q", folder))[1]
	var parts []string
	for _, m := range fetched.FindAllStringSubmatch(d.do("UID FETCH 1:* (UID FLAGS)"), -1) {
		var letters, keywords []string
		for f := range strings.FieldsSeq(m[2]) {
			switch {
			case f == `\Recent`:
			case f[0] == '\\':
				letters = append(letters, map[string]string{`\Seen`: "S", `\Answered`: "R", `\Flagged`: "F", `\Deleted`: "T", `\Draft`: "D"}[f])
			default:
				keywords = append(keywords, f)
			}
		}
		part := m[1] + ":"
		for _, l := range []string{"D", "F", "R", "S", "T"} {
			if strings.Contains(strings.Join(letters, ""), l) {
				part += l
			}
		}
		if keywords != nil {
			part += fmt.Sprint(keywords)
		}
		parts = append(parts, part)
	}
	d.do("UNSELECT")
	return strings.Join(parts, " "), uidvalidity
}

// TestDovecot takes turns with Dovecot on one Maildir.
func TestDovecot(t *testing.T) {
	t.Parallel()
	if !usertest.Run(t) {
		return
	}
	s := newStore(t, Options{})
	d := startDovecot(t, s.root)
	d.do("CREATE Foo.Bar")
	d.do("CREATE Entw&APw-rfe")
	d.do("SUBSCRIBE Entw&APw-rfe")
	d.do("APPEND INBOX (\\Seen kw1) {10+}\r\nA: b\r\n\r\nx\r\n")
	appendTo(t, s, "INBOX", "A: b\r\n\r\ny\r\n", Flagged, "kw2")
	b := openBox(t, s, "INBOX")
	same := func() {
		t.Helper()
		syncBox(t, b)
		view, validity := d.view("INBOX")
		wantView(t, b, view)
		if ours := fmt.Sprint(b.UIDValidity()); ours != validity {
			t.Error("UIDVALIDITY", ours, validity)
		}
	}
	same()
	for i := range 10 {
		write(t, fmt.Sprintf("%s/new/%d.d%d.host", s.root, 100+i, i), "A: b\n\nz\n")
		switch i % 3 {
		case 0:
			d.do("SELECT INBOX")
			d.do("STORE 1 +FLAGS (\\Answered d%d)", i)
			d.do("STORE %d +FLAGS (\\Deleted)", i/2+2)
			d.do("EXPUNGE")
		case 1:
			syncBox(t, b)
			if _, err := b.StoreFlags(t.Context(), b.Messages()[:1], AddFlags, Draft, []string{fmt.Sprint("o", i)}); err != nil {
				t.Error(err)
			}
			if err := b.Expunge(t.Context(), b.Messages()[1:2]); err != nil {
				t.Error(err)
			}
		case 2:
			d.do("SELECT INBOX")
			d.do("COPY 1 Foo.Bar")
			if _, err := b.Copy(t.Context(), b.Messages()[:1], "Foo.Bar"); err != nil {
				t.Error(err)
			}
			appendTo(t, s, "Foo.Bar", "x\r\n", Draft, "only")
		}
		same()
	}
	view, _ := d.view("Foo.Bar")
	wantView(t, openBox(t, s, "Foo.Bar"), view)
	if names, err := s.Subscriptions(); err != nil || strings.Join(names, " ") != "Entwürfe" {
		t.Error(names, err)
	}
	if err := s.Subscribe(t.Context(), "Foo.Bar", true); err != nil {
		t.Error(err)
	}
	if got := d.do(`LSUB "" *`); !strings.Contains(got, "Entw&APw-rfe") || !strings.Contains(got, "Foo.Bar") {
		t.Error(got)
	}
	if err := s.Create("Ours.Ü"); err != nil {
		t.Error(err)
	}
	d.do("RENAME Ours Theirs")
	d.do("DELETE Foo.Bar")
	d.do("CREATE Foo.Bar")
	if got := strings.Join(folderNames(t, s), " "); got != "INBOX Entwürfe (Foo)+ Foo.Bar (Theirs)+ Theirs.Ü" {
		t.Error(got)
	}
	_, before := d.view("Theirs.&ANw-")
	if ours := fmt.Sprint(openBox(t, s, "Theirs.Ü").UIDValidity()); ours != before {
		t.Error(ours, before)
	}
}

// TestDovecotLive works on one Maildir while Dovecot does; at the end both see the same, and nothing got a UID twice.
func TestDovecotLive(t *testing.T) {
	t.Parallel()
	if !usertest.Run(t) {
		return
	}
	s := newStore(t, Options{})
	d := startDovecot(t, s.root)
	d.do("SELECT INBOX")
	var wait sync.WaitGroup
	wait.Go(func() {
		for i := range 40 {
			path := fmt.Sprintf("%d.deliver.host", i+1)
			write(t, s.root+"/tmp/"+path, "A: b\n\nx\n")
			os.Rename(s.root+"/tmp/"+path, s.root+"/new/"+path)
		}
	})
	wait.Go(func() {
		for i := range 20 {
			appendTo(t, s, "INBOX", "A: b\r\n\r\ny\r\n", Seen, fmt.Sprint("k", i%5))
		}
	})
	wait.Go(func() {
		b, err := s.Open(t.Context(), "INBOX", false)
		if err != nil {
			t.Error(err)
			return
		}
		defer b.Close()
		for i := range 40 {
			if c, err := b.Sync(t.Context(), All); err != nil || len(c.Expunged) > 0 {
				t.Error(c, err)
			}
			if _, err := b.StoreFlags(t.Context(), b.Messages(), FlagOp(i%2), Flagged, []string{"x"}); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 20 {
		d.do("APPEND INBOX (k%d) {10+}\r\nA: b\r\n\r\nx\r\n", i%7)
		d.do("STORE 1:* +FLAGS (\\Answered)")
	}
	wait.Wait()
	view, _ := d.view("INBOX")
	b := openBox(t, s, "INBOX")
	syncBox(t, b)
	wantView(t, b, view)
	if len(b.Messages()) != 80 || b.UIDNext() != 81 {
		t.Error(len(b.Messages()), "messages, next", b.UIDNext())
	}
}
