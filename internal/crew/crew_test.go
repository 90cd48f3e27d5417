package crew

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"postrider/internal/fault"
)

func TestDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		crew *Crew
		most int
		want int32
	}{{nil, 5, 1}, {New(0), 5, 1}, {New(-1), 5, 1}, {New(2), 5, 3}, {New(2), 1, 2}, {New(2), 0, 1}} {
		for range 3 { // helpers come back
			var at sync.WaitGroup
			at.Add(int(c.want))
			var n atomic.Int32
			var callers atomic.Int32
			c.crew.Do(c.most, func(helper bool) {
				if !helper {
					callers.Add(1)
				}
				n.Add(1)
				at.Done()
				at.Wait() // all work at the same time
			})
			if n.Load() != c.want || callers.Load() != 1 {
				t.Errorf("%d worked, not %d; %d not as helpers", n.Load(), c.want, callers.Load())
			}
		}
	}
}

// TestBegin: the caller goes on meanwhile; where nobody is free nothing is done.
func TestBegin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		crew *Crew
		want int32
	}{{nil, 0}, {New(1), 1}, {New(3), 2}} {
		var n atomic.Int32
		begun := make(chan struct{})
		wait := c.crew.Begin(2, func() { <-begun; n.Add(1) })
		close(begun)
		if wait(); n.Load() != c.want {
			t.Errorf("%d worked, not %d", n.Load(), c.want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("the fault of a helper is lost")
		}
	}()
	New(1).Begin(1, func() { panic("fault") })()
}

// TestBusy has a session that gets no help because another one has it.
func TestBusy(t *testing.T) {
	t.Parallel()
	c := New(1)
	inner, ended := 0, make(chan struct{})
	var both sync.WaitGroup
	both.Add(2)
	c.Do(1, func(helper bool) {
		both.Done()
		both.Wait()
		if !helper {
			c.Do(1, func(bool) { inner++ })
			close(ended)
		}
		<-ended // the helper is busy until then
	})
	if inner != 1 {
		t.Errorf("%d worked", inner)
	}
}

func TestFault(t *testing.T) {
	t.Parallel()
	c := New(1)
	var both sync.WaitGroup
	both.Add(2)
	defer func() {
		f, ok := recover().(*fault.Error)
		if !ok || f.Value != "fault" || !strings.Contains(string(f.Stack), "crew_test.go") {
			t.Errorf("%v", f)
		}
		if !c.take() {
			t.Error("the helper did not come back")
		}
	}()
	c.Do(1, func(helper bool) {
		both.Done()
		both.Wait()
		if helper {
			panic("fault")
		}
	})
}
