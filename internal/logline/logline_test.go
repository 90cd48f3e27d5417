package logline

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestGrammar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		e    Event
		want string
	}{
		{Connect{"mail.example.org[192.0.2.1]"}, "connect from mail.example.org[192.0.2.1]"},
		{Disconnect{Client: "u[::1]", Good: map[string]int{"ehlo": 1, "rcpt": 0}, Commands: map[string]int{"ehlo": 1, "rcpt": 2}},
			"disconnect from u[::1] ehlo=1 rcpt=0/2 commands=1/3"},
		{Disconnect{Client: "u[::1]", Reason: "lost connection", Stage: "DATA"}, "lost connection after DATA from u[::1]"},
		{Accept{ID: "X1", Client: "u[::1]", Method: "PLAIN", Username: "alice"}, "X1: client=u[::1], sasl_method=PLAIN, sasl_username=alice"},
		{MessageID{"X1", "<a@b>"}, "X1: message-id=<a@b>"},
		{Active{"X1", "a@b", 12, 1}, "X1: from=<a@b>, size=12, nrcpt=1 (queue active)"},
		{Delivery{ID: "X1", To: "c@d", OrigTo: "e@f", Relay: "local", Delay: 1230 * time.Millisecond, Delays: [4]time.Duration{9 * time.Millisecond, 0, 0, 12 * time.Second}, DSN: "2.0.0", Status: "sent", Text: "delivered to maildir"},
			"X1: to=<c@d>, orig_to=<e@f>, relay=local, delay=1.2, delays=0.009/0/0/12, dsn=2.0.0, status=sent (delivered to maildir)"},
		{Removed{"X1"}, "X1: removed"},
		{Reject{Stage: "RCPT", Client: "u[::1]", Reply: "554 5.7.1 <r@x>: Relay access denied", From: "s@y", To: "r@x", Proto: "ESMTP", Helo: "h\n"},
			"NOQUEUE: reject: RCPT from u[::1]: 554 5.7.1 <r@x>: Relay access denied; from=<s@y> to=<r@x> proto=ESMTP helo=<h >"},
		{Login{"u[::1]", "PLAIN", "no"}, "warning: u[::1]: SASL PLAIN authentication failed: no"},
		{Notice{Severity: LevelWarning, Text: "a\x00b\xffc\u0085"}, "warning: a?b?c?"},
	} {
		var out strings.Builder
		l := NewWriter(&out, "smtpd", Text)
		l.Log(c.e)
		if got := strings.TrimSuffix(strings.TrimPrefix(out.String(), l.prefix), "\n"); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		out.Reset()
		NewWriter(&out, "smtpd", JSON).Log(c.e)
		var m map[string]any
		if err := json.Unmarshal([]byte(out.String()), &m); err != nil || m["event"] != c.e.name() {
			t.Errorf("json %s: %v", out.String(), err)
		}
	}
}

func TestSyslogPrefix(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	l := NewWriter(&out, "smtpd", Syslog)
	l.host, l.now = "mx", func() time.Time { return time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC) }
	l.Info("cause: %v", errors.New("x"))
	if got := out.String(); !strings.HasPrefix(got, "Nov  2 03:04:05 mx postrider/smtpd[") || !strings.HasSuffix(got, "]: cause: x\n") {
		t.Errorf("got %q", got)
	}
}
