package spool

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/envelope"
	"postrider/internal/fault"
	"postrider/internal/logline"
)

// recoverEvery is how long a name may wait in stage/ when its smtpd ended without publishing it.
const recoverEvery = time.Minute

// Recover publishes what a crash left in stage/, now and from time to time: an smtpd that is being replaced may end with a
// rename undone. A name whose lock is held belongs to a living smtpd and is left alone, so several may do this at once.
func (s *Stage) Recover() error {
	err := s.recoverAll()
	s.watch.Do(func() { s.publish.Go(s.keepRecovering) })
	return err
}

func (s *Stage) keepRecovering() {
	tick := time.NewTicker(recoverEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-tick.C:
			if err := s.recoverAll(); err != nil {
				s.opt.Log.Error("%v", err)
			}
		}
	}
}

func (s *Stage) recoverAll() error {
	if err := eachName(s.dir.Name(), func(name string) error { s.recoverName(name); return nil }); err != nil {
		return fmt.Errorf("recover spool: %w", err)
	}
	return nil
}

// removeProbe removes what an smtpd left that was killed while it started.
func (s *Stage) removeProbe(name string) {
	var st unix.Stat_t
	if unix.Fstatat(s.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && time.Since(time.Unix(st.Mtim.Unix())) > recoverEvery {
		unix.Unlinkat(s.fd(), name, 0)
	}
}

func (s *Stage) recoverName(name string) {
	id, via, ok := strings.Cut(name, ".")
	if name == "bad" {
		return
	}
	if strings.HasPrefix(name, probePrefix) {
		s.removeProbe(name)
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
			s.opt.Log.Error("%s: publish after a crash: %v; it stays in stage/ for now", id, err)
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
		s.opt.Log.Error("%s/%s: %v; left for the next look", s.dir.Name(), name, err)
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
