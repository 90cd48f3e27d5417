package queue

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/spool"
)

// deferred is a channel with messages that wait, each submitted by another uid, in a schedule; and their ids.
func deferred(t *testing.T, uids ...int64) (q Steering, ids []string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "spool")
	if err := spool.Init(root); err != nil {
		t.Fatal(err)
	}
	stage, err := spool.OpenStage(root, spool.StageOptions{MessageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer stage.Close()
	c, err := spool.OpenChannel(root, envelope.Remote, spool.ChannelOptions{AllowRemote: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	q = Steering{Schedule: NewSchedule(nil), Spool: root, Via: envelope.Remote}
	for _, uid := range uids {
		m, err := stage.Create(&envelope.Envelope{Origin: envelope.OriginLocal, UID: uid, Client: envelope.Client{Name: "localhost"}, Time: time.Now(),
			To: []envelope.Recipient{{Addr: address.Address{Local: "bob", Domain: "example.net"}, Via: envelope.Remote}}}, false)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Abort()
		if _, err := io.WriteString(m, "Subject: x\r\n\r\nhello\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := m.Commit(); err != nil {
			t.Fatal(err)
		}
		i, err := c.Pickup(m.ID(), func(*envelope.Envelope) string { return fmt.Sprint("smtp:example", uid) })
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Defer(i, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		q.Schedule.Add(Known{Name: i.Name}, i.Name.Due)
		ids = append(ids, m.ID())
	}
	return q, ids
}

// due are the ids whose turn has come.
func due(q Steering) (ids []string) {
	for {
		k, ok := q.Schedule.Next(time.Now())
		if !ok {
			return ids
		}
		ids = append(ids, k.ID)
	}
}

// TestRetry: what one user retries becomes due, and its destinations are told before.
func TestRetry(t *testing.T) {
	t.Parallel()
	q, ids := deferred(t, 1, 2, 1)
	var revived []string
	q.Revive = func(dests []string) {
		revived = dests
		if n := due(q); len(n) > 0 {
			t.Errorf("due before the destinations are revived: %v", n)
		}
	}
	got, err := q.Steer(t.Context(), control.DoRetry, []string{ids[0], ids[1], "../x"}, control.Selection{UID: 1})
	want := []control.Outcome{{ID: ids[0]}, {ID: ids[1], Trouble: control.NoMessage}, {ID: "../x", Trouble: control.NoMessage}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if d := due(q); !slices.Equal(d, ids[:1]) || !slices.Equal(revived, []string{"smtp:example1"}) {
		t.Errorf("due %v, revived %v", d, revived)
	}
}

func TestFlush(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		s    func(ids []string) control.Selection
		due  []int
		all  bool
	}{
		{"all", func([]string) control.Selection { return control.Selection{Anyone: true} }, []int{0, 1, 2}, true},
		{"own", func([]string) control.Selection { return control.Selection{UID: 1} }, []int{0, 2}, false},
		{"one", func(ids []string) control.Selection { return control.Selection{Anyone: true, ID: ids[1]} }, []int{1}, false},
		{"another's", func(ids []string) control.Selection { return control.Selection{UID: 1, ID: ids[1]} }, nil, false},
		{"nobody's", func([]string) control.Selection { return control.Selection{UID: 3} }, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			q, ids := deferred(t, 1, 2, 1)
			calls, all := 0, false
			q.Revive = func(dests []string) { calls, all = calls+1, dests == nil }
			n, err := q.Flush(t.Context(), c.s(ids))
			got := due(q)
			slices.Sort(got)
			var want []string
			for _, k := range c.due {
				want = append(want, ids[k])
			}
			if err != nil || n != len(want) || !slices.Equal(got, want) || all != c.all || (calls > 0) != (n > 0) {
				t.Errorf("%d, %v, due %v, not %v; revived %d times, all = %t", n, err, got, want, calls, all)
			}
		})
	}
}

// TestSteering holds, lists, opens and deletes by the daemon's way.
func TestSteering(t *testing.T) {
	t.Parallel()
	q, ids := deferred(t, 1, 2)
	mine := control.Selection{UID: 1}
	if got, err := q.Steer(t.Context(), control.DoHold, ids, mine); err != nil || got[0].Trouble != "" || got[1].Trouble != control.NoMessage {
		t.Errorf("hold: %v, %v", got, err)
	}
	found := make(map[string]control.State)
	if err := q.List(t.Context(), control.Selection{Anyone: true}, func(e *control.Entry) error { found[e.ID] = e.State; return nil }); err != nil ||
		found[ids[0]] != control.Hold || found[ids[1]] != control.Deferred {
		t.Errorf("%v, %v", found, err)
	}
	f, size, err := q.Open(t.Context(), control.Selection{UID: 1, ID: ids[0]})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := io.ReadAll(f); err != nil || int64(len(b)) != size || !strings.HasSuffix(string(b), "hello\r\n") {
		t.Errorf("%d octets, not %d, %v", len(b), size, err)
	}
	for _, id := range []string{ids[1], "../x", ""} {
		if _, _, err := q.Open(t.Context(), control.Selection{UID: 1, ID: id}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if got, err := q.Steer(t.Context(), control.DoDelete, ids, control.Selection{Anyone: true}); err != nil || got[0].Trouble != "" || got[1].Trouble != "" {
		t.Errorf("delete: %v, %v", got, err)
	}
}
