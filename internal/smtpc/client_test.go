package smtpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/reply"
	"postrider/internal/smtpc/smtpctest"
)

func connect(t *testing.T, s *smtpctest.Server) *Client {
	t.Helper()
	c, err := Dial(t.Context(), s.Path, Options{Timeouts: Timeouts{10 * time.Second, 10 * time.Second, 10 * time.Second}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func to(addresses ...string) (list []envelope.Recipient) {
	for _, s := range addresses {
		a, err := address.Parse(s)
		if err != nil {
			panic(err)
		}
		list = append(list, envelope.Recipient{Addr: a})
	}
	return list
}

func simple(addresses ...string) *Envelope {
	return &Envelope{From: envelope.Sender{Addr: address.Address{Local: "alice", Domain: "example.org"}}, To: to(addresses...), UID: envelope.NoUID}
}

// modes are servers with and without what changes how a message is sent.
func modes() map[string][]string {
	return map[string][]string{
		"plain":             {},
		"pipelining":        {"PIPELINING"},
		"chunking":          {"CHUNKING"},
		"all":               smtpctest.All,
		"chunking no pipes": {"CHUNKING", "8BITMIME"},
	}
}

func TestSendBodies(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef\r\n", blockSize/6)
	for mode, ext := range modes() {
		s := (&smtpctest.Server{Extensions: ext}).Start(t)
		c := connect(t, s)
		for i, body := range []string{
			"Subject: x\r\n\r\nhello\r\n", "", ".\r\n", "..\r\n.\r\n.a\r\n", "\r\n.\r\n\r\n", long, long[:2*blockSize-2] + "\r\n",
			strings.Repeat(".", 3*blockSize) + "\r\n", strings.Repeat("x", blockSize-1) + "\r\n.y\r\n",
		} {
			if c.has("CHUNKING") == false && body == "" {
				continue // DATA cannot tell an empty message from an empty line: CRLF is added
			}
			r, err := c.Send(t.Context(), simple("bob@example.org"), iotest.HalfReader(strings.NewReader(body)))
			if err != nil || r.Message.Code != 250 || !r.Recipients[0].Positive() {
				t.Errorf("%s, body %d: %+v, %v", mode, i, r, err)
				continue
			}
			m := s.Messages()
			if got := m[len(m)-1]; got.Body != body || got.From != "<alice@example.org>" && mode != "all" {
				t.Errorf("%s, body %d: got %.100q from %s", mode, i, got.Body, got.From)
			}
		}
		c.Quit()
	}
}

func TestUnterminated(t *testing.T) {
	t.Parallel()
	s := (&smtpctest.Server{}).Start(t)
	if _, err := connect(t, s).Send(t.Context(), simple("bob"), strings.NewReader("hello")); err != nil || s.Messages()[0].Body != "hello\r\n" {
		t.Errorf("%v, %+v", err, s.Messages())
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	full := &Envelope{
		From:       envelope.Sender{Addr: address.Address{Local: "al ice", Domain: "example.org"}, Ret: "hdrs", EnvID: "a+b=c", Body: "8bitmime", SMTPUTF8: true},
		UTF8Header: true,
		To: []envelope.Recipient{
			{Addr: address.Address{Local: "bob"}, Notify: []string{"success", "failure"}, ORcpt: "rfc822;b+x@example.org"},
		},
		Size: 1234, Parent: "0123456789bcdfgh", UID: 1000,
	}
	for _, c := range []struct {
		name       string
		ext        []string
		mail, rcpt string
		err        error
	}{
		{"bare", []string{"SMTPUTF8"}, `MAIL FROM:<"al ice"@example.org> SMTPUTF8`, "RCPT TO:<bob>", nil},
		{"all", smtpctest.All, `MAIL FROM:<"al ice"@example.org> SIZE=1234 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb+3Dc`,
			"RCPT TO:<bob> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+2Bx@example.org", nil},
		{"internal", []string{"SMTPUTF8", "XPARENT"}, `MAIL FROM:<"al ice"@example.org> SMTPUTF8 XPARENT=0123456789bcdfgh XUID=1000`, "RCPT TO:<bob>", nil},
		{"no utf8", nil, "", "", ErrNoUTF8},
	} {
		s := (&smtpctest.Server{Extensions: c.ext}).Start(t)
		_, err := connect(t, s).Send(t.Context(), full, strings.NewReader("x\r\n"))
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
		got := s.Commands()
		if c.err == nil && (got[1] != c.mail || got[2] != c.rcpt) {
			t.Errorf("%s:\n%s", c.name, strings.Join(got, "\n"))
		}
	}
}

// TestInjection: nothing in an envelope can become a command of its own.
func TestInjection(t *testing.T) {
	t.Parallel()
	s := (&smtpctest.Server{Extensions: append([]string{"XPARENT"}, smtpctest.All...)}).Start(t)
	c := connect(t, s)
	evil := "x>\r\nRCPT TO:<evil"
	for i, change := range []func(*Envelope){
		func(e *Envelope) { e.From.Addr.Local = evil },
		func(e *Envelope) { e.From.Addr.Domain = evil },
		func(e *Envelope) { e.To[0].Addr.Local = evil },
		func(e *Envelope) { e.To[0].ORcpt = evil + ";x" },
		func(e *Envelope) { e.To[0].Notify = []string{"never\r\nRSET"} },
		func(e *Envelope) { e.Parent = evil },
		func(e *Envelope) { e.From.Body = evil },
		func(e *Envelope) { e.To[0].Addr.Local = strings.Repeat("x", maxCommand) },
	} {
		e := simple("bob@example.org")
		change(e)
		if _, err := c.Send(t.Context(), e, strings.NewReader("x\r\n")); err == nil {
			t.Errorf("change %d: sent", i)
		}
	}
	if got := s.Commands(); slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "RCPT TO:<evil") }) {
		t.Errorf("injected: %q", got)
	}
	if _, err := c.Send(t.Context(), simple("bob"), strings.NewReader("x\r\n")); err != nil {
		t.Errorf("the client is of no use any more: %v", err)
	}
}

// refuse answers commands that contain one of the keys.
func refuse(answers map[string]string) func(string) string {
	return func(command string) string {
		for part, a := range answers {
			if strings.Contains(command, part) {
				return a
			}
		}
		return ""
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		answers map[string]string
		whole   bool
		code    int // of the error, 0 = none
		rcpt    bool
		replies string // codes of the recipients
		sent    int
	}{
		{name: "none", replies: "250 250 250", sent: 3},
		{name: "sender", answers: map[string]string{"MAIL": "550 5.1.8 no"}, code: 550, replies: "- - -"},
		{name: "one", answers: map[string]string{"<b@": "550 5.1.1 no"}, replies: "250 550 250", sent: 2},
		{name: "one of the whole", answers: map[string]string{"<b@": "451 4.3.0 later"}, whole: true, code: 451, rcpt: true, replies: "250 451 250"},
		{name: "all", answers: map[string]string{"RCPT": "550 5.1.1 no"}, code: 550, rcpt: true, replies: "550 550 550"},
		{name: "all but data", answers: map[string]string{"RCPT": "550 5.1.1 no", "DATA": "354 go on"}, code: 550, rcpt: true, replies: "550 550 550"},
		{name: "data", answers: map[string]string{"DATA": "452 4.3.1 full", "BDAT": "452 4.3.1 full"}, code: 452, replies: "250 250 250"},
		{name: "farewell", answers: map[string]string{"<b@": "421 4.3.2 bye"}, code: 421, replies: ""},
	} {
		for mode, ext := range modes() {
			t.Run(c.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				s := (&smtpctest.Server{Extensions: ext, Answer: refuse(c.answers)}).Start(t)
				client := connect(t, s)
				e := simple("a@example.org", "b@example.org", "c@example.org")
				e.Whole = c.whole
				r, err := client.Send(t.Context(), e, strings.NewReader("Subject: x\r\n\r\n"))
				got, _ := errors.AsType[*reply.Reply](err)
				if c.code == 0 && err != nil || c.code != 0 && (got == nil || got.Code != c.code) || c.rcpt != errors.Is(err, ErrRecipients) {
					t.Fatalf("error %v", err)
				}
				if codes := codes(r.Recipients); c.replies != "" && codes != c.replies {
					t.Errorf("recipients %s", codes)
				}
				if m := s.Messages(); c.sent == 0 && len(m) > 0 || c.sent > 0 && len(m[0].To) != c.sent {
					t.Errorf("sent %+v", m)
				}
				if c.code == 421 {
					return
				}
				if _, err := client.Send(t.Context(), simple("d@example.org"), strings.NewReader("x\r\n")); err != nil && len(c.answers) < 1 {
					t.Errorf("next message: %v", err)
				}
			})
		}
	}
}

