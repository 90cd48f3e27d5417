package authd

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/auth"
)

// fakeCheckpassword answers the first line of each connection.
func fakeCheckpassword(t *testing.T, answer func(string) string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "cp"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				line, _ := auth.NewReader(c).ReadString('\n')
				if a := answer(line); a != "-" {
					io.WriteString(c, a)
					return
				}
				io.Copy(io.Discard, c) // hangs until the other side gives up
			}()
		}
	}()
	return filepath.Join(dir, "cp")
}

func TestChecker(t *testing.T) {
	t.Parallel()
	const ok = "ok name=frank uid=2000 gid=2000 home=/home/frank\n"
	c := NewChecker(fakeCheckpassword(t, func(line string) string {
		switch line {
		case "check imap 192.0.2.1 frank fur+20ter\n", "who frank\n":
			return ok
		case "who later\n":
			return "later sssd\n"
		case "who torn\n":
			return "ok name=fr"
		case "who odd\n":
			return "cont =\n"
		case "who hang\n":
			return "-"
		}
		return "no\n"
	}))
	if u, found, err := c.Check(t.Context(), false, "imap", "192.0.2.1", "frank", "fur ter"); !found || err != nil || u.Name != "frank" {
		t.Errorf("right: %v, %v, %v", u, found, err)
	}
	if _, found, err := c.Check(t.Context(), false, "imap", "", "frank", "wrong"); found || err != nil {
		t.Errorf("wrong: %v, %v", found, err)
	}
	if u, found, err := c.Who(t.Context(), "frank"); !found || err != nil || u.UID != 2000 {
		t.Errorf("who: %v, %v, %v", u, found, err)
	}
	for _, name := range []string{"later", "torn", "odd"} {
		if _, found, err := c.Who(t.Context(), name); found || err == nil {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, found, err := c.Who(ctx, "hang"); found || err == nil {
		t.Errorf("hang: %v, %v", found, err)
	}
	if c.checks.free != maxChecks || c.whos.free != maxWhos {
		t.Errorf("places are kept: %d and %d are free", c.checks.free, c.whos.free)
	}
	if _, _, err := NewChecker("/nonexistent/cp").Who(t.Context(), "frank"); err == nil {
		t.Error("no program, no error")
	}
}

// Passwords that strangers have checked, however slowly, stop neither questions about users nor logins of trusted pairs.
func TestChecksDoNotStopTheRest(t *testing.T) {
	t.Parallel()
	const ok = "ok name=frank uid=2000 gid=2000 home=/home/frank\n"
	asked := make(chan string, 10*maxChecks)
	c := NewChecker(fakeCheckpassword(t, func(line string) string {
		asked <- line
		if strings.HasPrefix(line, "check imap 203.0.113.9") {
			return "-"
		}
		return ok
	}))
	ctx, cancel := context.WithCancel(t.Context())
	var strangers sync.WaitGroup
	for range 2 * maxChecks {
		strangers.Go(func() { c.Check(ctx, false, "imap", "203.0.113.9", "frank", "guess") })
	}
	for range maxChecks - reservedChecks {
		<-asked
	}
	if _, found, err := c.Who(t.Context(), "frank"); !found || err != nil {
		t.Errorf("who: %v, %v", found, err)
	}
	if _, found, err := c.Check(t.Context(), true, "imap", "192.0.2.1", "frank", "furter"); !found || err != nil {
		t.Errorf("trusted: %v, %v", found, err)
	}
	cancel()
	strangers.Wait()
}

func TestWhoIsRemembered(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	c := NewChecker(fakeCheckpassword(t, func(line string) string {
		asked.Add(1)
		switch line {
		case "who frank\n":
			return "ok name=frank uid=2000 gid=2000 home=/home/frank\n"
		case "who later\n":
			return "later sssd\n"
		}
		return "no\n"
	}))
	now := &clock{time.Unix(1_800_000_000, 0)}
	c.now = now.now
	ask := func(name string, found bool, want int64) {
		t.Helper()
		before := asked.Load()
		u, ok, _ := c.Who(t.Context(), name)
		if ok != found || found && u.UID != 2000 || asked.Load()-before != want {
			t.Errorf("%s: %v, %v after %d questions", name, u, ok, asked.Load()-before)
		}
	}
	for _, want := range []int64{1, 0} {
		ask("frank", true, want)
		ask("nobody", false, want)
		ask("later", false, 1)
		now.advance(rememberFor - time.Second)
	}
	now.advance(time.Second)
	ask("frank", true, 1)
	ask("nobody", false, 1)
	for i := range 2 * maxRemembered {
		c.remember(strconv.Itoa(i), auth.User{}, false)
	}
	if n := len(c.answers); n != maxRemembered {
		t.Errorf("%d answers are remembered", n)
	}
}
