package session

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"postrider/internal/session/handover"
	"postrider/internal/sockettest"
)

// given is a session whose client the front has given away, and what it said at its end.
func given(t *testing.T) (front *net.UnixConn, client *net.TCPConn, summary <-chan string) {
	t.Helper()
	front, far := sockettest.Pair(t)
	theirs, client := sockettest.TCP(t)
	client.SetDeadline(time.Now().Add(patience))
	if err := handover.Give(front, theirs); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	front.SetDeadline(time.Now().Add(patience))
	end := make(chan string, 1)
	go func() {
		end <- connected(t.Context(), far, func(_ context.Context, conn net.Conn) string {
			defer conn.Close()
			io.WriteString(conn, "hello\n")
			line, _ := io.ReadAll(io.LimitReader(conn, 4))
			io.WriteString(conn, "bye\n")
			return string(line)
		})
	}()
	return front, client, end
}

// A client that goes on talking hears the last words of its session, and the front hears of its end.
func TestGivenClient(t *testing.T) {
	t.Parallel()
	front, client, summary := given(t)
	io.WriteString(client, "quit"+string(make([]byte, 10000)))
	if got, err := io.ReadAll(client); string(got) != "hello\nbye\n" || err != nil {
		t.Errorf("the client got %q, %v", got, err)
	}
	client.Close()
	if got := <-summary; got != "quit" {
		t.Errorf("the session got %q", got)
	}
	if n, err := front.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the front got %d octets, %v", n, err)
	}
}

// The end of the front is that of the session.
func TestFrontEnds(t *testing.T) {
	t.Parallel()
	front, client, summary := given(t)
	if _, err := io.ReadFull(client, make([]byte, 6)); err != nil {
		t.Error(err)
	}
	front.Close()
	if got := <-summary; got != "" {
		t.Errorf("the session got %q", got)
	}
	if _, err := io.Copy(io.Discard, client); err != nil {
		t.Error(err)
	}
}

// A front that says nothing, or nonsense, has no session.
func TestTakeNothing(t *testing.T) {
	t.Parallel()
	for _, said := range []string{"", "x", "d"} {
		front, far := sockettest.Pair(t)
		io.WriteString(front, said)
		front.CloseWrite()
		connected(t.Context(), far, func(context.Context, net.Conn) string {
			t.Errorf("after %q there is a session", said)
			return ""
		})
	}
}
