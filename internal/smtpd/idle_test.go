package smtpd

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"postrider/internal/envelope"
)

// TestIdle bounds what a session costs that has said hello and waits.
func TestIdle(t *testing.T) {
	s := newTestServer(t, &memory{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	const n = 200
	var clients []net.Conn
	ended := make(chan struct{}, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		client, server := net.Pipe()
		client.SetDeadline(time.Now().Add(testTimeout))
		clients = append(clients, client)
		go func() {
			s.Serve(ctx, server, "smtp", envelope.NoUID)
			ended <- struct{}{}
		}()
		b := make([]byte, 1024)
		if _, err := client.Read(b); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte("EHLO x\r\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Read(b); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	heap, stack := (after.HeapAlloc-before.HeapAlloc)/n, (after.StackInuse-before.StackInuse)/n
	t.Logf("heap %d, stack %d", heap, stack)
	if heap+stack > 24<<10 {
		t.Errorf("%d octets of heap and %d of stack for an idle session", heap, stack)
	}
	for _, c := range clients {
		c.Close()
	}
	for range n {
		<-ended
	}
}