func codes(list []*reply.Reply) string {
	var words []string
	for _, r := range list {
		if r == nil {
			words = append(words, "-")
		} else {
			words = append(words, fmt.Sprint(r.Code))
		}
	}
	return strings.Join(words, " ")
}

// TestAgain: a client goes on after each kind of refusal.
func TestAgain(t *testing.T) {
	t.Parallel()
	for mode, ext := range modes() {
		s := (&smtpctest.Server{Extensions: ext, Answer: refuse(map[string]string{"<bad": "550 5.1.1 no"}),
			Taken: func(body string, n int) string {
				if strings.Contains(body, "spam") {
					return "554 5.7.1 no spam"
				}
				return ""
			}}).Start(t)
		c := connect(t, s)
		for i := range 3 {
			if _, err := c.Send(t.Context(), simple("bad@example.org"), strings.NewReader("x\r\n")); !errors.Is(err, ErrRecipients) {
				t.Fatalf("%s: %v", mode, err)
			}
			var r *reply.Reply
			if _, err := c.Send(t.Context(), simple("bob@example.org"), strings.NewReader("spam\r\n")); !errors.As(err, &r) || r.Code != 554 {
				t.Fatalf("%s: %v", mode, err)
			}
			if _, err := c.Send(t.Context(), simple("bob@example.org"), strings.NewReader("x\r\n")); err != nil {
				t.Fatalf("%s: %v", mode, err)
			}
			if n := len(s.Messages()); n != i+1 {
				t.Fatalf("%s: %d messages", mode, n)
			}
		}
	}
}

