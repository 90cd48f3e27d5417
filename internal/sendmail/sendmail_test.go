package sendmail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"postrider/internal/smtpc/smtpctest"
)

// rig is a mail system with a fake submit server.
type rig struct {
	t      *testing.T
	server *smtpctest.Server
	config string
	dir    string // for temporary files
	name   string // of the calling user
	full   string

	patience time.Duration
}

func newRig(t *testing.T, s *smtpctest.Server) *rig {
	t.Helper()
	if s.Extensions == nil {
		s.Extensions = smtpctest.All
	}
	s.Start(t)
	r := &rig{t: t, server: s, dir: t.TempDir(), name: "alice", full: "Alice Liddell"}
	r.config = filepath.Join(r.dir, "postrider.toml")
	text := fmt.Sprintf("version = 1\nhostname = \"mail.example.test\"\nrun_dir = %q\nspool_dir = %q\n[tables]\naliases = [%q]\n",
		filepath.Dir(s.Path), filepath.Join(r.dir, "spool"), filepath.Join(r.dir, "aliases"))
	r.write("postrider.toml", text)
	return r
}

func (r *rig) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// call runs the program with -C before its arguments.
func (r *rig) call(stdin io.Reader, argv ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	p := &program{
		stdin: stdin, stdout: &out, stderr: &errs,
		account: func() (string, string, error) {
			if r.name == "" {
				return "", "", errors.New("no login name")
			}
			return r.name, r.full, nil
		},
		temporary: func() (*os.File, error) { return os.Create(filepath.Join(r.dir, "temporary")) },
		patience:  r.patience,
	}
	status = p.main(r.t.Context(), slices.Concat(argv[:1], []string{"-C", r.config}, argv[1:]))
	return status, out.String(), errs.String()
}

func (r *rig) send(message, line string) (smtpctest.Message, int, string) {
	r.t.Helper()
	status, _, stderr := r.call(strings.NewReader(message), strings.Fields(line)...)
	m := r.server.Messages()
	if len(m) == 0 {
		return smtpctest.Message{}, status, stderr
	}
	return m[len(m)-1], status, stderr
}

