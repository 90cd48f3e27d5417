package search

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/imap"
	"postrider/internal/mime"
	"postrider/internal/sortkey"
)

// mail is a message of a test.
type mail struct {
	seq, uid uint32
	flags    []imap.Flag
	path     string
	size     int64
	date     time.Time
	err      error // of Info and Open
	opened   int
}

func (m *mail) Seq() uint32 { return m.seq }
func (m *mail) UID() uint32 { return m.uid }

func (m *mail) ModSeq() uint64 { return 10 * uint64(m.seq) }

func (m *mail) EmailID() string { return fmt.Sprintf("M%d", m.seq) }

func (m *mail) ThreadID(context.Context) (string, error) { return fmt.Sprintf("T%d", m.seq%2), m.err }

func (m *mail) Saved(context.Context) (time.Time, error) { return m.date.AddDate(0, 0, 7), m.err }

func (m *mail) Has(flag imap.Flag) bool {
	return slices.ContainsFunc(m.flags, func(f imap.Flag) bool { return strings.EqualFold(string(f), string(flag)) })
}

func (m *mail) Wire(context.Context) (int64, error)        { return m.size, m.err }
func (m *mail) Arrived(context.Context) (time.Time, error) { return m.date, m.err }

func (m *mail) Sent(ctx context.Context) (int64, error) {
	header, err := m.Header(ctx)
	_, sent := sortkey.NewMaker().Append(nil, header)
	return sent.Written, err
}

func (m *mail) Header(context.Context) ([]byte, error) {
	m.opened++
	if m.err != nil {
		return nil, m.err
	}
	octets, err := os.ReadFile(m.path)
	if n := mime.HeaderLen(octets); n >= 0 {
		octets = octets[:n]
	}
	return octets[:min(len(octets), mime.MaxHeaders)], err
}

func (m *mail) Open(context.Context) (*os.File, error) {
	m.opened++
	if m.err != nil {
		return nil, m.err
	}
	return os.Open(m.path)
}

// corpus is the messages of testdata/mail, in the order of their names, and long ones.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	messages := longMessages()
	files, err := filepath.Glob("testdata/mail/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatal("no messages", err)
	}
	for _, file := range files {
		octets, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		messages[strings.TrimSuffix(filepath.Base(file), ".eml")] = octets
	}
	return messages
}

// longMessages have what is searched for far from the beginning, and cut by the ends of buffers.
func longMessages() map[string][]byte {
	head := func(subject, encoding string) string {
		return "From: alice@example.org\nSubject: " + subject + "\nDate: Thu, 12 Mar 2020 10:00:00 +0100\nMIME-Version: 1.0\n" +
			"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: " + encoding + "\n"
	}
	var references, recipients strings.Builder
	for i := range 1200 {
		fmt.Fprintf(&references, "\n <%d@ref.example>", i)
		fmt.Fprintf(&recipients, "User %d <user%d@many.example>,\n ", i, i)
	}
	umlauts := strings.Repeat("äöü", 8000) + "Grenzübergang" + strings.Repeat("ß", 8000)
	return map[string][]byte{
		"longline": []byte(head("long line", "7bit") + "\n" + strings.Repeat("x", 70000) + "farneedle" + strings.Repeat("y", 1000) + "\n"),
		"longfield": []byte(head("long field", "7bit") + "X-Long: " + strings.Repeat("z", 70000) + " endoflongfield\nX-List: " +
			references.String() + "\n <lastref@ref.example>\n\nx\n"),
		"manyto":   []byte(head("many recipients", "7bit") + "To: " + recipients.String() + "last@many.example\n\nx\n"),
		"border64": []byte(head("border", "base64") + "\n" + lines(base64.StdEncoding.EncodeToString([]byte(umlauts)))),
		"borderqp": []byte(head("bigqp", "quoted-printable") + "\n" + strings.Repeat("=C3=A4=C3=B6=C3=BC=\n", 3500) + "=C3=9Cbergang\n"),
	}
}

func lines(s string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\n")
		s = s[76:]
	}
	return b.String() + s + "\n"
}

// mailbox puts messages into files, in the order of their names. UIDs are ten times the sequence numbers.
func mailbox(t testing.TB, messages map[string][]byte) (box []*mail, names []string) {
	t.Helper()
	dir := t.TempDir()
	names = slices.Sorted(maps.Keys(messages))
	for i, name := range names {
		m := &mail{seq: uint32(i + 1), uid: uint32(10 * (i + 1)), path: filepath.Join(dir, name), date: arrival(i)}
		if err := os.WriteFile(m.path, messages[name], 0o600); err != nil {
			t.Fatal(err)
		}
		m.size = wireSize(messages[name])
		box = append(box, m)
	}
	return box, names
}

// arrival is when message i came: every seven hours one.
func arrival(i int) time.Time {
	return time.Date(2021, 3, 27, 20, 30, 0, 0, time.UTC).Add(time.Duration(i) * 7 * time.Hour)
}

func wireSize(b []byte) int64 {
	crlf := strings.Count(string(b), "\r\n")
	return int64(len(b) + strings.Count(string(b), "\n") - crlf)
}

type silent struct{}

func (silent) Continue(string) error { return nil }
func (silent) Flush() error          { return nil }

// parse reads a command as a server does.
func parse(t testing.TB, command string) *imap.Search {
	t.Helper()
	r := imap.NewReader(strings.NewReader("t "+command+"\r\n"), silent{})
	r.State, r.Limits = imap.Selected, imap.LimitsAfterLogin
	request, err := r.Next()
	if err != nil {
		t.Fatalf("%q: %v", command, err)
	}
	search, ok := request.Command.(*imap.Search)
	if !ok {
		t.Fatalf("%q is no SEARCH", command)
	}
	return search
}

// literal is an argument that may hold anything.
func literal(s string) string { return fmt.Sprintf("{%d+}\r\n%s", len(s), s) }

func newQuery(t testing.TB, command string, total int) *Query {
	t.Helper()
	q, err := New(parse(t, command), uint32(total), uint32(10*total))
	if err != nil {
		t.Fatalf("%q: %v", command, err)
	}
	q.zone = time.UTC
	return q
}

// find gives the indices of the messages found.
func find(t testing.TB, q *Query, box []*mail) (found []int) {
	t.Helper()
	for _, r := range q.Candidates(uint32(len(box))) {
		for seq := r.Start; seq <= r.Stop; seq++ {
			ok, err := q.Match(t.Context(), box[seq-1])
			if err != nil && err != io.EOF {
				t.Fatal(err)
			}
			if ok {
				found = append(found, int(seq-1))
			}
		}
	}
	return found
}
