package dsn

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/reply"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const header1 = "From: alice@example.org\r\nSubject: hello\r\n"

func message(text string) Message {
	return Message{int64(len(text)), func() io.Reader { return strings.NewReader(text) }}
}

func addr(s string) address.Address {
	a, err := address.Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

func report(kind Kind) *Report {
	at := time.Date(2025, 10, 9, 10, 0, 0, 0, time.FixedZone("", 2*3600))
	return &Report{
		Kind: kind, Hostname: "mail.example.org", Now: at.Add(time.Hour), Until: at.Add(120 * time.Hour), To: addr("alice@example.org"), boundary: "=_BOUNDARY",
		Envelope: &envelope.Envelope{ID: "0b1c2d3f4g5h6j7k", Time: at, Origin: envelope.OriginAuth, From: envelope.Sender{Addr: addr("alice@example.org"), EnvID: "envelope 1"}},
		Recipients: []Recipient{
			{Recipient: envelope.Recipient{Addr: addr("nobody@example.net"), ORcpt: "rfc822;list+x@example.net", Line: 17},
				Reply: reply.New(550, 1, 1, "unknown user"), Time: at.Add(time.Minute)},
			{Recipient: envelope.Recipient{Addr: addr("bob@example.net"), Orig: addr("office@example.net"), Line: 18}, MTA: "mx.example.net",
				Reply: reply.New(452, 2, 2, "mailbox full\nand a second line that is long enough to be folded somewhere, as it has more than 76 letters\r\nFinal-Recipient: rfc822; forged@example.org"), Time: at.Add(time.Minute)},
		},
	}
}

func write(t *testing.T, r *Report, m Message) string {
	t.Helper()
	d, err := New(r, m)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	n, err := d.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("%d octets of %d, %v", n, b.Len(), err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	full := func(r *Report) { r.Envelope.From.Ret = "full" }
	for _, test := range []struct {
		name    string
		kind    Kind
		change  func(*Report)
		message string
	}{
		{"failure", Failure, func(*Report) {}, header1 + "\r\nText\r\n"},
		{"failure-full", Failure, full, header1 + "\r\nText\r\n"},
		{"failure-eightbit", Failure, full, header1 + "\r\nGr\xfc\xdfe\r\n"},
		{"failure-utf8", Failure, func(r *Report) {
			r.Envelope.From.SMTPUTF8 = true
			r.Recipients[0].Addr.Local = "jürgen"
		}, "Subject: Grüße\r\n\r\nText\r\n"},
		{"failure-postmaster", Failure, func(r *Report) { r.Postmaster, r.To = true, addr("postmaster@example.org") }, header1 + "\r\n"},
		{"delay", Delay, func(*Report) {}, header1 + "\r\nText\r\n"},
		{"delivered", Delivered, func(r *Report) {
			r.Recipients = r.Recipients[:1]
			r.Recipients[0].Reply = reply.New(250, 0, 0, "delivered to mailbox")
		}, header1 + "\r\nText\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := report(test.kind)
			test.change(r)
			got := write(t, r, message(test.message))
			path := filepath.Join("testdata", test.name+".eml")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs:\n%s", path, got)
			}
			parse(t, got)
		})
	}
}

// parse reads a report as its receiver would and returns its three parts' types and bodies.
func parse(t *testing.T, text string) (types, bodies []string) {
	t.Helper()
	for l := range strings.SplitAfterSeq(text, "\n") {
		if l != "" && !strings.HasSuffix(l, "\r\n") || strings.ContainsAny(strings.TrimSuffix(l, "\r\n"), "\r\n") || len(l) > 1000 {
			t.Errorf("bad line %.100q", l)
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Errorf("%s %v: %v", kind, params, err)
	}
	if m.Header.Get("Content-Transfer-Encoding") == "" {
		if i := strings.IndexFunc(text, func(r rune) bool { return r >= 0x80 }); i >= 0 {
			t.Errorf("octet above 127 at %d is not declared", i)
		}
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		types, bodies = append(types, kind), append(bodies, string(b))
	}
	if len(types) != 3 {
		t.Fatalf("%d parts", len(types))
	}
	return types, bodies
}

// TestStatus reads the fields back: what a peer said can add none.
func TestStatus(t *testing.T) {
	t.Parallel()
	_, bodies := parse(t, write(t, report(Failure), message(header1+"\r\n")))
	groups := strings.Split(bodies[1], "\r\n\r\n")
	if len(groups) != 3 {
		t.Fatalf("%d groups of fields: %q", len(groups), groups)
	}
	for i, want := range []map[string]string{
		{"Original-Envelope-Id": "envelope 1", "Reporting-MTA": "dns; mail.example.org", "Arrival-Date": "Thu, 9 Oct 2025 10:00:00 +0200"},
		{"Original-Recipient": "rfc822; list+x@example.net", "Final-Recipient": "rfc822; nobody@example.net", "Action": "failed", "Status": "5.1.1",
			"Diagnostic-Code": "X-Postrider; unknown user", "Last-Attempt-Date": "Thu, 9 Oct 2025 10:01:00 +0200"},
		{"Original-Recipient": "rfc822; office@example.net", "Final-Recipient": "rfc822; bob@example.net", "Action": "failed", "Status": "5.2.2",
			"Remote-MTA": "dns; mx.example.net", "Last-Attempt-Date": "Thu, 9 Oct 2025 10:01:00 +0200",
			"Diagnostic-Code": "smtp; 452 4.2.2 mailbox full and a second line that is long enough to be folded somewhere, as it has more than 76 letters? Final-Recipient: rfc822; forged@example.org"},
	} {
		got, err := textproto.NewReader(bufio.NewReader(strings.NewReader(groups[i] + "\r\n\r\n"))).ReadMIMEHeader()
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Errorf("group %d: %d fields, want %d: %v", i, len(got), len(want), got)
		}
		for k, v := range want {
			if g := got[textproto.CanonicalMIMEHeaderKey(k)]; len(g) != 1 || g[0] != v {
				t.Errorf("group %d: %s: %q, want %q", i, k, g, v)
			}
		}
	}
}