// TestMail sends as the callers of sendmail do.
func TestMail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, line, in string
		from           string
		to             []string
		body           string
	}{
		{"php mail()", "sendmail -t -i -fwww@example.org", "To: bob@example.org\nSubject: x\nX-PHP: 1\n\nhello\n",
			"<www@example.org> SIZE=N", []string{"<bob@example.org>"},
			"To: bob@example.org\r\nSubject: x\r\nX-PHP: 1\r\nFrom: Alice Liddell <www@example.org>\r\n\r\nhello\r\n"},
		{"php mail() with crlf", "sendmail -t -i", "To: bob@example.org\r\nSubject: x\r\nFrom: w@example.org\r\n\r\nhello\r\n",
			"<alice> SIZE=N", []string{"<bob@example.org>"}, "To: bob@example.org\r\nSubject: x\r\nFrom: w@example.org\r\n\r\nhello\r\n"},
		{"python", "sendmail -t -oi", "From: me@example.org\nTo: Bob <bob@example.org>, carol@example.org\nCc: dave\nBcc: eve@example.org\nSubject: x\n\n.\nhello\n",
			"<alice> SIZE=N", []string{"<bob@example.org>", "<carol@example.org>", "<dave>", "<eve@example.org>"},
			"From: me@example.org\r\nTo: Bob <bob@example.org>, carol@example.org\r\nCc: dave\r\nSubject: x\r\n\r\n.\r\nhello\r\n"},
		{"mutt", "sendmail -oem -oi -f a@x.org -N failure,delay -R hdrs -V id -- b@y.org", "From: a@x.org\nSubject: x\n\nhi\n",
			"<a@x.org> SIZE=N RET=HDRS ENVID=id", []string{"<b@y.org> NOTIFY=FAILURE,DELAY"}, "From: a@x.org\r\nSubject: x\r\n\r\nhi\r\n"},
		{"cron", "sendmail -FCronDaemon -i -B8BITMIME -oem root", "From: root (Cron Daemon)\nTo: root\nSubject: Cron\n\noutput\n",
			"<alice> SIZE=N BODY=8BITMIME", []string{"<root>"}, "From: root (Cron Daemon)\r\nTo: root\r\nSubject: Cron\r\n\r\noutput\r\n"},
		{"logwatch", "sendmail -t", "To: root\nFrom: logwatch\n\nreport\n.\nmore\n", "<alice> SIZE=N", []string{"<root>"}, "To: root\r\nFrom: logwatch\r\n\r\nreport\r\n"},
		{"echo", "sendmail bob", "hello\n", "<alice> SIZE=N", []string{"<bob>"}, "From: Alice Liddell <alice>\r\n\r\nhello\r\n"},
		{"nothing", "sendmail bob", "", "<alice> SIZE=N", []string{"<bob>"}, "From: Alice Liddell <alice>\r\n\r\n"},
		{"full name", "sendmail -F B\xc3\xb6b bob", "Subject: x\n\n", "<alice> SIZE=N", []string{"<bob>"}, "Subject: x\r\nFrom: =?utf-8?q?B=C3=B6b?= <alice>\r\n\r\n"},
		{"null sender", "sendmail -f <> bob", "Subject: x\n\n", "<> SIZE=N", []string{"<bob>"}, "Subject: x\r\nFrom: Alice Liddell <alice>\r\n\r\n"},
		{"sender with a name", "sendmail -f Bob<bob@x.org> carol", "From: x\n\n", "<bob@x.org> SIZE=N", []string{"<carol>"}, "From: x\r\n\r\n"},
		{"mbox", "sendmail -i bob", "From alice Mon Jan 1\n>From x\nFrom: a\n\nFrom here\n", "<alice> SIZE=N", []string{"<bob>"}, "From: a\r\n\r\nFrom here\r\n"},
		{"recipients of both kinds", "sendmail -t carol bob@x.org", "To: bob@x.org, dave\nFrom: a\n\n", "<alice> SIZE=N", []string{"<carol>", "<bob@x.org>", "<dave>"},
			"To: bob@x.org, dave\r\nFrom: a\r\n\r\n"},
		{"lists as arguments", "sendmail a,b (x)<c@x.org>", "From: a\n\n", "<alice> SIZE=N", []string{"<a>", "<b>", "<c@x.org>"}, "From: a\r\n\r\n"},
		{"bounced", "sendmail -t", "From: x\nTo: old\nBcc: secret\nResent-To: new\nResent-Bcc: hidden\n\nhi\n", "<alice> SIZE=N", []string{"<new>", "<hidden>"},
			"From: x\r\nTo: old\r\nResent-To: new\r\n\r\nhi\r\n"},
		{"utf8", "sendmail jürgen@x.org", "From: a\n\n", "<alice> SIZE=N SMTPUTF8", []string{"<jürgen@x.org>"}, "From: a\r\n\r\n"},
		{"bad crs", "sendmail bob", "From: a\n\na\rb\r\r\n", "<alice> SIZE=N", []string{"<bob>"}, "From: a\r\n\r\na b\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, &smtpctest.Server{})
			m, status, stderr := r.send(c.in, c.line)
			if status != exitOK || stderr != "" {
				t.Fatalf("status %d, stderr %q", status, stderr)
			}
			from := strings.Replace(c.from, "SIZE=N", fmt.Sprintf("SIZE=%d", len(c.body)), 1)
			if m.From != from || !slices.Equal(m.To, c.to) || m.Body != c.body {
				t.Errorf("from %s\nto %q\n%q\nwant %q", m.From, m.To, m.Body, c.body)
			}
		})
	}
}

