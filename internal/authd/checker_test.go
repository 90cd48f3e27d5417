package authd

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
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
	if u, found, err := c.Check(t.Context(), "imap", "192.0.2.1", "frank", "fur ter"); !found || err != nil || u.Name != "frank" {
		t.Errorf("right: %v, %v, %v", u, found, err)
	}
	if _, found, err := c.Check(t.Context(), "imap", "", "frank", "wrong"); found || err != nil {
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
	if len(c.slots) != 0 {
		t.Errorf("%d slots kept", len(c.slots))
	}
	if _, _, err := NewChecker("/nonexistent/cp").Who(t.Context(), "frank"); err == nil {
		t.Error("no program, no error")
	}
}
