package pop3d

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// serveLogins stands in for the front: any user with any password has the mailbox.
func serveLogins(t *testing.T, o Options) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if s, err := Open(t.Context(), o); err != nil {
				t.Error(err)
			} else if authorize(conn) {
				s.Serve(t.Context(), conn)
			} else {
				s.Close()
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// authorize takes commands up to PASS, and no octet more.
func authorize(conn net.Conn) bool {
	io.WriteString(conn, "+OK ready\r\n")
	for {
		var text strings.Builder
		for !strings.HasSuffix(text.String(), "\r\n") {
			var b [1]byte
			if _, err := conn.Read(b[:]); err != nil {
				return false
			}
			text.Write(b[:])
		}
		switch verb, _ := parseCommand([]byte(strings.TrimSpace(text.String()))); verb {
		case "PASS":
			return true
		case "USER":
			io.WriteString(conn, "+OK\r\n")
		case "CAPA":
			io.WriteString(conn, "+OK\r\nUSER\r\n.\r\n")
		default:
			io.WriteString(conn, "-ERR\r\n")
		}
	}
}

const poplibScript = `
import poplib, sys
def session():
    p = poplib.POP3(sys.argv[1], int(sys.argv[2]), timeout=20)
    p.user("alice"); p.pass_("x")
    return p
p = session()
assert set(p.capa()) >= {"TOP", "UIDL", "PIPELINING", "UTF8"}, p.capa()
assert p.stat() == (3, 77), p.stat()
assert p.list()[1] == [b"1 28", b"2 28", b"3 21"], p.list()
assert p.retr(1)[1] == [b"A: b", b"", b"first", b".dot", b"..", b"."], p.retr(1)
assert p.top(3, 1)[1] == [b"A: b", b"B: c", b"", b"1"], p.top(3, 1)
ids = p.uidl()[1]
p.dele(1); p.rset(); p.noop(); p.dele(2)
try: p.retr(9)
except poplib.error_proto as e: assert b"There's no message" in e.args[0], e
else: assert False
p.quit()
p = session()
assert p.stat() == (2, 49), p.stat()
assert p.uidl()[1] == [b"1 " + ids[0].split()[1], b"2 " + ids[2].split()[1]], p.uidl()
p.quit()
`

func TestPoplib(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skipf("needs Python, whose poplib is the client: %v", err)
	}
	dir := maildir(t, first, second, third)
	host, port, _ := net.SplitHostPort(serveLogins(t, options(t, dir)))
	if out, err := exec.Command(python, "-c", poplibScript, host, port).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	wantFiles(t, dir, "1.m1.host:2,", "3.m3.host:2,") // RSET forgot what was read, too
}

func TestCurl(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("curl")
	if err != nil {
		t.Skipf("needs curl, which is the client: %v", err)
	}
	dir := maildir(t, first, second, third)
	addr := serveLogins(t, options(t, dir))
	curl := func(want string, args ...string) {
		t.Helper()
		cmd := exec.Command(program, append([]string{"-sS", "--max-time", "20", "-u", "alice:x"}, args...)...)
		cmd.Env = append(os.Environ(), "no_proxy=127.0.0.1", "NO_PROXY=127.0.0.1")
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%q: %v, %q, want %q", args, err, out, want)
		}
	}
	url := "pop3://" + addr + "/"
	curl("1 28\r\n2 28\r\n3 21\r\n", url)
	curl("1 000000016b01f3d3\r\n2 000000026b01f3d3\r\n3 000000036b01f3d3\r\n", url, "-X", "UIDL")
	curl("A: b\r\n\r\nfirst\r\n.dot\r\n..\r\n.\r\n", url+"1")
	curl("", url+"2", "-X", "DELE", "-I")
	wantFiles(t, dir, "1.m1.host:2,S", "3.m3.host:2,")
}
