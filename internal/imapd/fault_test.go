package imapd

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// faulty is a connection whose reading panics at one word of the client's.
type faulty struct{ net.Conn }

func (f faulty) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if strings.Contains(string(b[:n]), "fault") {
		panic("fault of the program")
	}
	return n, err
}

// TestFaults: wherever a fault of the program shows, it ends up where the session was started, not with the process.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"", "a SELECT INBOX\r\n", "a IDLE\r\n", "a SELECT INBOX\r\nb IDLE\r\n"} {
		s := newServer(t)
		near, far := socketpair(t)
		ended := make(chan any, 1)
		go func() {
			defer func() { ended <- recover() }()
			serve(context.Background(), faulty{far}, s.options, s.times)
		}()
		near.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(near, before)
		for b, text := make([]byte, 4096), ""; strings.Contains(before, "IDLE") && !strings.Contains(text, "+ idling"); {
			n, err := near.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			text += string(b[:n])
		}
		io.WriteString(near, "fault\r\n")
		select {
		case value := <-ended:
			if !strings.Contains(fmt.Sprint(value), "fault of the program") {
				t.Errorf("behind %q: %v", before, value)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("behind %q: the session goes on", before)
		}
	}
}
