package spool

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/internal/envelope"
	"postrider/internal/fault"
	"postrider/internal/logline"
)

// Recover publishes what a crash left in stage/. A name whose lock is held belongs to a living smtpd and is left alone. It is
// called before the first message is accepted, and may run beside another smtpd.
func (s *Stage) Recover() error {
	d, err := os.Open(s.dir.Name())
	if err != nil {
		return fmt.Errorf("recover spool: %w", err)
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1024)
		for _, name := range names {
			s.recoverName(name)
		}
		if len(names) == 0 {
			if err != nil && err.Error() != "EOF" {
				return fmt.Errorf("recover spool: %w", err)
			}
			return nil
		}
	}
}

func (s *Stage) recoverName(name string) {
	id, via, ok := strings.Cut(name, ".")
	if name == "bad" {
		return
	}
	if strings.HasPrefix(name, ".probe.") {
		unix.Unlinkat(s.fd(), name, 0)
		return
	}
	if !ok || !envelope.ValidID(id) || s.new[envelope.Via(via)] == nil {
		s.opt.Log.Warn("%s/%s: not a name of ours, left alone", s.dir.Name(), name)
		return
	}
	fd, err := unix.Openat(s.fd(), name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		if err != unix.ENOENT {
			s.opt.Log.Warn("%s/%s: open: %v", s.dir.Name(), name, err)
		}
		return
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if ok, err := lockNamed(s.fd(), name, fd); !ok {
		if err != nil {
			s.opt.Log.Warn("%s/%s: %v", s.dir.Name(), name, err)
		}
		return
	}
	s.judge(f, name, id, envelope.Via(via))
}

// judge decides about a file that a crash left: promised, perhaps promised, or never.
func (s *Stage) judge(f *os.File, name, id string, via envelope.Via) {
	c, err := verify(f)
	switch {
	case err == nil && c.line1.ID == id:
		if err := s.rename(name, via, id+againSuffix); err != nil && !errors.Is(err, unix.ENOENT) {
			s.opt.Log.Error("%s: publish after a crash: %v; it stays in stage/ until the next start", id, err)
			return
		}
		fault.Point("recover.published")
		s.opt.Log.Log(logline.Queue{ID: id, Action: "recovered", Text: "accepted before a crash, handed to " + string(via)})
	case errors.Is(err, envelope.ErrBlank):
		unix.Unlinkat(s.fd(), name, 0) // never acknowledged: the client has it still
		fault.Point("recover.unlinked")
	case errors.Is(err, errContent) || err == nil:
		if err == nil {
			err = fmt.Errorf("line 1 says id=%s", c.line1.ID)
		}
		s.putAway(name, err)
	default:
		s.opt.Log.Error("%s/%s: %v; left for the next start", s.dir.Name(), name, err)
	}
}

// putAway keeps a file that is not what its line 1 promises: it was torn before it was acknowledged, or the disk is ill.
func (s *Stage) putAway(name string, why error) {
	if err := unix.Mkdirat(s.fd(), "bad", 0o700); err != nil && err != unix.EEXIST {
		s.opt.Log.Error("%s/bad: mkdir: %v", s.dir.Name(), err)
		return
	}
	if err := unix.Renameat(s.fd(), name, s.fd(), "bad/"+name); err != nil {
		s.opt.Log.Error("%s/%s: move to bad/: %v", s.dir.Name(), name, err)
		return
	}
	s.opt.Log.Warn("%s/bad/%s: damaged by a crash, kept: %v", s.dir.Name(), name, why)
}
