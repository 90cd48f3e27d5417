package pop3d

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/mailstore"
	"postrider/internal/sockettest"
)

func TestLock(t *testing.T) {
	t.Parallel()
	dir := maildir(t, first)
	o := options(t, dir)
	c := login(t, o)
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrInUse) {
		t.Error("second session:", err)
	}
	for range 20 { // with the answer to QUIT it is free
		c.say("QUIT")
		c.want("+OK Logging out.")
		c = login(t, o)
	}
	c.Close()
	<-c.done
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
	if s, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// TestLockOfProcess has the lock taken by a process that is killed.
func TestLockOfProcess(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("POP3D_TEST_LOCK"); dir != "" {
		if _, err := takeLock(dir); err != nil {
			t.Fatal(err)
		}
		fmt.Println("locked")
		io.Copy(io.Discard, os.Stdin)
		return
	}
	o := options(t, maildir(t))
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockOfProcess$")
	cmd.Env = append(os.Environ(), "POP3D_TEST_LOCK="+o.Maildir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(io.LimitReader(out, 7)); string(b) != "locked\n" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrInUse) {
		t.Error(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal("its holder is dead:", err)
	}
	s.Close()
}

func TestLockCannotBeMade(t *testing.T) {
	t.Parallel()
	o := options(t, maildir(t))
	if err := os.Symlink("/dev/null", o.Maildir+"/"+lockFile); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o); !errors.Is(err, unix.ELOOP) {
		t.Error("through a link:", err)
	}
	if os.Getuid() == 0 {
		return // who may write everywhere
	}
	os.Remove(o.Maildir + "/" + lockFile)
	os.Chmod(o.Maildir, 0o500)
	defer os.Chmod(o.Maildir, 0o700)
	log := testLog{t: t, lines: make(chan string, 1)}
	o.Log = log
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	<-log.lines
}

// TestForeign has another program rename and remove files of an open mailbox.
func TestForeign(t *testing.T) {
	t.Parallel()
	dir := maildir(t, first, second, third)
	c := login(t, options(t, dir))
	if err := os.Rename(dir+"/cur/1.m1.host:2,", dir+"/cur/1.m1.host:2,F"); err != nil {
		t.Fatal(err)
	}
	os.Remove(dir + "/cur/2.m2.host:2,")
	os.Remove(dir + "/cur/3.m3.host:2,")
	c.play(`
C: TOP 1 0
S: +OK
S: A: b
S: 
S: .
C: RETR 2
S: -ERR Message 2 expunged.
C: RETR 3
S: -ERR Message 3 expunged.
C: STAT
S: +OK 3 77
C: DELE 1
S: +OK Marked to be deleted.
C: DELE 2
S: +OK Marked to be deleted.
C: QUIT
S: +OK Logging out, messages deleted.`)
	wantFiles(t, dir)
}

func TestAskingForWhatIsGone(t *testing.T) {
	t.Parallel()
	dir := maildir(t, first)
	c := login(t, options(t, dir))
	os.Remove(dir + "/cur/1.m1.host:2,")
	for range maxBad + 2 {
		c.say("RETR 1")
		c.want("-ERR Message 1 expunged.")
	}
	c.want("-ERR Too many bad commands.")
	c.ends("Disconnected: Too many bad commands. top=0/0, retr=0/0, del=0/1, size=28")
}

// TestUnreadable has something in cur that cannot be read: the other mail is served.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	dir := maildir(t, first)
	if err := unix.Mkfifo(dir+"/cur/2.pipe:2,", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/cur/3.dir,S=5:2,", 0o700); err != nil {
		t.Fatal(err)
	}
	log := testLog{t: t, lines: make(chan string, 9)}
	o := options(t, dir)
	o.Log = log
	c := login(t, o)
	c.play("C: LIST\nS: +OK 3 messages:\nS: 1 28\nS: 2 0\nS: 3 5\nS: .\nC: RETR 2\nS: -ERR [SYS/TEMP] Message 2 cannot be read now.")
	c.play("C: TOP 3 1\nS: -ERR [SYS/TEMP] Message 3 cannot be read now.\nC: TOP 1 0\nS: +OK\nS: A: b\nS: \nS: .\nC: QUIT\nS: +OK Logging out.")
	for _, part := range []string{"message 2", "2 messages", "open message", "open message"} {
		if l := <-log.lines; !strings.Contains(l, part) || !strings.Contains(l, "alice") {
			t.Error(l)
		}
	}
}

