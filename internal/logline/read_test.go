package logline

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

const anID = "b8bby5wdt90bpmfm"

// events about messages, as they come back.
var events = []struct {
	written Event
	read    Event // nil = as written
}{
	{Accept{ID: anID, Client: "mail.example.org[192.0.2.1]"}, nil},
	{Accept{ID: anID, Client: "u[::1]", Method: "PLAIN", Username: "alice, from=<x>", UID: "1000", Parent: "b8bby5wdt90bpmfx"},
		Accept{ID: anID, Client: "u[::1]", Method: "PLAIN", Username: "alice? from=<x>", UID: "1000", Parent: "b8bby5wdt90bpmfx"}},
	{MessageID{anID, "<a, b@c>"}, nil},
	{Active{anID, "a@b", 12, 1}, nil},
	{Active{anID, "", 1 << 40, 1000}, nil},
	{Active{anID, `"x>, size=1, nrcpt=2 (queue active)\">"@b`, 12, 1}, nil},
	{Delivery{ID: anID, To: "c@d", OrigTo: "e@f", Relay: "mx.example.net[2001:db8::1]:25", Delay: 90 * time.Second, Delays: [4]time.Duration{time.Second, 0, 0, 20 * time.Millisecond}, DSN: "4.2.0", Status: "deferred",
		Text: "host mx said: 450 4.2.0 no (yet), status=sent (ok)"}, nil},
	{Delivery{ID: anID, To: `"a>, relay=evil, status=sent (x)"@d`, Relay: "none", DSN: "5.1.1", Status: "bounced", Text: ""}, nil},
	{Delivery{ID: anID, To: "c@d", Relay: "a, status=sent", DSN: "2.0.0", Status: "sent", Text: "ok"},
		Delivery{ID: anID, To: "c@d", Relay: "a? status=sent", DSN: "2.0.0", Status: "sent", Text: "ok"}},
	{Removed{anID}, nil},
	{Queue{anID, "hold", "by uid 0"}, Notice{LevelInfo, anID, "hold: by uid 0"}},
	{Queue{anID, "release", ""}, Notice{LevelInfo, anID, "release"}},
	{Reject{ID: anID, Stage: "DATA", Client: "u[::1]", Reply: "552 5.3.4 too big", From: "a@b", Proto: "ESMTP", Helo: "h"},
		Notice{LevelInfo, anID, "reject: DATA from u[::1]: 552 5.3.4 too big; from=<a@b> proto=ESMTP helo=<h>"}},
	{Notice{LevelError, anID, "commit: no space"}, nil},
	{Notice{LevelWarning, "", anID + ": journal torn"}, Notice{LevelWarning, anID, "journal torn"}},
	{Notice{LevelInfo, "", anID + ": to=<a@b> waits"}, Notice{LevelInfo, anID, "to=<a@b> waits"}},
	{Notice{LevelWarning, "", anID + ": removed"}, Notice{LevelWarning, anID, "removed"}},
}

func TestReadBack(t *testing.T) {
	t.Parallel()
	stamp := time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)
	now := stamp.Add(time.Hour)
	for _, c := range events {
		want := c.read
		if want == nil {
			want = c.written
		}
		for _, format := range []Format{Text, Syslog, JSON} {
			if format == JSON && reflect.TypeOf(want) == reflect.TypeOf(c.written) {
				if _, notice := want.(Notice); !notice {
					want = c.written // nothing had to be replaced
				}
			}
			var out strings.Builder
			l := NewWriter(&out, "smtpd", format)
			l.host, l.now = "mx", func() time.Time { return stamp }
			l.Log(c.written)
			e, ok := Read(out.String(), now)
			if !ok || !reflect.DeepEqual(e.Event, want) || e.ID() != anID || e.Program != "smtpd" || !e.Time.Equal(stamp) && format != Text {
				t.Errorf("%s%v, %+v\nwant %+v", out.String(), ok, e, want)
			}
		}
	}
}