func TestChunkRefused(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789abcde\r\n", 3*blockSize/10)
	for _, ext := range [][]string{{"CHUNKING"}, {"CHUNKING", "PIPELINING"}} {
		s := (&smtpctest.Server{Extensions: ext, Answer: refuse(map[string]string{"BDAT": "452 4.3.1 full"})}).Start(t)
		c := connect(t, s)
		for range 2 { // in step also for the next
			_, err := c.Send(t.Context(), simple("bob"), strings.NewReader(big))
			if r, ok := errors.AsType[*reply.Reply](err); !ok || r.Code != 452 {
				t.Fatalf("%v: %v", ext, err)
			}
		}
	}
}

// TestSourceFails: a message whose source fails is never sent in part, not even if the error is io.ErrUnexpectedEOF.
func TestSourceFails(t *testing.T) {
	t.Parallel()
	for mode, ext := range modes() {
		for _, failure := range []error{errors.New("disk"), io.ErrUnexpectedEOF} {
			s := (&smtpctest.Server{Extensions: ext}).Start(t)
			c := connect(t, s)
			body := io.MultiReader(strings.NewReader("Subject: x\r\n\r\nhalf of\r\n"), iotest.ErrReader(failure))
			if _, err := c.Send(t.Context(), simple("bob"), body); !errors.Is(err, failure) {
				t.Errorf("%s: %v", mode, err)
			}
			if _, err := c.Send(t.Context(), simple("bob"), strings.NewReader("x\r\n")); err == nil {
				t.Errorf("%s: the connection is still used", mode)
			}
			if m := s.Messages(); len(m) != 0 {
				t.Errorf("%s: sent %+v", mode, m)
			}
		}
	}
}

func TestManyRecipients(t *testing.T) {
	t.Parallel()
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprintf("%0100d@example.org", i))
	}
	for mode, ext := range modes() {
		s := (&smtpctest.Server{Extensions: ext, Answer: refuse(map[string]string{"7@": "550 5.1.1 " + strings.Repeat("long ", 90)})}).Start(t)
		c := connect(t, s)
		r, err := c.Send(t.Context(), simple(list...), strings.NewReader("x\r\n"))
		if err != nil || len(s.Messages()[0].To) != 900 {
			t.Fatalf("%s: %v", mode, err)
		}
		for i, rcpt := range r.Recipients {
			if rcpt.Positive() == (i%10 == 7) {
				t.Fatalf("%s: recipient %d: %v", mode, i, rcpt)
			}
		}
	}
}