// TestQuitFails has the uidlist replaced under a session: which message is which cannot be said any more.
func TestQuitFails(t *testing.T) {
	t.Parallel()
	dir := maildir(t, first, second)
	log := testLog{t: t, lines: make(chan string, 2)}
	o := options(t, dir)
	o.Log = log
	c := login(t, o)
	c.say("DELE 1")
	c.want("+OK Marked to be deleted.")
	write(t, dir+"/dovecot-uidlist", "3 V1 N9 Gabc\n")
	c.say("QUIT")
	c.want("-ERR [SYS/TEMP] Some deleted messages not removed.")
	c.ends("Disconnected: Storage error during logout. top=0/0, retr=0/0, del=0/2, size=56")
	wantFiles(t, dir, "1.m1.host:2,", "2.m2.host:2,")
	if l := <-log.lines; !strings.Contains(l, mailstore.ErrReset.Error()) {
		t.Error(l)
	}
}

func TestMailboxGone(t *testing.T) {
	t.Parallel()
	o := options(t, maildir(t))
	log := testLog{t: t, lines: make(chan string, 1)}
	o.Log = log
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(o.Maildir)
	server, peer := sockettest.TCP(t)
	sum := s.Serve(t.Context(), server)
	if b, _ := io.ReadAll(peer); string(b) != "-ERR [SYS/TEMP] Mailbox cannot be read now.\r\n" {
		t.Errorf("%q", b)
	}
	if sum.Reason != "Mailbox cannot be read" || len(log.lines) != 1 {
		t.Error(sum, len(log.lines))
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	const after = " top=0/0, retr=0/0, del=0/1, size=28"
	for _, test := range []struct{ name, say, answer, reason string }{
		{"long line", "STAT " + strings.Repeat("x", maxLine) + "\r\nSTAT\r\n", "-ERR Input line too long.\r\n", "Input line too long"},
		{"endless line", strings.Repeat("x", 2<<20), "", "Connection closed: endless line"},
		{"bad commands", strings.Repeat("X\r\n", maxBad) + "NOOP\r\n" + strings.Repeat("Y\r\n", maxBad+5),
			strings.Repeat("-ERR Unknown command: \"X\"\r\n", maxBad) + "+OK\r\n" + strings.Repeat("-ERR Unknown command: \"Y\"\r\n", maxBad+1) +
				"-ERR Too many bad commands.\r\n", "Too many bad commands."},
		{"idle", "DELE 1\r\nQUIT", "+OK Marked to be deleted.\r\n", "Inactivity - no input for 0 secs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := maildir(t, first)
			o := options(t, dir)
			if o.IdleTimeout = time.Minute; test.name == "idle" {
				o.IdleTimeout = 200 * time.Millisecond
			}
			c := login(t, o)
			go io.WriteString(c, test.say)
			b, _ := io.ReadAll(c.r) // it may be reset
			if got := string(b); got != test.answer {
				t.Errorf("%.300q", got)
			}
			c.ends("Disconnected: " + test.reason + after)
			wantFiles(t, dir, "1.m1.host:2,")
		})
	}
}