func TestReadStamps(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.FixedZone("", 3600))
	for _, c := range []struct{ head, want string }{
		{"", "0001-01-01T00:00:00Z"},
		{"Jan  1 03:04:05 mx ", "2026-01-01T03:04:05+01:00"},
		{"Jan  2 23:04:05 mx ", "2026-01-02T23:04:05+01:00"},
		{"Dec 31 03:04:05 mx ", "2025-12-31T03:04:05+01:00"},
		{"2026-01-01T03:04:05+00:00 mx ", "2026-01-01T03:04:05Z"},
		{"2026-01-01T03:04:05.123456+00:00 mx ", "2026-01-01T03:04:05.123456Z"},
		{"2026-01-01T03:04:05+0100 mx ", "2026-01-01T03:04:05+01:00"},
		{"2026-01-01T03:04:05.250000+0100 mx ", "2026-01-01T03:04:05.25+01:00"},
		{"2026-01-01_03:04:05.12345 ", "2026-01-01T03:04:05.12345Z"},
		{"2026-01-01T03:04:05.12345 ", "2026-01-01T03:04:05.12345Z"},
		{"Jan  1 03:04:05 mx other[1]: ", ""},
		{"Jan  1 03:04:05 ", ""},
		{"2026-01-01T03:04:05+00:00 mx other[1]: helo=", ""},
		{"x", ""},
		{" ", ""},
	} {
		e, ok := Read(c.head+"postrider/relayd[1]: "+anID+": removed\n", now)
		if ok != (c.want != "") || ok && e.Time.Format(time.RFC3339Nano) != c.want {
			t.Errorf("%q: %v, %+v; want %s", c.head, ok, e, c.want)
		}
	}
}

// The journal puts time and program in front of objects, too.
func TestReadJournalJSON(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	NewWriter(&out, "relayd", JSON).Log(Removed{anID})
	e, ok := Read("2026-01-01T03:04:05+0000 mx postrider/relayd[1]: "+out.String(), time.Now())
	if !ok || e.Event != (Removed{anID}) || e.Program != "relayd" || e.Time.IsZero() {
		t.Errorf("%v, %+v", ok, e)
	}
}

func TestReadOthers(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"", "postrider/", "postrider/smtpd", "postrider/smtpd[x]: " + anID + ": removed", "postrider/smtpd[1]: connect from u[::1]",
		"postrider/smtpd[1]: NOQUEUE: reject: x", "postrider/smtpd[1]: " + anID, "postrider/a b[1]: " + anID + ": removed",
		"postrider/smtpd[1]: " + strings.ToUpper(anID) + ": removed", "{", "{}", `{"event":"removed","id":"x"}`, `{"event":"connect","id":"` + anID + `"}`,
		`{"event":"notice","text":"x"}`, `{"event":"delivery"}`,
	} {
		if e, ok := Read(line, time.Now()); ok {
			t.Errorf("%q gives %+v", line, e)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, c := range events {
		for _, format := range []Format{Text, Syslog, JSON} {
			var out strings.Builder
			NewWriter(&out, "relayd", format).Log(c.written)
			f.Add(out.String())
		}
	}
	now := time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, line string) {
		e, ok := Read(line, now)
		if !ok {
			return
		}
		if !isID(e.ID()) {
			t.Fatalf("%q gives the id %q", line, e.ID())
		}
		var out strings.Builder
		NewWriter(&out, "x", Text).Log(e.Event)
		again, ok := Read(out.String(), now)
		if !ok || again.ID() != e.ID() {
			t.Fatalf("%q gives %s, which gives %s", line, fmt.Sprint(e), fmt.Sprint(again))
		}
	})
}

// An address cannot be made to look like other fields.
func FuzzReadDelivery(f *testing.F) {
	f.Add(`"a>, relay=x"@b`, "x, status=sent (", "450 no) (")
	f.Fuzz(func(t *testing.T, local, relay, text string) {
		to := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"@example.org`
		var out strings.Builder
		NewWriter(&out, "relayd", Text).Log(Delivery{ID: anID, To: to, Relay: relay, DSN: "4.0.0", Status: "deferred", Text: text})
		e, ok := Read(out.String(), time.Now())
		if d, is := e.Event.(Delivery); !ok || !is || d.Status != "deferred" || d.DSN != "4.0.0" {
			t.Fatalf("%q gives %+v", out.String(), e)
		}
	})
}
