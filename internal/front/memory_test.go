package front

import (
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/internal/config"
	"postrider/internal/sockettest"
)

// bare is a client's end of which this process knows no more than a descriptor.
type bare int

// bareOf keeps a connection open that the caller closes.
func bareOf(t *testing.T, c syscall.Conn) (end bare) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(own uintptr) {
		fd, failed := unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0)
		end, err = bare(fd), failed
	})
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// used is what the program's objects and stacks take.
func used() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// What a connection costs before its login is what anybody can make the daemon pay; what one costs that waits in a session is
// the price of an idle client. The figures are of heap and stacks; what the kernel keeps comes on top.
func TestMemory(t *testing.T) {
	const connections = 150
	for _, c := range []struct {
		name     string
		protocol *Protocol
		tls      bool
		dialogue string // "" = nothing, "-" = not even a handshake
		most     int64
	}{
		{"IMAP before login", IMAP, false, "", 24 << 10},
		{"IMAP over TLS before login", IMAP, true, "", 40 << 10},
		{"IMAP in mid-command", IMAP, true, "a LOGIN {4000+}\r\n" + strings.Repeat("x", 3000), 48 << 10},
		{"IMAP handshake", IMAP, true, "-", 32 << 10},
		{"POP3 before login", POP3, false, "", 24 << 10},
		{"POP3 over TLS before login", POP3, true, "", 40 << 10},
		{"IMAP session", IMAP, false, "a LOGIN alice secret\r\n", 24 << 10},
		{"IMAP session over TLS", IMAP, true, "a LOGIN alice secret\r\n", 40 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.protocol, func(f *config.Front) { f.MaxPerUser = connections })
			var ends []bare
			before := used()
			for range connections {
				server, client := sockettest.TCP(t)
				r.serve(server, c.tls)
				ends = append(ends, greet(t, client, c.tls && c.dialogue != "-", c.dialogue))
				if strings.Contains(c.dialogue, "secret") {
					s := r.session()
					ends = append(ends, bareOf(t, s))
					s.Close()
				}
			}
			each := (used() - before) / connections
			t.Logf("%d octets", each)
			if each > c.most {
				t.Errorf("%s costs %d octets, more than %d", c.name, each, c.most)
			}
			for _, end := range ends {
				unix.Close(int(end))
			}
			r.serving.Wait()
		})
	}
}

// greet brings a client to where the test wants it.
func greet(t *testing.T, c *net.TCPConn, secure bool, dialogue string) bare {
	t.Helper()
	end := bareOf(t, c)
	defer c.Close()
	if dialogue == "-" {
		return end
	}
	var conn net.Conn = c
	if secure {
		conn = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	if _, err := conn.Read(make([]byte, 4096)); err != nil { // the greeting
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, dialogue); err != nil {
		t.Fatal(err)
	}
	return end
}