// TestPeerThatDoesNotRead asks for more than the sockets hold, and for deletion, and never reads.
func TestPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	dir := maildir(t, strings.Repeat("text\n", 1<<20), second)
	o := options(t, dir)
	o.IdleTimeout = 300 * time.Millisecond
	c := login(t, o)
	c.Conn.(*net.TCPConn).SetReadBuffer(4096)
	io.WriteString(c, strings.Repeat("RETR 1\r\n", 20)+"DELE 1\r\nDELE 2\r\nQUIT\r\n")
	select {
	case sum := <-c.done:
		if sum.Reason != "Client has not read server output for 0 secs" {
			t.Error(sum)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for ever")
	}
	if n := len(files(t, dir)); n != 2 {
		t.Error(n, "messages are left")
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	dir := maildir(t, first)
	ctx, cancel := context.WithCancel(t.Context())
	o := options(t, dir)
	c := start(ctx, t, o)
	c.play("S: +OK Logged in.\nC: RETR 1\nS: +OK 28 octets\nS: A: b\nS: \nS: first\nS: ..dot\nS: ...\nS: ..\nS: .\nC: DELE 1\nS: +OK Marked to be deleted.")
	cancel()
	if got := c.all(); got != "" && got != "-ERR [SYS/TEMP] Server shutting down.\r\n" {
		t.Errorf("%q", got)
	}
	c.ends("Disconnected: Server shutting down. top=0/0, retr=1/46, del=0/1, size=28")
	wantFiles(t, dir, "1.m1.host:2,S")
	if _, err := Open(ctx, o); err == nil {
		t.Error("opened although it is over")
	}
}

// hostile are files and what a client must get for them.
var hostile = []struct{ name, file, wire string }{
	{"empty", "", "\r\n"},
	{"dot first", ".\n", "..\r\n"},
	{"only LF", "\n\n", "\r\n\r\n"},
	{"no end", "x", "x\r\n"},
	{"CR at the end", "x\r", "x\r\r\n"},
	{"bare CR", "a\rb\n\r\n\r\r\n", "a\rb\r\n\r\n\r\r\n"},
	{"NUL and 8 bit", "\x00\xff\x80\n.\x00\n", "\x00\xff\x80\r\n..\x00\r\n"},
	{"ends the response", "x\r\n.\r\nQUIT\r\n", "x\r\n..\r\nQUIT\r\n"},
	{"smuggles", "x\n.\r\n\r.\n", "x\r\n..\r\n\r.\r\n"},
	{"long", strings.Repeat(".", 300_000) + "\n" + strings.Repeat("y", bufferSize-1) + "\n.\n", "." + strings.Repeat(".", 300_000) + "\r\n" + strings.Repeat("y", bufferSize-1) + "\r\n..\r\n"},
	{"CR at the end of a chunk", strings.Repeat("y", bufferSize-1) + "\r\n.z", strings.Repeat("y", bufferSize-1) + "\r\n..z\r\n"},
	{"dot at a chunk's start", strings.Repeat("y", bufferSize-1) + "\n.z", strings.Repeat("y", bufferSize-1) + "\r\n..z\r\n"},
}

func TestHostileMail(t *testing.T) {
	t.Parallel()
	var texts []string
	for _, h := range hostile {
		texts = append(texts, h.file)
	}
	c := login(t, options(t, maildir(t, texts...)))
	for i, h := range hostile {
		var size int
		for _, command := range []string{"LIST %d", "RETR %d"} {
			c.say(command, i+1)
			fmt.Sscanf(strings.TrimPrefix(c.line(), fmt.Sprintf("+OK %d ", i+1)), "%d", &size)
			if strings.HasPrefix(command, "RETR") {
				got := make([]byte, len(h.wire)+3)
				if _, err := io.ReadFull(c.r, got); err != nil || string(got) != h.wire+".\r\n" {
					t.Fatalf("%s: %.80q, %v", h.name, got, err)
				}
			} else if n := bytes.Count([]byte("\r\n"+h.wire), []byte("\r\n.")); size > len(h.wire)-n || size < len(h.wire)-n-2 {
				t.Errorf("%s: size %d for %d octets", h.name, size, len(h.wire)-n)
			}
		}
	}
	c.say("QUIT")
	c.want("+OK Logging out.")
}

func TestTop(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		file  string
		lines int64
		want  string
	}{
		{"A: b\n c\n\n1\n2\n", 1, "A: b\r\n c\r\n\r\n1\r\n"},
		{"A: b\n c\r\n\r\n1\n2\n", 0, "A: b\r\n c\r\n\r\n"},
		{"A: b\n", 3, "A: b\r\n"},
		{"\n\n\n\n", 1, "\r\n\r\n"},
		{"A\n\n1\n2", 9, "A\r\n\r\n1\r\n2\r\n"},
		{"A\n\n1\n2", 1, "A\r\n\r\n1\r\n"},
		{"A\n \n1\n\n2\n", 0, "A\r\n \r\n1\r\n\r\n"},
		{"A\n\r\r\n1\n\n2\n", 0, "A\r\n\r\r\n1\r\n\r\n"},
		{"A\n\n.\n.\n", 1, "A\r\n\r\n..\r\n"},
		{"", 1, "\r\n"},
		{strings.Repeat("A: b\n", 50_000) + "\n" + strings.Repeat("t\n", 50_000), 2, strings.Repeat("A: b\r\n", 50_000) + "\r\nt\r\nt\r\n"},
	} {
		var b bytes.Buffer
		out := bufio.NewWriterSize(&b, 2*minRoom)
		m := multiline{out: out, lines: test.lines}
		for p := []byte(test.file); len(p) > 0; { // in uneven pieces
			n := min(len(p), 1+len(p)%7)
			m.write(p[:n])
			p = p[n:]
		}
		m.end()
		out.Flush()
		if b.String() != test.want {
			t.Errorf("%.40q, %d: %.80q, want %.80q", test.file, test.lines, b.String(), test.want)
		}
	}
}
