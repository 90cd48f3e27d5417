package search

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postrider/internal/dovecottest"
	"postrider/internal/usertest"
)

// TestDovecot asks Dovecot and us the same of the same messages.
func TestDovecot(t *testing.T) {
	t.Parallel()
	messages := corpus(t)
	box, names := mailbox(t, messages)
	d := startDovecot(t, messages, names)
	for _, s := range comparedSearches() {
		got, want := find(t, newQuery(t, s.command, len(box)), box), d.search(s.command)
		if diff := difference(got, want, names); diff != deviations[s.name] {
			t.Errorf("%s: beside Dovecot %q, expected %q", s.name, diff, deviations[s.name])
		}
	}
}

// difference tells which messages only we found, and which only Dovecot.
func difference(got, want []int, names []string) string {
	var diff []string
	for i, name := range names {
		switch g, w := slices.Contains(got, i), slices.Contains(want, i); {
		case g && !w:
			diff = append(diff, "+"+name)
		case w && !g:
			diff = append(diff, "-"+name)
		}
	}
	return strings.Join(diff, " ")
}

// dovecot is Dovecot's IMAP program on a Maildir, already logged in.
type dovecot struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
	tag int
}

func startDovecot(t *testing.T, messages map[string][]byte, names []string) *dovecot {
	t.Helper()
	home := t.TempDir()
	fillMaildir(t, home, messages, names)
	config := filepath.Join(home, "dovecot.conf")
	write(t, config, []byte("ssl = no\nmail_location = maildir:"+home+"/Maildir\nnamespace inbox {\n inbox = yes\n}\n"))
	usertest.Give(t, home)
	cmd := dovecottest.Command(t, dovecottest.IMAP, config, home)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	d := &dovecot{t: t}
	d.in, _ = cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	d.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.in.Close()
		cmd.Wait()
	})
	if greeting, err := d.out.ReadString('\n'); err != nil || !strings.HasPrefix(greeting, "* PREAUTH") {
		t.Fatal(greeting, err, complaints.String())
	}
	d.do("SELECT INBOX")
	return d
}

// fillMaildir writes the messages, with UIDs that are ten times the sequence numbers.
func fillMaildir(t *testing.T, home string, messages map[string][]byte, names []string) {
	t.Helper()
	uidlist := fmt.Sprintf("3 V1 N%d G0123456789abcdef0123456789abcdef\n", 10*len(names)+1)
	for _, dir := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(home, "Maildir", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range names {
		base := fmt.Sprintf("%d.%s.host", arrival(i).Unix(), name)
		path := filepath.Join(home, "Maildir", "cur", base+":2,")
		write(t, path, messages[name])
		if err := os.Chtimes(path, arrival(i), arrival(i)); err != nil {
			t.Fatal(err)
		}
		uidlist += fmt.Sprintf("%d :%s\n", 10*(i+1), base)
	}
	write(t, filepath.Join(home, "Maildir", "dovecot-uidlist"), []byte(uidlist))
}

func write(t *testing.T, path string, octets []byte) {
	t.Helper()
	if err := os.WriteFile(path, octets, 0o644); err != nil {
		t.Fatal(err)
	}
}

// do sends a command and returns the untagged answers.
func (d *dovecot) do(command string) string {
	d.t.Helper()
	d.tag++
	tag := fmt.Sprintf("t%d ", d.tag)
	io.WriteString(d.in, tag+command+"\r\n")
	var b strings.Builder
	for {
		line, err := d.out.ReadString('\n')
		if err != nil {
			d.t.Fatalf("dovecot: %v after %s", err, b.String())
		}
		if done, ok := strings.CutPrefix(line, tag); ok {
			if !strings.HasPrefix(done, "OK") {
				d.t.Errorf("dovecot: %s: %s", command, done)
			}
			return b.String()
		}
		b.WriteString(line)
	}
}

// search gives the indices of the messages that Dovecot finds.
func (d *dovecot) search(command string) (found []int) {
	d.t.Helper()
	for line := range strings.Lines(d.do(command)) {
		numbers, ok := strings.CutPrefix(line, "* SEARCH")
		if !ok {
			continue
		}
		for number := range strings.FieldsSeq(numbers) {
			seq, err := strconv.Atoi(number)
			if err != nil {
				d.t.Fatal(line)
			}
			found = append(found, seq-1)
		}
	}
	return found
}
