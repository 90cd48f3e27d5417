package spool

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"postrider/internal/envelope"
	"postrider/internal/logline"
)

// Two smtpds accept mail while both look without a pause for what a third may have left: no message is taken from its writer,
// none is published twice, and none that was refused stays.
func TestRecoverBesideAccept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second, err := OpenStage(r.root, StageOptions{MessageSize: 1 << 20, Log: logline.NewWriter(r, "test", logline.Text)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { second.Close() })
	var recovering, writing sync.WaitGroup
	stop := make(chan struct{})
	p := promises{t: t}
	for i, s := range []*Stage{r.stage, second, r.stage, second} {
		recovering.Go(func() { recoverUntil(t, s, stop) })
		writing.Go(func() {
			for n := range 40 {
				p.accept(s, 1+(i+n)%2, n%8 == 7)
			}
		})
	}
	writing.Wait()
	close(stop)
	recovering.Wait()
	for via, want := range map[string][]string{"local": p.local, "remote": p.remote} {
		slices.Sort(want)
		if got := r.names(filepath.Join(via, "new")); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			t.Errorf("%s: %d names, %d were promised:\n%v\n%v", via, len(got), len(want), got, want)
		}
	}
	if got := r.names("stage"); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	if log := r.logged(); strings.Contains(log, "recovered") || strings.Contains(log, "damaged") {
		t.Errorf("living messages were taken for dead ones:\n%s", log)
	}
}

func recoverUntil(t *testing.T, s *Stage, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if err := s.recoverAll(); err != nil {
			t.Error(err)
			return
		}
	}
}

// promises are the ids that were committed, by channel.
type promises struct {
	t             *testing.T
	mu            sync.Mutex
	local, remote []string
}

// accept commits or aborts a message with recipients in one channel or both.
func (p *promises) accept(s *Stage, channels int, abort bool) {
	vias := []envelope.Via{envelope.Local, envelope.Remote}[:channels]
	m, err := s.Create(envelopeFor(vias...), false)
	if err != nil {
		p.t.Error(err)
		return
	}
	if io.WriteString(m, body); abort {
		m.Abort()
		return
	}
	if err := m.Commit(); err != nil {
		p.t.Errorf("%s: %v", m.ID(), err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.local = append(p.local, m.ID())
	if channels > 1 {
		p.remote = append(p.remote, m.ID())
	}
}
