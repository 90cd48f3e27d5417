package fetch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/dovecottest"
	"postrider/internal/imap"
	"postrider/internal/usertest"
)

// messages are those of package mime's tests, octets kept as the characters of the same number.
func messages(t testing.TB) (names []string, texts []string) {
	raw, err := os.ReadFile("../mime/testdata/dovecot.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct{ Name, Message string }
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		text := make([]byte, 0, len(m.Message))
		for _, r := range m.Message {
			text = append(text, byte(r))
		}
		names, texts = append(names, m.Name), append(texts, string(text))
	}
	return names, texts
}

const listHeaders = `(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID References In-Reply-To "a b")])`

var asked = []string{
	"FAST", "ALL", "FULL", "(BODYSTRUCTURE UID FLAGS)", "RFC822", "RFC822.HEADER", "RFC822.TEXT", "(UID RFC822.SIZE BODY.PEEK[])",
	"(BODYSTRUCTURE ENVELOPE INTERNALDATE FLAGS UID BODY.PEEK[HEADER])",
	"(BODY[HEADER] ENVELOPE BODY[TEXT] UID BODY[1] RFC822.SIZE BODY[1] UID BODY)",
	"(BODY[1] BODY[1.MIME] BODY[1.HEADER] BODY[1.TEXT] BODY[2] BODY[2.MIME] BODY[2.HEADER] BODY[2.TEXT] BODY[3] BODY[3.MIME])",
	"(BODY[1.1] BODY[1.1.MIME] BODY[2.1] BODY[2.1.MIME] BODY[2.2] BODY[2.1.1] BODY[2.1.HEADER] BODY[2.1.TEXT] BODY[1.1.1] BODY[9.9])",
	"(BODY[]<0.10> BODY[]<10.50> BODY[]<60.5000> BODY[TEXT]<3.7> BODY[HEADER]<5.30> BODY[1]<2.3> BODY[2]<0.9> BODY[1.MIME]<4.5> BODY[]<99999.1>)",
	listHeaders,
	"BODY[HEADER.FIELDS (subject FROM subject)]<3.40>", "BODY[HEADER.FIELDS (X-NONE)]", "BODY[HEADER.FIELDS.NOT (SUBJECT TO)]",
	"BODY[1.HEADER.FIELDS (SUBJECT)]", "BODY[2.HEADER.FIELDS (SUBJECT)]", "BODY[2.HEADER.FIELDS.NOT (SUBJECT)]<0.20>",
}

// differences are the answers in which Dovecot is not followed: a blank line always ends the fields; and a part's header
// without end does not go on into the next part.
var differences = map[string][]string{
	"no body":                        {"BODY[HEADER.FIELDS.NOT (SUBJECT TO)]"},
	"no body, no last newline":       {"BODY[HEADER.FIELDS.NOT (SUBJECT TO)]", listHeaders},
	"empty":                          {"BODY[HEADER.FIELDS.NOT (SUBJECT TO)]"},
	"rfc822 base64":                  {"BODY[1.HEADER.FIELDS (SUBJECT)]"},
	"rfc822 empty, last":             {"BODY[1.HEADER.FIELDS (SUBJECT)]"},
	"rfc822 header only, no newline": {"BODY[2.HEADER.FIELDS.NOT (SUBJECT)]<0.20>"},
}

// TestDovecot asks both servers for the same messages.
func TestDovecot(t *testing.T) {
	t.Parallel()
	dovecottest.Need(t, dovecottest.IMAP)
	names, texts := messages(t)
	arrival := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	home, paths := maildir(t, texts, arrival)
	var commands []string
	for n := range texts {
		for _, items := range asked {
			commands = append(commands, fmt.Sprintf("%d %s", n+1, items))
		}
	}
	answers := askDovecot(t, home, commands)
	var f Fetcher
	for n, name := range names {
		size := int64(len(naive(texts[n])))
		for i, items := range asked {
			var out bytes.Buffer
			w := imap.NewWriter(&out)
			m := &Message{Seq: uint32(n + 1), UID: uint32(n + 1), Flags: []imap.Flag{imap.FlagSeen, imap.FlagRecent},
				Source: &mail{path: paths[n], wire: size, date: arrival}}
			if err := f.Answer(t.Context(), w, m, parse(t, items)); err != nil {
				t.Fatalf("%s: %s: %v", name, items, err)
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			want := answers[n*len(asked)+i]
			if same := out.String() == want; same == slices.Contains(differences[name], items) {
				t.Errorf("%s: %s of %.500q\n got %.1000q\nwant %.1000q", name, items, texts[n], out.String(), want)
			}
		}
	}
}

// naive is a message as it is sent.
func naive(text string) string {
	return strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n", "\x00", "\x80").Replace(text)
}

// maildir makes one that Dovecot's user may change.
func maildir(t *testing.T, texts []string, arrival time.Time) (home string, paths []string) {
	home = t.TempDir()
	conf := fmt.Sprintf("protocols = imap\nbase_dir = %s/run\nmail_location = maildir:~\nlog_path = /dev/null\nssl = no\n", home)
	files := map[string]string{"dovecot.conf": conf}
	for n, text := range texts {
		name := fmt.Sprintf("cur/%d.M1.host:2,S", 1000000000+n)
		files[name] = text
		paths = append(paths, filepath.Join(home, name))
	}
	for _, dir := range []string{"cur", "new", "tmp"} {
		if err := os.Mkdir(filepath.Join(home, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range files {
		path := filepath.Join(home, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, arrival, arrival); err != nil {
			t.Fatal(err)
		}
	}
	usertest.Give(t, home)
	return home, paths
}

var literal = regexp.MustCompile(`\{(\d+)\}\r\n$`)

// readResponse reads a response with the literals in it.
func readResponse(in *bufio.Reader) (string, error) {
	var b []byte
	for {
		line, err := in.ReadBytes('\n')
		if b = append(b, line...); err != nil {
			return string(b), err
		}
		m := literal.FindSubmatch(line)
		if m == nil {
			return string(b), nil
		}
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			return string(b), err
		}
		start := len(b)
		b = append(b, make([]byte, n)...)
		if k, err := io.ReadFull(in, b[start:]); err != nil {
			return string(b[:start+k]), err
		}
	}
}

// askDovecot gives the answers to FETCH commands. Dovecot's session process runs alone, logged in.
func askDovecot(t *testing.T, home string, commands []string) (answers []string) {
	cmd := dovecottest.Command(t, dovecottest.IMAP, filepath.Join(home, "dovecot.conf"), home)
	to, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	from, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(from)
	converse(t, to, in, "SELECT INBOX")
	for _, c := range commands {
		answers = append(answers, converse(t, to, in, "FETCH "+c))
	}
	to.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("Dovecot: %v", err)
	}
	return answers
}

// converse carries out one command, as answers to pipelined ones may change places, and gives the FETCH response.
func converse(t *testing.T, to io.Writer, from *bufio.Reader, command string) (fetched string) {
	if _, err := fmt.Fprintf(to, "a %s\r\n", command); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	for {
		r, err := readResponse(from)
		switch {
		case err != nil:
			t.Fatalf("%s: %q, %v", command, r, err)
		case strings.HasPrefix(r, "a OK"):
			return fetched
		case strings.HasPrefix(r, "a "):
			t.Fatalf("%s: %q", command, r)
		case strings.Contains(r, " FETCH ("):
			fetched = r
		}
	}
}
