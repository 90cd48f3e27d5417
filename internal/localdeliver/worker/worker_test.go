package worker

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/cache"
	"postrider/internal/filelock"
	"postrider/internal/localdeliver/job"
	"postrider/internal/maildir"
	"postrider/internal/quota"
)

// manager is the other end of a worker.
type manager struct {
	t    *testing.T
	out  *job.Encoder
	in   *job.Decoder
	done chan error
	conn net.Conn
}

func start(t *testing.T, h job.Hello) *manager {
	t.Helper()
	here, there := net.Pipe()
	deadline := time.Now().Add(30 * time.Second)
	here.SetDeadline(deadline)
	there.SetDeadline(deadline)
	m := &manager{t: t, out: job.NewEncoder(here), in: job.NewDecoder(here), done: make(chan error, 1), conn: here}
	go func() {
		err := (&Worker{Patience: time.Millisecond}).Serve(there)
		there.Close()
		m.done <- err
	}()
	t.Cleanup(func() {
		here.Close()
		if err := <-m.done; err != nil {
			t.Errorf("worker: %v", err)
		}
	})
	h.Version, h.MaxForwards, h.Origin, h.Delimiter = job.Version, 3, "example.org", "+"
	if err := m.out.Hello(h); err != nil {
		t.Fatal(err)
	}
	return m
}

// send has the worker deliver a batch.
func (m *manager) send(text string, jobs ...*job.Job) []*job.Result {
	m.t.Helper()
	check := func(err error) {
		m.t.Helper()
		if err != nil {
			m.t.Fatal(err)
		}
	}
	check(m.out.Batch(len(jobs)))
	for _, j := range jobs {
		j.Size = int64(len(text))
		check(m.out.Job(j))
		_, err := m.out.WriteString(text)
		check(err)
	}
	check(m.out.Flush())
	var results []*job.Result
	for range jobs {
		r, err := m.in.Result()
		check(err)
		results = append(results, r)
	}
	return results
}

func jobFor(home string) *job.Job {
	return &job.Job{Unique: "1760000000.id.host", Sender: "carol@example.net", Recipient: "alice@example.org", User: "alice",
		Home: home, Maildir: home + "/Maildir"}
}

const text = "Subject: hello\r\n\r\nText\r\n"

func TestDelivery(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	m := start(t, job.Hello{})
	first, second := jobFor(home), jobFor(home)
	second.Unique, second.Original, second.Sender = "1760000000.id.2.host", "office@example.org", ""
	for i, r := range m.send(text, first, second) {
		got, err := os.ReadFile(filepath.Join(home, "Maildir/new", r.File))
		want := []string{
			"Return-Path: <carol@example.net>\nDelivered-To: alice@example.org\nSubject: hello\n\nText\n",
			"Return-Path: <>\nX-Original-To: office@example.org\nDelivered-To: alice@example.org\nSubject: hello\n\nText\n",
		}[i]
		if r.Kind != job.Delivered || err != nil || string(got) != want {
			t.Errorf("%+v %v: %q", r, err, got)
		}
	}
	first.Again = true
	if r := m.send(text, first)[0]; r.Kind != job.Delivered {
		t.Errorf("again: %+v", r)
	}
	if all, err := os.ReadDir(filepath.Join(home, "Maildir/new")); err != nil || len(all) != 2 {
		t.Errorf("%d files, %v", len(all), err)
	}
}

// TestMount: below a root that is not the mount that it should be, nothing is made.
func TestMount(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := start(t, job.Hello{Mailboxes: root, Mount: "mail1"})
	home := root + "/example.org/alice"
	if r := m.send(text, jobFor(home))[0]; r.Kind != job.Deferred || !strings.Contains(r.Reply.Text, "mailboxes are not there") {
		t.Errorf("not mounted: %+v", r)
	}
	if _, err := os.Lstat(filepath.Dir(home)); err == nil {
		t.Error("something was made")
	}
	if err := os.WriteFile(filepath.Join(root, maildir.MountFile), []byte("mail1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := m.send(text, jobFor(home))[0]; r.Kind != job.Delivered {
		t.Errorf("mounted: %+v", r)
	}
}

func TestHomes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	m := start(t, job.Hello{Mailboxes: root})
	virtual := jobFor(root + "/example.org/alice")
	if r := m.send(text, virtual)[0]; r.Kind != job.Delivered {
		t.Errorf("virtual: %+v", r)
	}
	if r := m.send(text, jobFor(root+"x/alice"))[0]; r.Kind != job.Deferred || !strings.Contains(r.Reply.Text, "home directory is missing") {
		t.Errorf("missing home: %+v", r.Reply)
	}
	file := root + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := m.send(text, jobFor(file))[0]; r.Kind != job.Deferred {
		t.Errorf("home is a file: %+v", r.Reply)
	}
	for sub, link := range map[string]string{"link": "file", "dangling": "nowhere"} {
		home := filepath.Join(root, sub)
		if err := os.MkdirAll(home, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(root, link), home+"/Maildir"); err != nil {
			t.Fatal(err)
		}
		if r := m.send(text, jobFor(home))[0]; r.Kind != job.Deferred {
			t.Errorf("Maildir is a %s: %+v", sub, r)
		}
	}
}