func TestFromFields(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":               "",
		"Alice":          "Alice",
		"A. \"B\" C\\D":  `"A. \"B\" C\\D"`,
		"Bad\r\nTo: eve": `"Bad To: eve"`,
		" \x00 ":         "",
		"M\xff\xc3\xbc":  "=?utf-8?q?M=C3=BC?=",
	} {
		if got := phrase(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
	if got := phrase(strings.Repeat("ü", 1000)); len(got) > 900 {
		t.Errorf("%d octets", len(got))
	}
	if got := expand("& Liddell", "alice"); got != "Alice Liddell" {
		t.Errorf("got %q", got)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		answers map[string]string
		line    string
		status  int
		stderr  string
		sent    int
	}{
		{"unknown user", map[string]string{"<bob>": "550 5.1.1 unknown user"}, "sendmail bob", exitNoUser, "sendmail: <bob>: 550 5.1.1 unknown user\n", 0},
		{"address in the answer", map[string]string{"<bob>": "550 5.1.1 <bob>: unknown user"}, "sendmail bob", exitNoUser, "sendmail: 550 5.1.1 <bob>: unknown user\n", 0},
		{"one of two", map[string]string{"<bob>": "550 5.1.1 unknown user"}, "sendmail bob carol", exitNoUser, "sendmail: <bob>: 550 5.1.1 unknown user\n", 1},
		{"one of two later", map[string]string{"<bob>": "451 4.3.0 later"}, "sendmail bob carol", exitTempFail, "sendmail: <bob>: 451 4.3.0 later\n", 1},
		{"never and later, one sent", map[string]string{"<bob>": "451 4.3.0 later", "<dave>": "550 5.1.2 no host"}, "sendmail bob carol dave", exitNoHost,
			"sendmail: <bob>: 451 4.3.0 later\nsendmail: <dave>: 550 5.1.2 no host\n", 1},
		{"never and later, none sent", map[string]string{"<bob>": "451 4.3.0 later", "<dave>": "550 5.1.2 no host"}, "sendmail dave bob", exitTempFail,
			"sendmail: <dave>: 550 5.1.2 no host\nsendmail: <bob>: 451 4.3.0 later\n", 0},
		{"bad address", nil, "sendmail a@b@c", exitDataErr, "sendmail: \"a@b@c\": address syntax", 0},
		{"bad address among good ones", nil, "sendmail a@b@c carol", exitDataErr, "sendmail: \"a@b@c\": address syntax", 1},
		{"bad address, busy", map[string]string{"MAIL": "451 4.3.0 later"}, "sendmail a@b@c carol", exitTempFail, "", 0},
		{"sender", map[string]string{"MAIL": "550 5.1.8 no such domain"}, "sendmail bob", exitNoUser, "sendmail: 550 5.1.8 no such domain\n", 0},
		{"too big", map[string]string{"MAIL": "552 5.3.4 too big"}, "sendmail bob", exitUnavailable, "sendmail: 552 5.3.4 too big\n", 0},
		{"policy", map[string]string{"RCPT": "554 5.7.1 no"}, "sendmail bob", exitNoPerm, "sendmail: <bob>: 554 5.7.1 no\n", 0},
		{"content", map[string]string{"BDAT": "554 5.6.0 bad"}, "sendmail bob", exitDataErr, "sendmail: 554 5.6.0 bad\n", 0},
		{"no code", map[string]string{"RCPT": "550 go away"}, "sendmail bob", exitUnavailable, "sendmail: <bob>: 550 go away\n", 0},
		{"full", map[string]string{"BDAT": "452 4.3.1 full"}, "sendmail bob", exitTempFail, "sendmail: 452 4.3.1 full\n", 0},
		{"busy", map[string]string{"connect": "421 4.3.2 busy"}, "sendmail bob", exitTempFail, "sendmail: 421 4.3.2 busy\n", 0},
		{"gone", map[string]string{"BDAT": "close"}, "sendmail bob", exitTempFail, "sendmail: smtp: ", 0},
		{"no recipients", nil, "sendmail", exitUsage, "sendmail: no recipients", 0},
		{"no recipients in the header", nil, "sendmail -t", exitUsage, "sendmail: no recipients", 0},
		{"bad option", nil, "sendmail -z", exitUsage, "sendmail: unknown option -z\n", 0},
		{"bad sender", nil, "sendmail -f a@b@c bob", exitUsage, "sendmail: bad sender", 0},
		{"warning only", nil, "sendmail -N x bob", exitOK, "sendmail: warning: bad argument of option -N", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, &smtpctest.Server{Answer: func(command string) string {
				for part, a := range c.answers {
					if strings.Contains(command, part) {
						return a
					}
				}
				return ""
			}})
			_, status, stderr := r.send("Subject: x\n\nhi\n", c.line)
			if status != c.status || !strings.HasPrefix(stderr, c.stderr) || strings.HasSuffix(c.stderr, "\n") && stderr != c.stderr {
				t.Errorf("status %d, stderr %q", status, stderr)
			}
			if n := len(r.server.Messages()); n != c.sent {
				t.Errorf("%d sent", n)
			}
		})
	}
}

func TestDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, &smtpctest.Server{})
	if err := os.Remove(r.server.Path); err != nil {
		t.Fatal(err)
	}
	for _, argv := range [][]string{{"sendmail", "bob"}, {"sendmail", "-bs"}, {"sendmail", "-bv", "bob"}, {"sendmail", "-q"}} {
		if status, _, stderr := r.call(strings.NewReader("x\n"), argv...); status != exitTempFail || stderr == "" {
			t.Errorf("%q: status %d, stderr %q", argv, status, stderr)
		}
	}
}

// TestNeverInPart: a message whose input breaks is not sent.
func TestNeverInPart(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 20, 2 * inMemory} {
		r := newRig(t, &smtpctest.Server{})
		in := "Subject: x\n\n" + strings.Repeat("0123456789\n", inMemory/4)
		status, _, stderr := r.call(io.MultiReader(strings.NewReader(in[:n]), iotest.ErrReader(errors.New("broken"))), "sendmail", "bob")
		if status != exitIOErr || !strings.Contains(stderr, "broken") || len(r.server.Messages()) != 0 {
			t.Errorf("after %d: status %d, stderr %q", n, status, stderr)
		}
	}
}

func TestLargeMessages(t *testing.T) {
	t.Parallel()
	in := "From: a\n\n" + strings.Repeat("0123456789abcdef\n", 4*inMemory/17)
	want := strings.ReplaceAll(in, "\n", "\r\n")
	for name, temporary := range map[string]func(dir string) (*os.File, error){
		"stored":       func(dir string) (*os.File, error) { return os.Create(filepath.Join(dir, "t")) },
		"unnamed":      func(string) (*os.File, error) { return unnamedFile() },
		"no directory": func(dir string) (*os.File, error) { return os.Create(filepath.Join(dir, "none", "t")) },
		"no room":      func(string) (*os.File, error) { return os.OpenFile("/dev/full", os.O_RDWR, 0) },
	} {
		r := newRig(t, &smtpctest.Server{Extensions: []string{"PIPELINING", "SIZE", "LIMITS RCPTMAX=2"}})
		var errs bytes.Buffer
		p := &program{stdin: strings.NewReader(in), stdout: io.Discard, stderr: &errs,
			account:   func() (string, string, error) { return "alice", "", nil },
			temporary: func() (*os.File, error) { return temporary(r.dir) }}
		if status := p.main(t.Context(), []string{"sendmail", "-C", r.config, "a", "b", "c"}); status != exitOK {
			t.Errorf("%s: status %d, %s", name, status, errs.String())
			continue
		}
		messages := r.server.Messages()
		var to []string
		for _, m := range messages {
			to = append(to, m.To...)
			if m.Body != want {
				t.Errorf("%s: %d octets, want %d", name, len(m.Body), len(want))
			}
		}
		if !slices.Equal(to, []string{"<a>", "<b>", "<c>"}) {
			t.Errorf("%s: to %q", name, to)
		}
		if stored := name == "stored" || name == "unnamed"; stored != (len(messages) == 2) || stored != strings.Contains(messages[0].From, fmt.Sprintf("SIZE=%d", len(want))) {
			t.Errorf("%s: %d transactions, from %s", name, len(messages), messages[0].From)
		}
	}
}

// TestSlowWriter: the mail system is not kept waiting for a program that has not yet written its last line.
func TestSlowWriter(t *testing.T) {
	t.Parallel()
	r := newRig(t, &smtpctest.Server{})
	in, out := io.Pipe()
	done := make(chan int)
	go func() {
		status, _, _ := r.call(in, "sendmail", "bob")
		done <- status
	}()
	fmt.Fprint(out, "Subject: x\n\n")
	fmt.Fprint(out, "first\n")
	if c := r.server.Commands(); len(c) != 0 {
		t.Errorf("connected already: %q", c)
	}
	fmt.Fprint(out, "last\n")
	out.Close()
	if status := <-done; status != exitOK {
		t.Errorf("status %d", status)
	}
}

