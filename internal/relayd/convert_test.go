package relayd

import (
	"strings"
	"testing"
	"time"

	"postrider/internal/envelope"
)

// TestEightBit: what a host does not take is converted, or refused, or sent all the same where that is not needed.
func TestEightBit(t *testing.T) {
	t.Parallel()
	const (
		plain   = "Subject: x\r\n\r\nText\r\n"
		eight   = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n"
		header  = "Subject: Grüße\r\n\r\nText\r\n"
		neither = "Subject: Grüße\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n"
	)
	all := "8BITMIME SMTPUTF8"
	for _, c := range []struct {
		name, body, offers, from string
		utf8                     bool
		want                     string // in what the host took; or the status
	}{
		{"plain to anybody", plain, "", "", false, plain},
		{"eight bits where they are taken", eight, "8BITMIME", "", false, eight},
		{"eight bits converted", eight, "", "", false, "Gr=C3=BC=C3=9Fe"},
		{"marked, but plain", plain, "", "", true, plain},
		{"marked, eight bits, converted", eight, "", "", true, "Gr=C3=BC=C3=9Fe"},
		{"marked, eight bits, no SMTPUTF8", eight, "8BITMIME", "", true, eight},
		{"marked, header, both", header, all, "", true, header},
		{"marked, header, no SMTPUTF8", header, "8BITMIME", "", true, "5.6.7"},
		{"marked, header, neither", header, "", "", true, "5.6.7"},
		{"sender, no SMTPUTF8", plain, "8BITMIME", "grüße", true, "5.6.7"},
		{"sender, SMTPUTF8", plain, all, "grüße", true, plain},
		{"unmarked, header as it came", header, "", "", false, header},
		{"unmarked, both", neither, "", "", false, "5.6.3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				p := w.peer("mx.example.net")
				p.offers(append(strings.Fields(c.offers), "PIPELINING")...)
				w.run()
				id := w.queueBody(c.body, func(e *envelope.Envelope) {
					e.From.Body, e.From.SMTPUTF8 = "8bitmime", c.utf8
					if c.from != "" {
						e.From.Addr.Local = c.from
					}
				}, "alice@example.net")
				w.awaitLog(time.Minute, id, "status=")
				w.gone(time.Minute)
				got := p.messages()
				if strings.HasPrefix(c.want, "5.") {
					w.wantLog(1, id, "dsn="+c.want+", status=bounced")
					if len(got) > 0 {
						t.Errorf("taken: %q", got[0].body)
					}
					return
				}
				if len(got) != 1 || !strings.Contains(got[0].body, c.want) {
					t.Fatalf("taken: %+v\n%s", got, w.log)
				}
				if strings.Contains(got[0].from, "SMTPUTF8") != (c.utf8 && strings.Contains(c.offers, "SMTPUTF8")) ||
					strings.Contains(got[0].from, "BODY=8BITMIME") != strings.Contains(c.offers, "8BITMIME") {
					t.Errorf("MAIL %s", got[0].from)
				}
			})
		})
	}
}

// TestRecipientUTF8: of several recipients, those that the host cannot take fail, and the others get theirs.
func TestRecipientUTF8(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.peer("mx.example.net")
		p.offers("8BITMIME")
		w.run()
		id := w.queue(func(e *envelope.Envelope) {
			e.From.SMTPUTF8 = true
			e.To[1].Addr.Local = "grüße"
		}, "alice@example.net", "bob@example.net")
		w.gone(time.Minute)
		w.wantLog(1, id, "dsn=5.6.7, status=bounced")
		if got := p.sorted(); got != "<alice@example.net>" {
			t.Errorf("taken: %s", got)
		}
	})
}