func TestLoop(t *testing.T) {
	t.Parallel()
	m := start(t, job.Hello{})
	for _, test := range []struct {
		head string
		want job.Kind
	}{
		{"Delivered-To: alice@example.org\r\n", job.Failed},
		{"Received: x\r\n y\r\ndelivered-to:  ALICE@example.org \r\n", job.Failed},
		{"Delivered-To: bob@example.org\r\n", job.Delivered},
		{"X: y\r\n\r\nDelivered-To: alice@example.org\r\n", job.Delivered},
		{"X-Delivered-To: alice@example.org\r\n", job.Delivered},
		{strings.Repeat("Delivered-To: bob@example.org\r\n", maxDeliveries), job.Delivered},
		{strings.Repeat("Delivered-To: bob@example.org\r\n", maxDeliveries+1), job.Failed},
	} {
		if r := m.send(test.head+text, jobFor(t.TempDir()))[0]; r.Kind != test.want || r.Kind == job.Failed && r.Reply.Status() != "5.4.6" {
			t.Errorf("%q: %+v %v", test.head, r, r.Reply)
		}
	}
}

// TestForwardEnds has mail that the user sent on to another form of the own address: it stays there.
func TestForwardEnds(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if err := os.WriteFile(home+"/.forward", []byte("bob@example.net"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := start(t, job.Hello{})
	for i, test := range []struct {
		user, recipient, past string
		want                  job.Kind
	}{
		{"alice", "alice+x@example.org", "alice@example.org", job.Delivered},
		{"alice", "alice@host.example.org", "Alice@Example.ORG", job.Delivered},
		{"alice", "alice+x@example.org", "alice+y@example.org", job.Forward},
		{"alice", "alice@example.org", "alice@example.com", job.Forward},
		{"alice@example.com", "alice+x@example.com", "alice@example.com", job.Delivered},
		{"alice@example.com", "alice+x@example.com", "alice@example.org", job.Forward},
	} {
		j := jobFor(home)
		j.Unique, j.User, j.Recipient = fmt.Sprintf("1.%d.host", i), test.user, test.recipient
		if r := m.send("Delivered-To: "+test.past+"\r\n"+text, j)[0]; r.Kind != test.want {
			t.Errorf("%s after %s: %+v %v", test.recipient, test.past, r, r.Reply)
		}
	}
}

// TestKept has mail whose copy for the mailbox was written before: it is not written again.
func TestKept(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	m := start(t, job.Hello{})
	j := jobFor(home)
	j.Kept = j.Unique + ",S=1,W=1"
	for forward, want := range map[string]job.Kind{"\\alice, bob@example.net": job.Forward, "alice": job.Delivered} {
		if err := os.WriteFile(home+"/.forward", []byte(forward), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := m.send(text, j)[0]; r.Kind != want || r.File != j.Kept {
			t.Errorf("%s: %+v %v", forward, r, r.Reply)
		}
	}
	if _, err := os.Stat(home + "/Maildir"); !os.IsNotExist(err) {
		t.Errorf("it was written: %v", err)
	}
}

// TestPrivateDetails has failures whose reasons name files and addresses: only the log is told.
func TestPrivateDetails(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	m := start(t, job.Hello{})
	if err := os.WriteFile(home+"/.forward", []byte("secret@@example.net"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := m.send(text, jobFor(home))[0]; strings.Contains(r.Reply.Text, "secret") || !strings.Contains(r.Detail, "secret") {
		t.Errorf("%q, %q", r.Reply.Text, r.Detail)
	}
	missing := jobFor(home + "/private")
	if r := m.send(text, missing)[0]; strings.Contains(r.Reply.Text, "private") || !strings.Contains(r.Detail, "private") {
		t.Errorf("%q, %q", r.Reply.Text, r.Detail)
	}
}

func TestForward(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, file, contents string
		mode                 os.FileMode
		kind                 job.Kind
		addresses            string
		kept, patient        bool
	}{
		{"empty", ".forward", "", 0o600, job.Delivered, "", true, false},
		{"comments", ".forward", "# bob@example.net\n\n", 0o600, job.Delivered, "", true, false},
		{"one", ".forward", "bob@example.net\n", 0o644, job.Forward, "bob@example.net", false, false},
		{"lists", ".forward", "bob@example.net, <carol@example.net>\nbob@example.net", 0o600, job.Forward, "bob@example.net carol@example.net", false, false},
		{"keep", ".forward", "\\alice, bob@example.net", 0o600, job.Forward, "bob@example.net", true, false},
		{"own address", ".forward", "Alice@Example.ORG", 0o600, job.Delivered, "", true, false},
		{"extension", ".forward+list", "bob@example.net", 0o600, job.Forward, "bob@example.net", false, false},
		{"other extension", ".forward+other", "bob@example.net", 0o600, job.Delivered, "", true, false},
		{"command", ".forward", `"|/usr/bin/procmail -f, x"`, 0o600, job.Deferred, "", false, true},
		{"file", ".forward", "/var/mail/alice", 0o600, job.Deferred, "", false, true},
		{"include", ".forward", ":include:/etc/list", 0o600, job.Deferred, "", false, true},
		{"garbage", ".forward", "bob@@example.net", 0o600, job.Deferred, "", false, false},
		{"open quote", ".forward", `"|x`, 0o600, job.Deferred, "", false, false},
		{"too many", ".forward", "a@b.c, b@b.c, c@b.c, d@b.c", 0o600, job.Deferred, "", false, false},
		{"too long", ".forward", strings.Repeat("#\n", 40_000), 0o600, job.Deferred, "", false, false},
		{"group may write", ".forward", "bob@example.net", 0o620, job.Deferred, "", false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			path := filepath.Join(home, test.file)
			if err := os.WriteFile(path, []byte(test.contents), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			j := jobFor(home)
			j.Recipient, j.Extension = "alice+list@example.org", "list"
			r := start(t, job.Hello{}).send(text, j)[0]
			if r.Kind != test.kind || strings.Join(r.Addresses, " ") != test.addresses || (r.File != "") != test.kept || r.Patient != test.patient {
				t.Errorf("%+v %v", r, r.Reply)
			}
		})
	}
}

func TestForwardTraps(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if err := os.Symlink("/etc/passwd", home+"/.forward"); err != nil {
		t.Fatal(err)
	}
	if r := start(t, job.Hello{}).send(text, jobFor(home))[0]; r.Kind != job.Deferred || r.Reply.Status() != "4.3.5" {
		t.Errorf("symlink: %+v", r)
	}
	home = t.TempDir()
	if err := os.Mkdir(home+"/.forward", 0o700); err != nil {
		t.Fatal(err)
	}
	if r := start(t, job.Hello{}).send(text, jobFor(home))[0]; r.Kind != job.Deferred {
		t.Errorf("directory: %+v", r)
	}
	for ext, want := range map[string]bool{"x": true, "": false, "/../x": false, ".": false, strings.Repeat("x", 65): false} {
		if usableExtension(ext) != want {
			t.Errorf("extension %q", ext)
		}
	}
}

func TestIsOwn(t *testing.T) {
	t.Parallel()
	w := &Worker{hello: job.Hello{Origin: "example.org"}}
	system := &job.Job{Recipient: "alice+x@host.example.org", User: "alice"}
	virtual := &job.Job{Recipient: "alice@example.com", User: "alice@example.com"}
	for _, test := range []struct {
		job  *job.Job
		text string
		want bool
	}{
		{system, "alice", true},
		{system, "ALICE@host.example.org", true},
		{system, "alice@example.org", true},
		{system, "alice@example.com", false},
		{system, "alicex@example.org", false},
		{virtual, "alice@example.com", true},
		{virtual, "alice", false}, // the system's, or nobody
	} {
		a, err := address.Parse(test.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.isOwn(a, test.job); got != test.want {
			t.Errorf("%s for %s: %v", test.text, test.job.User, got)
		}
	}
}

func FuzzForward(f *testing.F) {
	for _, s := range []string{"", "a@b, c", `"|x, y" , \a`, "#\n:include:/x", `"a\"b"@c.d`, "<a@b>\n<", ",,,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseForward(s, 100, func(a address.Address) bool { return a.Domain == "" && a.Local == "me" })
		if err != nil {
			return
		}
		if len(got.addresses) > 100 || !got.mailbox && len(got.addresses) == 0 {
			t.Errorf("%q: %+v", s, got)
		}
		for _, text := range got.addresses {
			if _, err := address.Parse(text); err != nil {
				t.Errorf("%q: %q does not read back: %v", s, text, err)
			}
		}
	})
}

func TestQuota(t *testing.T) {
	t.Parallel()
	for _, bounce := range []bool{false, true} {
		home := t.TempDir()
		m := start(t, job.Hello{BounceFull: bounce})
		var jobs []*job.Job
		for i := range 3 {
			j := jobFor(home)
			j.Unique, j.Quota = fmt.Sprintf("1760000000.id.%d.host", i+2), 200
			jobs = append(jobs, j)
		}
		results := m.send(text, jobs...) // of 91 octets each, 86 of them on disk
		want := []job.Kind{job.Delivered, job.Delivered, map[bool]job.Kind{false: job.Deferred, true: job.Failed}[bounce]}
		for i, r := range results {
			if r.Kind != want[i] {
				t.Errorf("%d: %+v", i, r)
			}
		}
		if status := results[2].Reply.Status(); status != map[bool]string{false: "4.2.2", true: "5.2.2"}[bounce] {
			t.Errorf("status %s", status)
		}
		jobs[0].Again = true
		if r := m.send(text, jobs[0])[0]; r.Kind != job.Deferred {
			t.Errorf("what may be there already, without room: %+v", r)
		}
		jobs[1].Again, jobs[1].Quota = true, 300
		if r := m.send(text, jobs[1])[0]; r.Kind != job.Delivered {
			t.Errorf("what is there already: %+v", r)
		}
		files, _ := filepath.Glob(filepath.Join(home, "Maildir/*/*"))
		used, _, err := quota.New(filepath.Join(home, "Maildir"), 200).Usage(t.Context())
		if err != nil || used != (quota.Amount{Octets: 172, Messages: 2}) || len(files) != 2 {
			t.Errorf("%v, %v: %q", used, err, files)
		}
	}
}

// TestQuotaLocked: who keeps the own quota locked keeps nobody else waiting.
func TestQuotaLocked(t *testing.T) {
	t.Parallel()
	m := start(t, job.Hello{})
	mine, other := jobFor(t.TempDir()), jobFor(t.TempDir())
	mine.Quota, other.Quota = 1000, 1000
	other.Unique = "1760000000.id.2.host"
	if r := m.send(text, mine)[0]; r.Kind != job.Delivered {
		t.Fatalf("%+v", r)
	}
	lock, err := filelock.Take(t.Context(), filepath.Join(mine.Home, "Maildir/postrider.quota"), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	mine.Unique = "1760000000.id.3.host"
	results := m.send(text, mine, other)
	if results[0].Kind != job.Deferred || results[1].Kind != job.Delivered {
		t.Errorf("%+v, then %+v", results[0], results[1])
	}
}

// TestRecorded shows that what IMAP clients ask for is ready when the worker has ended.
func TestRecorded(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	m := start(t, job.Hello{})
	first, second := jobFor(home), jobFor(home)
	second.Unique = "1760000000.id.2.host"
	results := m.send(text, first, second)
	m.conn.Close()
	m.done <- <-m.done
	c := cache.Open(home + "/Maildir/" + cache.FileName)
	defer c.Close()
	c.Refresh()
	for _, r := range results {
		record := c.Get(new(cache.Window), r.File, -1)
		if record == nil || !record.Whole() || !strings.HasSuffix(string(record.Header), "Subject: hello\r\n\r\n") {
			t.Errorf("%s: %+v", r.File, record)
		}
	}
}
