package main

import (
	"io"
	"os/user"
	"strconv"
	"testing"

	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/daemon"
	"postrider/internal/localdeliver"
	"postrider/internal/logline"
)

// TestRights: each configuration decides anew who sees and steers the queue.
func TestRights(t *testing.T) {
	t.Parallel()
	log := logline.NewWriter(io.Discard, "localdeliver", logline.Text)
	s := &service{Daemon: &daemon.Daemon{Log: log}, manager: localdeliver.New(nil, nil, 1, log)}
	account, err := user.Lookup("bin")
	if err != nil {
		t.Skipf("this host has no user bin, whom the test makes an administrator: %v", err)
	}
	bin, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	const stranger = 1<<31 - 7
	for _, c := range []struct {
		name          string
		change        func(*config.Config)
		bin, stranger control.Rights
	}{
		{"defaults", func(*config.Config) {}, control.Rights{}, control.Rights{}},
		{"administrator", func(c *config.Config) { c.Admins = []string{"nobody-knows", "bin"} }, control.Rights{List: true, Steer: true}, control.Rights{}},
		{"not any more", func(*config.Config) {}, control.Rights{}, control.Rights{}},
		{"any may list", func(c *config.Config) { c.MailqUsers = "any" }, control.Rights{List: true}, control.Rights{List: true}},
		{"own only", func(c *config.Config) { c.MailqUsers = "own" }, control.Rights{}, control.Rights{}},
	} {
		cfg := config.Default()
		c.change(cfg)
		if err := s.configure(cfg); err != nil {
			t.Fatal(err)
		}
		if got := s.rights(uint32(bin)); got != c.bin {
			t.Errorf("%s: bin has %+v", c.name, got)
		}
		if got := s.rights(stranger); got != c.stranger {
			t.Errorf("%s: a stranger has %+v", c.name, got)
		}
		if got := s.rights(0); !got.List || !got.Steer {
			t.Errorf("%s: root has %+v", c.name, got)
		}
	}
}
