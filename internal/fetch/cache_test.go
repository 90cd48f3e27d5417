package fetch

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/cache"
	"postrider/internal/crew"
	"postrider/internal/imap"
	"postrider/internal/mime"
)

// store is a folder of messages with honest sources.
func store(t testing.TB, texts ...string) (dir string, list []Source) {
	t.Helper()
	dir = t.TempDir()
	for i, text := range texts {
		path := filepath.Join(dir, fmt.Sprint("m", i))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		date := time.Unix(1_700_000_000+int64(i), 5)
		if err := os.Chtimes(path, date, date); err != nil {
			t.Fatal(err)
		}
		wire := len(text) + strings.Count(text, "\n") - strings.Count(text, "\r\n")
		list = append(list, &mail{path: path, wire: int64(wire), date: date})
	}
	return dir, list
}

// all is what a client sees that asks for all messages at once.
func all(t testing.TB, f *Fetcher, list []Source, items string) string {
	t.Helper()
	var out bytes.Buffer
	w := imap.NewWriter(&out)
	parsed := parse(t, items)
	for at := 0; at < len(list); {
		some := list[at:min(len(list), at+max(1, f.Lookahead(parsed)))]
		f.Ahead(t.Context(), some, parsed)
		for i, src := range some {
			m := &Message{Seq: uint32(at+i) + 1, UID: uint32(at+i) + 1, Source: src}
			if err := f.Answer(t.Context(), w, m, parsed); err != nil {
				t.Fatalf("%s: %v", items, err)
			}
		}
		at += len(some)
	}
	f.Done()
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// clientItems is what clients ask for.
var clientItems = []string{
	"RFC822.SIZE", "FAST", "(INTERNALDATE ENVELOPE)", "BODY.PEEK[HEADER]", "(RFC822.SIZE BODY.PEEK[HEADER.FIELDS (From To)])",
	"(UID RFC822.SIZE INTERNALDATE FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])", "FULL", "BODYSTRUCTURE",
	"(BODY.PEEK[1] BODY.PEEK[2.MIME] RFC822.SIZE)", "(BODY.PEEK[2.HEADER] BODY.PEEK[2.TEXT]<1.3> ENVELOPE)", "BODY.PEEK[]",
	"(BODY.PEEK[] ENVELOPE BODYSTRUCTURE)", "BODY.PEEK[TEXT]<3.1000>", "BODY.PEEK[HEADER]<3.9>", "BODY.PEEK[HEADER.FIELDS.NOT (To)]<2.99999>",
	"BINARY.PEEK[1]", "(BODY.PEEK[TEXT] RFC822.SIZE INTERNALDATE BODY)",
}

// TestCached compares answers with those of a Fetcher without a cache, whatever is in the cache before.
func TestCached(t *testing.T) {
	t.Parallel()
	large := "Subject: large\n" + strings.Repeat("X: "+strings.Repeat("x", 900)+"\n", 100) + "\nbody\n"
	texts := []string{plain, mixed, "", "\n", "a: b", "a: b\r\n\r\nc\r\nd\n", large, "Subject: \x00\x80\n\n" + strings.Repeat("line\n", 20_000)}
	for len(texts) < 200 {
		texts = append(texts, fmt.Sprintf("Subject: %d\n\n%s", len(texts), strings.Repeat("x\n", len(texts))), mixed)
	}
	dir, list := store(t, texts...)
	want := make(map[string]string)
	for _, items := range clientItems {
		want[items] = all(t, new(Fetcher), list, items)
	}
	for i, first := range clientItems {
		for _, items := range clientItems[max(0, i-3):min(len(clientItems), i+4)] {
			f := &Fetcher{Cache: cache.Open(filepath.Join(dir, cache.FileName)), Crew: crew.New(3)}
			if err := os.RemoveAll(filepath.Join(dir, cache.FileName)); err != nil {
				t.Fatal(err)
			}
			for _, ask := range []string{first, items, items} {
				f.Cache.Refresh()
				if got := all(t, f, list, ask); got != want[ask] {
					t.Fatalf("after %s, %s:\n got %.300q\nwant %.300q", first, ask, got, want[ask])
				}
			}
			f.Cache.Close()
		}
	}
}

// TestCacheIsUsed shows that no file is opened for what the cache has.
func TestCacheIsUsed(t *testing.T) {
	t.Parallel()
	dir, list := store(t, plain, mixed)
	f := &Fetcher{Cache: cache.Open(filepath.Join(dir, cache.FileName))}
	defer f.Cache.Close()
	const items = "(RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER] BODY.PEEK[HEADER.FIELDS (A)])"
	for _, want := range []int{1, 0} {
		f.Cache.Refresh()
		all(t, f, list, items)
		for _, src := range list {
			m := src.(*mail)
			if m.opens != want {
				t.Errorf("%d times Open, want %d", m.opens, want)
			}
			m.opens = 0
		}
	}
	f.Cache.Refresh()
	if text := ask(t, f, list[1], "BODY.PEEK[2.TEXT]"); !strings.Contains(text, "{5}\r\nthree") || f.kept[0].level != placed {
		t.Errorf("%q, not by the places in the cache", text)
	}
}

// TestCacheOfHeaders: what those who search or sort have left there has headers, but no ENVELOPE yet.
func TestCacheOfHeaders(t *testing.T) {
	t.Parallel()
	dir, list := store(t, plain)
	builder, path := cache.NewHeaderBuilder(), filepath.Join(dir, cache.FileName)
	var b cache.Batch
	base, _ := list[0].Name()
	header := plain[:mime.HeaderLen([]byte(plain))]
	b.Add(builder.Build(base, cache.Info{Size: int64(len(plain)), Wire: -1, Date: time.Unix(1_700_000_000, 5)}, []byte(header)))
	if err := cache.Append(path, &b); err != nil {
		t.Fatal(err)
	}
	f := &Fetcher{Cache: cache.Open(path)}
	defer f.Cache.Close()
	m := list[0].(*mail)
	for _, c := range []struct {
		items string
		opens int
	}{{"BODY.PEEK[HEADER]", 0}, {"ENVELOPE", 1}, {"ENVELOPE", 1}, {"(ENVELOPE BODY.PEEK[HEADER.FIELDS (Subject)])", 1}} {
		f.Cache.Refresh()
		want := all(t, new(Fetcher), []Source{&mail{path: m.path, wire: m.wire, date: m.date}}, c.items)
		if got := all(t, f, list, c.items); got != want || m.opens != c.opens {
			t.Errorf("%s, opened %d times: %q, not %q", c.items, m.opens, got, want)
		}
	}
}

// misnamed is a source whose file has another size than its name tells.
type misnamed struct{ *mail }

func (m misnamed) Name() (string, int64) {
	base, _ := m.mail.Name()
	return base, 1 << 20
}

// TestCacheOfMisnamed: what would not be found again is not written.
func TestCacheOfMisnamed(t *testing.T) {
	t.Parallel()
	dir, list := store(t, plain, mixed)
	for i, src := range list {
		list[i] = misnamed{src.(*mail)}
	}
	f := &Fetcher{Cache: cache.Open(filepath.Join(dir, cache.FileName))}
	defer f.Cache.Close()
	f.Cache.Refresh()
	all(t, f, list, "(ENVELOPE BODYSTRUCTURE)")
	if info, err := os.Stat(filepath.Join(dir, cache.FileName)); err == nil {
		t.Errorf("%d octets in the cache", info.Size())
	}
}

// TestCacheOfOther is a cache whose records do not fit the files: lengths announced are lengths sent, or the connection ends.
func TestCacheOfOther(t *testing.T) {
	t.Parallel()
	dir, list := store(t, mixed)
	f := &Fetcher{Cache: cache.Open(filepath.Join(dir, cache.FileName))}
	defer f.Cache.Close()
	all(t, f, list, "BODYSTRUCTURE")
	src := list[0].(*mail)
	other := strings.Replace(mixed, "one\ntwo", "one two", 1) // as long, with another date
	if err := os.WriteFile(src.path, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	f.Cache.Refresh()
	if text := ask(t, f, src, "BODY.PEEK[1]"); !strings.Contains(text, "{7}\r\none two)") {
		t.Errorf("%q", text)
	}
	f.Forget()
	if err := os.Chtimes(src.path, src.date, src.date); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := imap.NewWriter(&out)
	err := f.Answer(t.Context(), w, &Message{Seq: 1, UID: 1, Source: src}, parse(t, "(BODY.PEEK[1] BODY.PEEK[2.TEXT])"))
	w.Flush()
	if _, badly := literals([]byte(strings.TrimPrefix(out.String(), "* 1 FETCH "))); err == nil && badly != nil {
		t.Errorf("%q: %v", out.String(), badly)
	}
}
