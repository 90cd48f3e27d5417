package logline

import (
	"bytes"
	"strings"
	"testing"
)

func TestVisit(t *testing.T) {
	t.Parallel()
	visit := Visit{Service: "imap", User: "alice", Method: "PLAIN", Remote: "192.0.2.1", Local: "192.0.2.2", Security: "TLS", Session: "abc"}
	stranger := Visit{Service: "pop3", Remote: "2001:db8::1", Local: "2001:db8::2", Security: "secured", Session: "abc"}
	forger := visit
	forger.User = "a>, rip=198.51.100.7\n, lip=<"
	for _, c := range []struct {
		event Event
		want  string
	}{
		{Opened{Visit: visit, PID: 4711},
			"imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, mpid=4711, TLS, session=<abc>"},
		{Unopened{Visit: stranger, Reason: "Connection closed", Attempts: "no auth attempts in 0 secs"},
			"pop3-login: Disconnected: Connection closed (no auth attempts in 0 secs): user=<>, rip=2001:db8::1, lip=2001:db8::2, secured, session=<abc>"},
		{Opened{Visit: forger, PID: 1},
			"imap-login: Login: user=<a?? rip=198.51.100.7 ? lip=?>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, mpid=1, TLS, session=<abc>"},
	} {
		var out bytes.Buffer
		NewWriter(&out, "imapd", Text).Log(c.event)
		if _, line, _ := strings.Cut(out.String(), "]: "); line != c.want+"\n" {
			t.Errorf("%s, not %s", line, c.want)
		}
	}
	var out bytes.Buffer
	NewWriter(&out, "imapd", JSON).Log(Opened{Visit: visit, PID: 4711})
	for _, want := range []string{`"event":"login"`, `"user":"alice"`, `"mpid":4711`, `"rip":"192.0.2.1"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s lacks %s", out.String(), want)
		}
	}
}