func TestReturned(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, message, ret, kind, want string
		limit                          int64
	}{
		{"header", header1 + "\r\nText\r\n", "hdrs", "text/rfc822-headers", header1, 0},
		{"default", header1 + "\r\nText\r\n", "", "text/rfc822-headers", header1, 0},
		{"full", header1 + "\r\nText\r\n", "full", "message/rfc822", header1 + "\r\nText\r\n", 0},
		{"too large", header1 + "\r\n" + strings.Repeat("Text\r\n", 11_000), "full", "text/rfc822-headers", header1, 0},
		{"no body", header1, "", "text/rfc822-headers", header1, 0},
		{"no header", "\r\nText\r\n", "", "text/rfc822-headers", "", 0},
		{"long header", strings.Repeat("A: b\r\n", 100), "", "text/rfc822-headers", "A: b\r\nA: b\r\n", 14},
		{"long line", "A: " + strings.Repeat("b", 100), "", "text/rfc822-headers", "", 14},
	} {
		r := report(Failure)
		r.Envelope.From.Ret, r.HeaderLimit = test.ret, test.limit
		types, bodies := parse(t, write(t, r, message(test.message)))
		if types[2] != test.kind || bodies[2] != test.want {
			t.Errorf("%s: %s %q, want %s %q", test.name, types[2], bodies[2], test.kind, test.want)
		}
	}
}

// TestStranger has a message of somebody unknown: whom it names as its sender gets no more than the header.
func TestStranger(t *testing.T) {
	t.Parallel()
	for origin, want := range map[envelope.Origin]string{
		envelope.OriginAuth: "message/rfc822", envelope.OriginLocal: "message/rfc822", envelope.OriginNet: "message/rfc822",
		envelope.OriginMX: "text/rfc822-headers", "": "text/rfc822-headers",
	} {
		r := report(Failure)
		r.Envelope.From.Ret, r.Envelope.Origin = "full", origin
		if types, _ := parse(t, write(t, r, message(header1+"\r\nText\r\n"))); types[2] != want {
			t.Errorf("origin %q: %s", origin, types[2])
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	broken := Message{10, func() io.Reader { return iotest.ErrReader(errors.New("disk")) }}
	if _, err := New(report(Failure), broken); err == nil {
		t.Error("an unreadable message was returned")
	}
	if _, err := New(&Report{}, message("")); err == nil {
		t.Error("an empty report was made")
	}
	d, err := New(report(Failure), message(header1))
	if err != nil {
		t.Fatal(err)
	}
	r := d.Reader()
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	r.Close() // the writer ends
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	a, b := report(Failure), report(Failure)
	a.boundary, b.boundary = "", ""
	b.Now = b.Now.Add(time.Hour)
	write(t, a, message(header1))
	write(t, b, message(header1))
	if a.MessageID() != b.MessageID() || a.MessageID() != "<0b1c2d3f4g5h6j7k.r17@mail.example.org>" {
		t.Errorf("%s and %s", a.MessageID(), b.MessageID())
	}
	if a.boundary == b.boundary {
		t.Error("a boundary that can be foretold")
	}
	b.Recipients = b.Recipients[1:]
	if a.MessageID() == b.MessageID() {
		t.Error("two rounds have one Message-ID")
	}
}

func FuzzReply(f *testing.F) {
	f.Add("mailbox full", "bob", "rfc822;x")
	f.Add("a\r\n\r\n--=_BOUNDARY\r\n", "j\u00fcrgen", "x")
	f.Add(strings.Repeat("x", 3000), "b", ";")
	f.Fuzz(func(t *testing.T, text, local, orcpt string) {
		a, err := address.Parse(local + "@example.org")
		if err != nil {
			t.Skip("no address: ", err)
		}
		r := report(Failure)
		r.Recipients = r.Recipients[:1]
		r.Recipients[0].Addr, r.Recipients[0].ORcpt, r.Recipients[0].Reply = a, orcpt, reply.New(550, 0, 0, text)
		_, bodies := parse(t, write(t, r, message(header1+"\r\n")))
		if n := strings.Count(bodies[1], "\r\n\r\n"); n != 1 {
			t.Errorf("%d groups", n+1)
		}
	})
}