func TestGreeting(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers map[string]string
		noEHLO  bool
		code    int // 0 = no reply
		ok      bool
	}{
		"fine":         {ok: true},
		"helo":         {noEHLO: true, ok: true},
		"busy":         {answers: map[string]string{"connect": "421 4.7.0 too many connections"}, code: 421},
		"no":           {answers: map[string]string{"connect": "554 5.7.1 go away"}, code: 554},
		"gone":         {answers: map[string]string{"connect": "close"}},
		"garbage":      {answers: map[string]string{"connect": "HTTP/1.1 400 Bad Request"}},
		"strange":      {answers: map[string]string{"connect": "354 go ahead"}},
		"ehlo refused": {answers: map[string]string{"EHLO": "550 5.7.1 who are you"}, ok: true},
		"all refused":  {answers: map[string]string{"EHLO": "500 what", "HELO": "550 5.7.1 who are you"}, code: 550},
	} {
		s := (&smtpctest.Server{Answer: refuse(c.answers), NoEHLO: c.noEHLO}).Start(t)
		conn, err := net.Dial("unix", s.Path)
		if err != nil {
			t.Fatal(err)
		}
		client, err := New(t.Context(), conn, Options{})
		r, _ := errors.AsType[*reply.Reply](err)
		if (err == nil) != c.ok || (r != nil) != (c.code != 0) || r != nil && r.Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
		if client != nil {
			client.Quit()
		}
	}
}

func TestConnectionLost(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"MAIL", "RCPT", "DATA", "BDAT"} {
		for mode, ext := range modes() {
			if at == "DATA" == slices.Contains(ext, "CHUNKING") && at != "MAIL" && at != "RCPT" {
				continue
			}
			if at == "BDAT" && !slices.Contains(ext, "CHUNKING") {
				continue
			}
			s := (&smtpctest.Server{Extensions: ext, Answer: refuse(map[string]string{at: "close"})}).Start(t)
			_, err := connect(t, s).Send(t.Context(), simple("bob"), strings.NewReader("x\r\n"))
			if _, is := errors.AsType[*reply.Reply](err); err == nil || is {
				t.Errorf("%s, %s: %v", at, mode, err)
			}
		}
	}
}

// TestEarlyRefusal: a server that refuses in the middle of a message and hangs up is understood.
func TestEarlyRefusal(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		buf := make([]byte, 4096)
		for _, answer := range []string{"220 hi", "250 hi", "250 ok", "250 ok", "354 go on"} {
			fmt.Fprintf(server, "%s\r\n", answer)
			if n, err := server.Read(buf); err != nil || n == 0 {
				return
			}
		}
		fmt.Fprint(server, "421 4.3.2 shutting down\r\n")
	}()
	c, err := New(t.Context(), client, Options{Timeouts: Timeouts{Block: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Send(t.Context(), simple("bob"), io.LimitReader(zeros{}, 1<<20))
	if r, ok := errors.AsType[*reply.Reply](err); !ok || r.Code != 421 {
		t.Errorf("got %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestTimeoutAndCancel(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer server.Close()
	if _, err := New(t.Context(), client, Options{Timeouts: Timeouts{Command: 20 * time.Millisecond}}); err == nil {
		t.Error("no greeting, no error")
	}
	client, server = net.Pipe()
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := New(ctx, client, Options{})
	if e, ok := errors.AsType[*Error](err); !errors.Is(err, context.DeadlineExceeded) || !ok || !e.Timeout() || e.Step != StepGreeting {
		t.Errorf("canceled: %v", err)
	}
}

func TestSubmit(t *testing.T) {
	t.Parallel()
	s := (&smtpctest.Server{Extensions: smtpctest.All, Answer: refuse(map[string]string{"<bad": "550 5.1.1 no"})}).Start(t)
	if err := submit(t.Context(), s.Path, simple("bob"), strings.NewReader("x\r\n")); err != nil || len(s.Messages()) != 1 {
		t.Errorf("%v, %+v", err, s.Messages())
	}
	if err := submit(t.Context(), s.Path, simple("bob", "bad"), strings.NewReader("x\r\n")); !errors.Is(err, ErrRecipients) || len(s.Messages()) != 1 {
		t.Errorf("in part: %v, %+v", err, s.Messages())
	}
	if err := submit(t.Context(), s.Path+"x", simple("bob"), strings.NewReader("x\r\n")); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), s.Path) {
		t.Errorf("no socket: %v", err)
	}
}

func TestDialPatience(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"connect", "EHLO localhost"} {
		for _, refusal := range []string{"421 4.3.2 too many connections", "close"} {
			refusals := make(chan string, 2)
			refusals <- refusal
			refusals <- refusal
			s := (&smtpctest.Server{Answer: func(command string) string {
				if command != at {
					return ""
				}
				select {
				case r := <-refusals:
					return r
				default:
					return ""
				}
			}}).Start(t)
			c, err := Dial(t.Context(), s.Path, Options{}, 10*time.Second)
			if err != nil {
				t.Errorf("%s at %s: %v", refusal, at, err)
				continue
			}
			c.Quit()
		}
	}
}

func TestPassing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want bool
	}{
		{reply.New(421, 3, 2, "busy"), true},
		{reply.New(554, 3, 2, "no"), false},
		{syscall.EAGAIN, true},
		{syscall.ECONNREFUSED, true},
		{syscall.ECONNRESET, true},
		{syscall.EPIPE, true},
		{io.EOF, true},
		{io.ErrUnexpectedEOF, true},
		{os.ErrNotExist, false},
		{os.ErrPermission, false},
		{os.ErrDeadlineExceeded, false},
		{context.Canceled, false},
	} {
		if got := passing(fmt.Errorf("smtp: %w", c.err)); got != c.want {
			t.Errorf("%v: %t", c.err, got)
		}
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	s := (&smtpctest.Server{Extensions: smtpctest.All, Answer: refuse(map[string]string{"<bad": "550 5.1.1 no"})}).Start(t)
	c := connect(t, s)
	list, err := c.Verify(t.Context(), simple("bob", "bad"))
	if err != nil || codes(list) != "250 550" {
		t.Errorf("%s, %v", codes(list), err)
	}
	if _, err := c.Send(t.Context(), simple("bob"), strings.NewReader("x\r\n")); err != nil || len(s.Messages()) != 1 {
		t.Errorf("after it: %v", err)
	}
}