func TestVerbose(t *testing.T) {
	t.Parallel()
	r := newRig(t, &smtpctest.Server{})
	if _, stdout, _ := r.call(strings.NewReader("\n"), "sendmail", "-v", "bob"); stdout != "250 2.0.0 queued as test1\n" {
		t.Errorf("got %q", stdout)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	r := newRig(t, &smtpctest.Server{Answer: func(c string) string {
		if strings.Contains(c, "<bad>") {
			return "550 5.1.1 unknown user"
		}
		return ""
	}})
	status, stdout, _ := r.call(strings.NewReader(""), "sendmail", "-bv", "bob", "bad")
	if status != exitNoUser || stdout != "bob... deliverable\nbad... 550 5.1.1 unknown user\n" || len(r.server.Messages()) != 0 {
		t.Errorf("status %d, %q", status, stdout)
	}
	if status, _, _ := r.call(strings.NewReader(""), "sendmail", "-bv"); status != exitUsage {
		t.Errorf("no recipients: status %d", status)
	}
}

func TestSMTP(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]string{"lf": "\n", "crlf": "\r\n"} {
		r := newRig(t, &smtpctest.Server{})
		script := strings.Join([]string{"EHLO me", "MAIL FROM:<a@x>", "RCPT TO:<b@y>", "DATA", "Subject: x", "", "..hi", ".", "QUIT", ""}, end)
		status, stdout, stderr := r.call(iotest.HalfReader(strings.NewReader(script)), "sendmail", "-bs", "-i")
		if status != exitOK || !strings.HasPrefix(stdout, "220 test") || !strings.HasSuffix(stdout, "250 ok\r\n") || stderr != "" {
			t.Errorf("%s: status %d, %q, %q", name, status, stdout, stderr)
		}
		if m := r.server.Messages(); len(m) != 1 || m[0].Body != "Subject: x\r\n\r\n.hi\r\n" {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// TestSMTPEnds: a server that hangs up ends the session even if standard input stays open.
func TestSMTPEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t, &smtpctest.Server{Answer: func(c string) string {
		if c == "connect" {
			return "421 4.3.2 busy"
		}
		return ""
	}})
	in, out := io.Pipe()
	defer out.Close()
	if status, stdout, _ := r.call(in, "sendmail", "-bs"); status != exitOK || stdout != "421 4.3.2 busy\r\n" {
		t.Errorf("status %d, %q", status, stdout)
	}
}

// TestSMTPRefused: a server without a word is one that is down.
func TestSMTPRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, &smtpctest.Server{Answer: func(string) string { return "close" }})
	status, stdout, stderr := r.call(strings.NewReader(""), "sendmail", "-bs")
	if status != exitTempFail || !strings.HasPrefix(stdout, "421 4.3.0 ") || stderr == "" {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
}

// TestNothingDropped: whatever does not send a message does not take one with success.
func TestNothingDropped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line   string
		status int
		sent   int
	}{
		{"sendmail -q30m alice", exitOK, 1},
		{"sendmail -bm -q30m alice", exitOK, 1},
		{"sendmail -q30m -t", exitOK, 1},
		{"sendmail -q30m", exitOK, 0},
		{"sendmail -bh alice", exitUsage, 0},
		{"sendmail -bH -q1h alice", exitUsage, 0},
		{"sendmail -bh -t", exitUsage, 0},
		{"sendmail -bp alice", exitUsage, 0},
		{"sendmail -bi alice", exitUsage, 0},
		{"sendmail -q alice", exitUsage, 0},
	} {
		r := newRig(t, &smtpctest.Server{})
		_, status, stderr := r.send("To: alice\nSubject: x\n\nhi\n", c.line)
		if status != c.status || len(r.server.Messages()) != c.sent || (status == exitOK) != (stderr == "") {
			t.Errorf("%s: status %d, %d sent, %q", c.line, status, len(r.server.Messages()), stderr)
		}
	}
}

