package imapd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestVigil: a read tells the news of before it and those that come while it waits, and ends with input or when no more can be told.
func TestVigil(t *testing.T) {
	t.Parallel()
	near, s := streamOf(t)
	told := 0
	s.vigil = &vigil{alarm: time.Now().Add(time.Minute), tell: func() bool {
		switch told++; told {
		case 1:
			go s.wake() // now, or when the read waits again
		case 2:
			if _, err := near.Write([]byte("DONE")); err != nil {
				t.Error(err)
			}
		}
		return told < 3
	}}
	s.wake()
	var b [100]byte
	if n, err := s.Read(b[:]); string(b[:n]) != "DONE" || err != nil || told != 2 {
		t.Fatalf("%q, %v, told %d", b[:n], err, told)
	}
	s.vigil.alarm = time.Now()
	if _, err := s.Read(b[:]); err != errNotTold || told != 3 {
		t.Fatalf("%v, told %d", err, told)
	}
	s.interrupt()
	if _, err := s.Read(b[:]); !errors.Is(err, errInterrupted) || told != 3 {
		t.Fatalf("%v, told %d", err, told)
	}
}

// TestIdleCompressed: the decoder goes on where the news ended its read.
func TestIdleCompressed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	d := s.connect().compress()
	d.send("a SELECT INBOX\r\nb IDLE\r\nDO")
	d.collect("a ")
	d.expect("+ idling")
	s.deliver("", "1000001.M1.h", "Subject: x\n\nx\n")
	d.expect("* 1 EXISTS", "* 1 RECENT")
	d.send("NE\r\nc NOOP\r\n")
	d.expect("b OK Idle completed.", "c OK NOOP completed.")
}

// streamOf is a stream and the client's end of it.
func streamOf(t *testing.T) (client net.Conn, s *stream) {
	t.Helper()
	near, far := socketpair(t)
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return near, &stream{conn: far, times: times{idle: time.Minute}}
}

// TestEndlessNews: input is read between news that never end.
func TestEndlessNews(t *testing.T) {
	t.Parallel()
	near, s := streamOf(t)
	told := 0
	s.vigil = &vigil{alarm: time.Now().Add(time.Minute), tell: func() bool {
		s.wake()
		told++
		return told < 100
	}}
	s.wake()
	if _, err := near.Write([]byte("DONE")); err != nil {
		t.Fatal(err)
	}
	var b [100]byte
	if n, err := s.Read(b[:]); string(b[:n]) != "DONE" || err != nil {
		t.Fatalf("%q, %v, told %d", b[:n], err, told)
	}
}

// TestDoneEndsLook: a look that waits for another program's lock ends when the client has something to say.
func TestDoneEndsLook(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	c.ok("SELECT INBOX")
	c.send("c IDLE\r\n")
	c.expect("+ idling")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(s.root, "dovecot-uidlist.lock")
	if err := os.WriteFile(lock, fmt.Appendf(nil, "%d:%s", os.Getpid(), host), 0o600); err != nil {
		t.Fatal(err)
	}
	s.deliver("", "1000001.M1.h", "Subject: x\n\nx\n")
	c.send("DONE\r\n")
	c.expect("c OK Idle completed.")
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	c.send("d NOOP\r\n")
	c.expect("* 1 EXISTS", "* 1 RECENT", "d OK NOOP completed.")
}
