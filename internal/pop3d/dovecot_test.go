package pop3d

import (
	"bufio"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/dovecottest"
	"postrider/internal/usertest"
)

// dovecot lets Dovecot's pop3 program answer commands, after its login, and returns what it logged.
func dovecot(t *testing.T, root, commands string) (answers, log string) {
	t.Helper()
	config := filepath.Join(filepath.Dir(root), "dovecot.conf")
	write(t, config, "ssl = no\nprotocols =\nfirst_valid_uid = 1\nmail_location = maildir:"+root+"\nnamespace inbox {\n inbox = yes\n separator = .\n}\n")
	usertest.Give(t, config)
	usertest.Give(t, root)
	cmd := dovecottest.Command(t, dovecottest.POP3, config, root)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answers = converse(t, in, bufio.NewReader(out), commands)
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("dovecot: %v: %s", err, complaints.String())
	}
	return answers, complaints.String()
}

// converse says one command after another.
func converse(t *testing.T, in interface{ Write([]byte) (int, error) }, out *bufio.Reader, commands string) string {
	t.Helper()
	var b strings.Builder
	for c := range strings.Lines(commands) {
		c = strings.TrimSpace(c)
		fmt.Fprintf(in, "%s\r\n", c)
		multi := strings.HasPrefix(c, "RETR") || strings.HasPrefix(c, "TOP") || c == "LIST" || c == "UIDL"
		for {
			l, err := out.ReadString('\n')
			if b.WriteString(l); err != nil {
				t.Fatalf("%s: %v", c, err)
			}
			if !multi || l == ".\r\n" || strings.HasPrefix(l, "-ERR") {
				break
			}
		}
	}
	return b.String()
}

// TestDovecot compares the answers with those of Dovecot on the same Maildir, and the names that both leave.
func TestDovecot(t *testing.T) {
	t.Parallel()
	texts := []string{first, second, third}
	for _, h := range hostile {
		if h.name != "dot first" { // Dovecot lets a dot at the very start stand alone
			texts = append(texts, strings.TrimLeft(h.file, "."))
		}
	}
	commands := "STAT\nLIST\nUIDL\nUIDL 3\nLIST 2\nNOOP\n"
	for i := range texts {
		commands += fmt.Sprintf("RETR %d\nTOP %d 0\nTOP %d 1\nTOP %d 99999999\n", i+1, i+1, i+1, i+1)
	}
	commands += "DELE 2\nDELE 4\nUIDL\nLIST\nSTAT\nRSET\nDELE 1\nLIST\n"
	root := maildir(t, texts...)
	write(t, root+"/new/9000000001.new", "A: b\n\nnew\n")
	write(t, root+"/cur/9000000002.named,S=10,W=13:2,FS", "A: b\n\nnew\n")
	theirs, _ := dovecot(t, root, commands)
	c := login(t, options(t, root))
	if ours := converse(t, c, c.r, commands); ours != theirs {
		a, b := strings.Split(ours, "\r\n"), strings.Split(theirs, "\r\n")
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				t.Fatalf("line %d: %.100q, Dovecot has %.100q", i, a[i], b[i])
			}
		}
		t.Fatal(len(a), "lines, Dovecot has", len(b))
	}
}

// TestDovecotUpdate compares what is left after the same session.
func TestDovecotUpdate(t *testing.T) {
	t.Parallel()
	const commands = "RETR 1\nTOP 3 1\nDELE 2\nQUIT\n"
	theirs, ours := maildir(t, first, second, third), maildir(t, first, second, third)
	said, log := dovecot(t, theirs, commands)
	c := login(t, options(t, ours))
	if got := converse(t, c, c.r, commands); got != said {
		t.Errorf("%q, Dovecot has %q", got, said)
	}
	if sum := <-c.done; !strings.Contains(log, sum.String()) {
		t.Errorf("%s, Dovecot has %s", sum, log)
	}
	wantFiles(t, ours, files(t, theirs)...)
}