// TestPatience: a busy server is asked again, also one that hangs up without a word; in the end the caller is told to try later.
func TestPatience(t *testing.T) {
	t.Parallel()
	for _, refusal := range []string{"421 4.3.2 busy", "close"} {
		var refused atomic.Int32
		r := newRig(t, &smtpctest.Server{Answer: func(c string) string {
			if c == "connect" && refused.Add(1) != 3 {
				return refusal
			}
			return ""
		}})
		r.patience = 10 * time.Second
		if status, _, stderr := r.call(strings.NewReader("x\n"), "sendmail", "bob"); status != exitOK || len(r.server.Messages()) != 1 {
			t.Errorf("%s: status %d, %q", refusal, status, stderr)
		}
		r.patience = time.Second
		if status, _, stderr := r.call(strings.NewReader("x\n"), "sendmail", "bob"); status != exitTempFail || refused.Load() < 5 || len(r.server.Messages()) != 1 {
			t.Errorf("%s: status %d after %d, %q", refusal, status, refused.Load(), stderr)
		}
	}
}

func TestLineEnds(t *testing.T) {
	t.Parallel()
	const in, want = "a\nb\r\n\n\r\n\rc\r", "a\r\nb\r\n\r\n\r\n\rc\r"
	for n := 1; n <= len(in); n++ {
		var b strings.Builder
		l := &lineEnds{w: &b}
		for chunk := range slices.Chunk([]byte(in), n) {
			if m, err := l.Write(chunk); m != len(chunk) || err != nil {
				t.Fatal(m, err)
			}
		}
		if b.String() != want {
			t.Errorf("pieces of %d: %q", n, b.String())
		}
	}
}

func TestNewaliases(t *testing.T) {
	t.Parallel()
	r := newRig(t, &smtpctest.Server{})
	if status, stdout, stderr := r.call(nil, "newaliases"); status != exitOK || stdout+stderr != "" {
		t.Errorf("no file: status %d, %q", status, stderr)
	}
	r.write("aliases", "root: alice\npostmaster root\n\nlist: \"a\n")
	status, _, stderr := r.call(nil, "newaliases")
	path := filepath.Join(r.dir, "aliases")
	if status != exitDataErr || !strings.HasPrefix(stderr, path+":2: ") || !strings.Contains(stderr, "\n"+path+":4: ") {
		t.Errorf("status %d, %q", status, stderr)
	}
	r.write("good", "root: alice\n")
	if status, _, stderr := r.call(nil, "sendmail", "-bi", "-oA"+filepath.Join(r.dir, "good")); status != exitOK {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// TestConfig: mail goes out whatever is wrong with the configuration.
func TestConfig(t *testing.T) {
	t.Parallel()
	r := newRig(t, &smtpctest.Server{})
	r.write("postrider.toml", "what is this")
	status, _, stderr := r.call(strings.NewReader("x\n"), "sendmail", "-bh")
	if status != exitOK || !strings.Contains(stderr, "warning") {
		t.Errorf("status %d, %q", status, stderr)
	}
}

func TestNoLogin(t *testing.T) {
	t.Parallel()
	r := newRig(t, &smtpctest.Server{})
	r.name = ""
	if _, status, stderr := r.send("x\n", "sendmail bob"); status != exitUsage || !strings.Contains(stderr, "no login name") {
		t.Errorf("status %d, %q", status, stderr)
	}
	if m, status, stderr := r.send("x\n", "sendmail -f a@x.org bob"); status != exitOK || m.Body != "\r\nx\r\n" {
		t.Errorf("status %d, %q, %+v", status, stderr, m)
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	r := newRig(t, &smtpctest.Server{})
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if status, _, stderr := r.call(strings.NewReader("x\n"), "sendmail", fmt.Sprint("user", i)); status != exitOK {
				t.Errorf("status %d, %q", status, stderr)
			}
		})
	}
	all.Wait()
	if n := len(r.server.Messages()); n != 20 {
		t.Errorf("%d messages", n)
	}
}
