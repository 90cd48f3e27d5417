package relayd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/envelope"
	"postrider/internal/spool"
	"postrider/internal/usertest"
)

// TestCutOff: a queue file that somebody cuts off while it is sent is not taken for a whole message, converted or not.
func TestCutOff(t *testing.T) {
	t.Parallel()
	for _, converted := range []bool{false, true} {
		bubble(t, func(w *world) {
			p := w.peer("mx.example.net")
			if converted {
				p.offers()
			}
			text := "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + strings.Repeat("Grüße\r\n", 20_000)
			p.on(func(_ *dialogue, c string) string {
				if c == "DATA" {
					q := w.entry()
					if err := os.Truncate(q.Path, 50_000); err != nil {
						t.Error(err)
					}
				}
				return ""
			})
			w.run()
			id := w.queueBody(text, func(e *envelope.Envelope) { e.From.Body = "8bitmime" }, "alice@example.net")
			w.awaitLog(time.Minute, id, "status=deferred (the message cannot be read")
			if got := p.messages(); len(got) > 0 {
				t.Errorf("taken: %d octets", len(got[0].body))
			}
			if h := w.manager.hosts.known["smtp:mx.example.net:25"]; h.failed > 0 {
				t.Errorf("the host is blamed: %+v", h)
			}
		})
	}
}

// TestGone has the administrator take a message away at each step: nothing is sent that had not begun, and nothing is lost of what
// was done.
func TestGone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		reply string // to the message
		hold  bool
	}{
		{"removed, sent", "250 2.0.0 ok", false},
		{"removed, refused", "550 5.0.0 no", false},
		{"removed, deferred", "450 4.0.0 later", false},
		{"held, sent", "250 2.0.0 ok", true},
		{"held, refused", "550 5.0.0 no", true},
		{"held, deferred", "450 4.0.0 later", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				take := func() {
					q := w.entry()
					to := filepath.Join(w.root, "remote/hold", filepath.Base(q.Path))
					if !c.hold {
						to = t.TempDir() + "/x"
					}
					if err := os.Rename(q.Path, to); err != nil {
						t.Error(err)
					}
				}
				p := w.peer("mx.example.net")
				p.on(func(_ *dialogue, command string) string {
					if command == "end" {
						take()
						return c.reply
					}
					return ""
				})
				w.run()
				id := w.queue(nil, "alice@example.net")
				w.awaitLog(time.Minute, id, "status=")
				w.sleep(2 * time.Hour)
				if n := p.attempts(); n != 1 {
					t.Errorf("%d attempts", n)
				}
				if !c.hold {
					if q := w.queued(); len(q) > 0 {
						t.Errorf("queue: %v", q)
					}
					return
				}
				q := w.entry()
				if q.State != spool.Held {
					t.Fatalf("queue: %+v", q)
				}
				p.on(nil)
				if err := os.Rename(q.Path, filepath.Join(w.root, "remote/new", filepath.Base(q.Path))); err != nil {
					t.Fatal(err)
				}
				w.kicked()
				w.gone(time.Minute)
				want := map[byte]int{'2': 1, '5': 0, '4': 1}[c.reply[0]]
				if got := len(p.messages()); got != want {
					t.Errorf("%d taken, not %d", got, want)
				}
				if got := len(w.submit.messages()); (c.reply[0] == '5') != (got == 1) {
					t.Errorf("%d reports", got)
				}
			})
		})
	}
}

// TestGoneBefore: what is taken away while it waits for its turn is not sent.
func TestGoneBefore(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		p.on(func(_ *dialogue, command string) string {
			if command == "end" {
				time.Sleep(time.Minute)
			}
			return ""
		})
		w.run()
		first, second := w.queue(nil, "alice@example.net"), w.queue(nil, "bob@example.net")
		w.sleep(time.Second)
		third := w.queue(nil, "dave@example.net")
		w.sleep(time.Second)
		for _, q := range w.queued() {
			if q.Name.ID == third {
				if err := os.Remove(q.Path); err != nil {
					t.Fatal(err)
				}
			}
		}
		w.gone(10 * time.Minute)
		w.wantLog(1, first, ": removed")
		w.wantLog(1, second, ": removed")
		w.sleep(time.Hour)
		if got := len(p.messages()); got != 2 {
			t.Errorf("%d taken", got)
		}
	})
}

// TestCannotRemove has a queue file that can neither be removed nor recorded as sent: it is not sent again.
func TestCannotRemove(t *testing.T) {
	if !usertest.Run(t) {
		return
	}
	inWorld(t, func(w *world) {
		w.peer("mx.example.net").says("RCPT", "450 4.0.0 later")
		w.run()
		id := w.queue(nil, "alice@example.net")
		w.awaitLog(time.Minute, id, "status=deferred")
		w.sleep(time.Second)
		for _, dir := range []string{"cur", "log"} {
			path := filepath.Join(w.root, "remote", dir, spool.Hash(id))
			if err := os.Chmod(path, 0o500); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.Chmod(path, 0o700) })
			if dir == "log" {
				list, _ := filepath.Glob(path + "/*")
				for _, f := range list {
					os.Chmod(f, 0o400)
				}
			}
		}
		p := w.peer("mx.example.net")
		p.on(nil)
		w.sleep(3 * time.Hour)
		if got := len(p.messages()); got != 1 {
			t.Errorf("%d copies\n%s", got, w.log)
		}
		for _, dir := range []string{"cur", "log"} {
			path := filepath.Join(w.root, "remote", dir, spool.Hash(id))
			if err := os.Chmod(path, 0o700); err != nil {
				t.Fatal(err)
			}
			list, _ := filepath.Glob(path + "/*")
			for _, f := range list {
				os.Chmod(f, 0o600)
			}
		}
		w.gone(3 * time.Hour)
		if got := len(p.messages()); got != 1 {
			t.Errorf("%d copies", got)
		}
	})
}