func TestMaxRecipients(t *testing.T) {
	t.Parallel()
	for limits, want := range map[string]int{"": 0, "RCPTMAX=100": 100, "MAILMAX=1 rcptmax=7": 7, "RCPTMAX=x": 0, "RCPTMAX=-1": 0} {
		c := Client{extensions: extensions("LIMITS " + limits)}
		if got := c.MaxRecipients(); got != want {
			t.Errorf("%q: %d", limits, got)
		}
	}
}

func FuzzStuffing(f *testing.F) {
	f.Add("a\r\n.b\r\n", 2)
	f.Add(".\r\n..", 1)
	f.Add("\r\n\r\n.", 3)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n < 1 {
			return
		}
		d := newStuffing()
		var out []byte
		for chunk := range slices.Chunk([]byte(s), n) {
			out = d.append(out, chunk)
		}
		got := string(d.finish(out))
		want := strings.ReplaceAll("\r\n"+s, "\r\n.", "\r\n..")[2:]
		if s != "" && !strings.HasSuffix(s, "\r\n") {
			want += "\r\n"
		}
		if want += ".\r\n"; got != want {
			t.Fatalf("%q in pieces of %d: got %q, want %q", s, n, got, want)
		}
	})
}

// FuzzServer: whatever a server says, the client neither panics nor takes a refusal for an acceptance.
func FuzzServer(f *testing.F) {
	f.Add("220 a\r\n250-a\r\n250 PIPELINING\r\n250 a\r\n250 a\r\n354 a\r\n250 a\r\n")
	f.Add("220 a\r\n250-a\r\n250 CHUNKING\r\n250 a\r\n250 a\r\n250 a\r\n")
	f.Add("220 a\r\n502 a\r\n250 a\r\n250 a\r\n550 a\r\n250 a\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		client, server := net.Pipe()
		go io.Copy(io.Discard, server)
		go func() {
			server.Write([]byte(s))
			server.Close()
		}()
		c, err := New(t.Context(), client, Options{})
		if err != nil {
			return
		}
		defer c.Quit()
		r, err := c.Send(t.Context(), simple("bob"), strings.NewReader("x\r\n"))
		if err == nil && (r.Message == nil || !took(r.Message) || !took(r.Recipients[0])) {
			t.Fatalf("%q: taken for success", s)
		}
	})
}

// submit sends one message by a Unix socket, to all recipients or to none.
func submit(ctx context.Context, socket string, e *Envelope, body io.Reader) error {
	c, err := Dial(ctx, socket, Options{}, 0)
	if err != nil {
		return err
	}
	defer c.Quit()
	whole := *e
	whole.Whole = true
	_, err = c.Send(ctx, &whole, body)
	return err
}
