package relayd

import (
	"errors"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/smtpc"
)

// TestSuccess: who asked for it is told of success, by us only where the host does not.
func TestSuccess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ offers, hop, want string }{
		{"DSN", "", ""},
		{"", "", "Action: relayed"},
		{"", "lmtp:unix:/run/lmtp", "Action: delivered"},
	} {
		bubble(t, func(w *world) {
			host := "mx.example.net"
			if c.hop != "" {
				host = "/run/lmtp"
				w.route("example.net", c.hop)
			}
			w.peer(host).offers(c.offers)
			w.run()
			w.queue(func(e *envelope.Envelope) { e.To[0].Notify = []string{"success"} }, "alice@example.net", "bob@example.net")
			w.gone(time.Minute)
			got := w.submit.messages()
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want) || strings.Contains(got[0], "bob@")) {
				t.Errorf("%+v: %q", c, got)
			}
			if m := w.peer(host).messages(); c.offers == "DSN" && m[0].to[0] != "<alice@example.net> NOTIFY=SUCCESS" {
				t.Errorf("taken: %+v", m)
			}
		})
	}
}

// TestNullSender: nobody is told of the failure of a notice but the postmaster.
func TestNullSender(t *testing.T) {
	inWorld(t, func(w *world) {
		w.peer("mx.example.net").says("RCPT", "550 5.1.1 who")
		w.run()
		w.queue(func(e *envelope.Envelope) { e.From.Addr = address.Address{} }, "alice@example.net")
		w.gone(time.Minute)
		if got := w.submit.messages(); len(got) != 1 || !strings.HasPrefix(got[0], "<> -> postmaster@example.org") {
			t.Errorf("%q", got)
		}
	})
}

// TestReportLater has smtpd away when a failure is to be told: the message waits for that, across a restart.
func TestReportLater(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		p.on(func(_ *dialogue, c string) string {
			if strings.HasPrefix(c, "RCPT TO:<no") {
				return "550 5.1.1 who"
			}
			return ""
		})
		w.submit.answers(func(*smtpc.Envelope) error { return errors.New("smtpd is away") })
		w.run()
		id := w.queue(nil, "no@example.net", "alice@example.net")
		w.awaitLog(time.Minute, id, "notification failed for now")
		w.sleep(time.Second)
		w.stop()
		w.run()
		w.sleep(time.Hour)
		if len(w.queued()) != 1 || len(p.messages()) != 1 {
			t.Fatalf("queue %v, taken %+v", w.queued(), p.messages())
		}
		w.submit.answers(nil)
		w.gone(2 * time.Hour)
		if got := w.submit.messages(); len(got) != 1 || !strings.Contains(got[0], "Status: 5.1.1") {
			t.Errorf("%q", got)
		}
		w.wantLog(1, id, "status=bounced")
		w.wantLog(1, id, "status=sent")
	})
}
