package relayd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/envelope"
)

func TestSent(t *testing.T) {
	inWorld(t, func(w *world) {
		before := w.queue(nil, "alice@example.net")
		w.run()
		after := w.queue(nil, "alice@example.net", "bob@example.net", "dave@example.com")
		w.gone(time.Minute)
		if got := w.peer("mx.example.net").sorted(); got != "<alice@example.net> <alice@example.net> <bob@example.net>" {
			t.Errorf("taken: %s", got)
		}
		m := w.peer("mx.example.com").messages()
		if len(m) != 1 || m[0].body != body || m[0].from != "FROM:<carol@example.org> SIZE=49" {
			t.Errorf("taken: %+v", m)
		}
		for _, id := range []string{before, after} {
			w.wantLog(1, id, ": removed")
			w.wantLog(1, id, "(queue active)")
		}
		w.wantLog(2, after, "relay=mx.example.net[192.0.2.1]:25", "dsn=2.0.0, status=sent (250 2.0.0 queued)")
		if list, _ := filepath.Glob(w.root + "/remote/log/*/*"); w.sleepThen(2*time.Second) && len(list) > 0 && exists(list[0]) {
			t.Errorf("journals: %v", list)
		}
		if got := w.submit.messages(); len(got) > 0 {
			t.Errorf("reports: %q", got)
		}
	})
}

func (w *world) sleepThen(d time.Duration) bool {
	w.sleep(d)
	return true
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// TestPartly has one of each kind of recipient: what is final is on record, and only the rest is tried again.
func TestPartly(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		p.on(func(_ *dialogue, c string) string {
			switch {
			case strings.HasPrefix(c, "RCPT TO:<no"):
				return "550 5.1.1 who"
			case strings.HasPrefix(c, "RCPT TO:<later"):
				return "450 4.2.1 full"
			}
			return ""
		})
		w.run()
		id := w.queue(func(e *envelope.Envelope) { e.To[3].Notify = []string{"never"} }, "alice@example.net", "no@example.net", "later@example.net", "nobody@example.net")
		w.awaitLog(time.Minute, id, "status=deferred")
		w.await(time.Second, "report", func() bool { return len(w.submit.messages()) == 1 })
		w.sleep(time.Second)
		if got := w.journal(); got != "alice@example.net sent 2.0.0; no@example.net failed 5.1.1; later@example.net deferred 4.2.1; nobody@example.net failed 5.1.1" {
			t.Errorf("journal: %s", got)
		}
		got := w.submit.messages()
		if !strings.Contains(got[0], "Final-Recipient: rfc822; no@example.net") || strings.Contains(got[0], "nobody@") || strings.Contains(got[0], "later@") {
			t.Errorf("reports: %q", got)
		}
		w.stop()
		p.on(nil)
		w.run()
		w.gone(time.Hour)
		if got := p.sorted(); got != "<alice@example.net> <later@example.net>" {
			t.Errorf("taken: %s", got)
		}
		if got := w.submit.messages(); len(got) != 1 {
			t.Errorf("reports: %q", got)
		}
		w.wantLog(1, id, ": removed")
	})
}

// TestExcess has a host that takes a few recipients in a transaction: the others follow at once, though others wait for the host,
// and though its sessions end.
func TestExcess(t *testing.T) {
	t.Parallel()
	for _, closes := range []bool{false, true} {
		t.Run(fmt.Sprint("closes=", closes), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				w.cfg.Relayd.InitialWindow, w.cfg.Relayd.MaxWindow = 1, 4
				if closes {
					w.cfg.Relayd.MaxReuse = 2
				}
				p := w.peer("mx.example.net")
				p.on(func(d *dialogue, c string) string {
					switch {
					case strings.HasPrefix(c, "RCPT") && len(d.msg.to) == 5:
						return "452 4.5.3 too many recipients"
					case c == "end":
						time.Sleep(time.Second)
					}
					return ""
				})
				var to []string
				for i := range 23 {
					to = append(to, fmt.Sprintf("u%d@example.net", i))
				}
				var ids []string
				for range 8 {
					ids = append(ids, w.queue(nil, to...))
				}
				w.run()
				w.gone(10 * time.Minute)
				if got := p.recipients(); len(got) != 8*23 {
					t.Errorf("%d taken", len(got))
				}
				w.wantLog(0, "status=deferred")
				for _, id := range ids {
					w.wantLog(23, id, "status=sent")
				}
			})
		})
	}
}
