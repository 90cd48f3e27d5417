package dsn

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

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
			{Recipient: envelope.Recipient{Addr: addr("bob@example.net"), Orig: addr("office@example.net"), Line: 18}, MTA: "mx.example.net[192.0.2.1]",
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
		{"failure-ascii", Failure, func(r *Report) { // for a sender who may not be able to get anything else
			r.Recipients[0].Addr.Local = "jürgen+x"
			r.Recipients[1].Reply = reply.New(550, 0, 0, "Benutzer unbekannt: jürgen")
		}, header1 + "\r\nText\r\n"},
		{"failure-many", Failure, func(r *Report) {
			r.Envelope.Origin = envelope.OriginMX
			one := r.Recipients[0]
			r.Recipients = nil
			for i, name := range []string{"ann", "ben", "cid"} {
				one.Addr, one.ORcpt, one.Line = addr(name+"@example.net"), "", 17+i
				one.MTA, one.Reply = "[2001:db8::1]", reply.New(550, 7, 1, "Service refused; client host is listed at block.example")
				r.Recipients = append(r.Recipients, one)
			}
		}, header1 + "\r\nText\r\n"},
		{"failure-expired", Failure, func(r *Report) {
			r.Recipients = r.Recipients[1:]
			r.Recipients[0].Expired, r.Recipients[0].Time = true, r.Envelope.Time.Add(121*time.Hour)
			r.Recipients[0].Reply = reply.New(451, 7, 1, "greylisted, try again in 300 seconds")
		}, header1 + "\r\nText\r\n"},
		{"failure-postmaster", Failure, func(r *Report) { r.Postmaster, r.To = true, addr("postmaster@example.org") }, header1 + "\r\n"},
		{"delay", Delay, func(*Report) {}, header1 + "\r\nText\r\n"},
		{"delivered", Delivered, func(r *Report) {
			r.Recipients = r.Recipients[:1]
			r.Recipients[0].Reply = reply.New(250, 0, 0, "delivered to mailbox")
		}, header1 + "\r\nText\r\n"},
		{"relayed", Relayed, func(r *Report) {
			r.Recipients = r.Recipients[1:]
			r.Recipients[0].Reply = &reply.Reply{Code: 250, Text: "queued as 1234"}
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
			_, bodies := parse(t, got)
			for l := range strings.Lines(bodies[0]) {
				if l = strings.TrimRight(l, "\r\n"); utf8.RuneCountInString(l) > 76 && strings.ContainsRune(strings.TrimSpace(l), ' ') {
					t.Errorf("a line of %d octets: %s", len(l), l)
				}
			}
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
		if p.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			if b, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(b))); err != nil {
				t.Fatal(err)
			}
		}
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
		{"Original-Envelope-Id": "envelope 1", "Reporting-MTA": "dns; mail.example.org", "X-Postrider-Queue-Id": "0b1c2d3f4g5h6j7k",
			"X-Postrider-Sender": "rfc822; alice@example.org", "Arrival-Date": "Thu, 9 Oct 2025 10:00:00 +0200"},
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

// TestForm has the form of RFC 6533 only where it is needed and can be read.
func TestForm(t *testing.T) {
	t.Parallel()
	const utf8Header = "Subject: Gr\u00fc\u00dfe\r\n"
	for name, test := range map[string]struct {
		change  func(*Report)
		message string
		global  bool
	}{
		"all in ASCII":         {func(r *Report) { r.Envelope.From.SMTPUTF8 = true }, header1, false},
		"header":               {func(r *Report) { r.Envelope.From.SMTPUTF8 = true }, utf8Header, true},
		"address":              {func(r *Report) { r.Envelope.From.SMTPUTF8 = true; r.Recipients[0].Orig.Local = "\u00e4" }, header1, true},
		"not announced":        {func(r *Report) { r.Recipients[0].Addr.Local = "\u00e4" }, utf8Header, false},
		"for the postmaster":   {func(r *Report) { r.Envelope.From.SMTPUTF8 = true; r.Postmaster = true }, utf8Header, false},
		"sender beyond ASCII":  {func(r *Report) { r.To.Local = "\u00e4" }, header1, true},
		"reply beyond ASCII":   {func(r *Report) { r.Envelope.From.SMTPUTF8 = true; r.Recipients[0].Reply.Text = "\u00e4" }, header1, false},
		"original beyond it":   {func(r *Report) { r.Recipients[0].ORcpt = "utf-8;\u00e4@example.org" }, header1, false},
		"original as it comes": {func(r *Report) { r.Recipients[0].ORcpt = `utf-8;\x{E4}@example.org` }, header1, false},
	} {
		r := report(Failure)
		test.change(r)
		d, err := New(r, message(test.message))
		if err != nil {
			t.Fatal(err)
		}
		if d.global != test.global || d.Sender().SMTPUTF8 != test.global {
			t.Errorf("%s: global is %v", name, d.global)
		}
		var b bytes.Buffer
		if _, err := d.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		types, bodies := parse(t, b.String())
		if want := map[bool]string{true: "message/global-delivery-status", false: "message/delivery-status"}[test.global]; types[1] != want {
			t.Errorf("%s: %s", name, types[1])
		}
		if !test.global && !isASCII(bodies[1]) {
			t.Errorf("%s: not in ASCII: %s", name, bodies[1])
		}
		if strings.HasPrefix(name, "original") && !strings.Contains(bodies[1], "Original-Recipient: utf-8; \\x{E4}@example.org\r\n") {
			t.Errorf("%s: %s", name, bodies[1])
		}
	}
}

// TestEscape has addresses in ASCII (RFC 6533 section 3).
func TestEscape(t *testing.T) {
	t.Parallel()
	d := &Draft{Report: &Report{}}
	for local, want := range map[string]string{
		"bob": "rfc822; bob@example.org", "a+b": "rfc822; a+b@example.org", "\u00fc": `utf-8; \x{FC}@example.org`,
		"\u4e2d+=\\ x":                `utf-8; "\x{4E2D}\x{2B}\x{3D}\x{5C}\x{5C}\x{20}x"@example.org`,
		strings.Repeat("\u00fc", 200): "utf-8; " + strings.Repeat("?", 200) + "@example.org",
	} {
		if got := d.typed(address.Address{Local: local, Domain: "example.org"}); got != want {
			t.Errorf("%s: %s", local, got)
		}
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	for mta, want := range map[string][2]string{
		"": {"", ""}, "mx.example.net": {"mx.example.net", ""}, "mx.example.net[192.0.2.1]": {"mx.example.net", "192.0.2.1"},
		"mx.example.net[2001:db8::1]": {"mx.example.net", "2001:db8::1"}, "[2001:db8::1]": {"[IPv6:2001:db8::1]", ""},
		"unknown[192.0.2.1]": {"[192.0.2.1]", ""}, "192.0.2.1[192.0.2.1]": {"[192.0.2.1]", ""}, "lists[/run/lmtp]": {"lists", ""},
	} {
		if name, ip := (&Recipient{MTA: mta}).host(); name != want[0] || ip != want[1] {
			t.Errorf("%s: %s, %s", mta, name, ip)
		}
	}
}

func TestAdvice(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		reply *reply.Reply
		want  string
	}{
		{reply.New(550, 1, 1, "unknown user"), "check the address"},
		{reply.New(550, 1, 2, "no such domain"), "no such domain"},
		{reply.New(550, 4, 4, "domain not found"), "domain"},
		{reply.New(556, 1, 10, "null MX"), "takes no mail at all"},
		{reply.New(550, 1, 8, "sender unknown"), "Your own address"},
		{reply.New(552, 2, 2, "over quota"), "full"},
		{reply.New(552, 3, 4, "too big"), "too large"},
		{reply.New(550, 4, 6, "loop"), "circle"},
		{reply.New(553, 6, 7, "no SMTPUTF8"), "ASCII"},
		{reply.New(554, 6, 3, "no 8BITMIME"), "plain text"},
		{reply.New(550, 7, 1, "Relay access denied"), "takes no mail for the domain"},
		{reply.New(554, 7, 1, "Client host blocked using zen.example"), "source of spam"},
		{reply.New(550, 7, 1, "rejected by DMARC policy"), "DMARC"},
		{reply.New(550, 7, 26, "unauthenticated"), "DMARC"},
		{reply.New(550, 7, 1, "no"), "a rule of its own"},
		{reply.New(530, 7, 10, "Must issue a STARTTLS command first"), "secure connection"},
		{reply.New(535, 7, 8, "bad credentials"), "login"},
		{&reply.Reply{Code: 550, Text: "No such user here"}, "check the address"},
		{&reply.Reply{Code: 552, Text: "message size exceeds limit"}, "too large"},
		{&reply.Reply{Code: 552, Text: "storage"}, "full"},
		{&reply.Reply{Code: 554, Text: "Relaying denied"}, "takes no mail for the domain"},
		{&reply.Reply{Code: 550, Text: "5.0.0 no"}, "a rule of its own"},
		{reply.New(550, 5, 0, "bad syntax"), ""},
	} {
		got := advice(&Recipient{Reply: test.reply})
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%v: %q", test.reply, got)
		}
	}
}

// endless is a large message.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), e.left)]
	for i := range p {
		p[i] = "Text\r\n"[i%6]
	}
	e.left -= int64(len(p))
	return len(p), nil
}

// TestLarge returns 40 MB, or its header, without holding it.
func TestLarge(t *testing.T) {
	t.Parallel()
	const size = 40 << 20
	var read int64
	m := Message{Size: size, Open: func() io.Reader {
		return io.TeeReader(io.MultiReader(strings.NewReader(header1+"\r\n"), &endless{size}), writerFunc(func(p []byte) (int, error) { read += int64(len(p)); return len(p), nil }))
	}}
	for limit, full := range map[int64]bool{0: false, size - 1: false, size: true} {
		r := report(Failure)
		r.Envelope.From.Ret, r.FullLimit = "full", limit
		read = 0
		d, err := New(r, m)
		if err != nil {
			t.Fatal(err)
		}
		n, err := d.WriteTo(io.Discard)
		if err != nil || full != (n > size) || !full && (n > 10<<10 || read > 70<<10) {
			t.Errorf("limit %d: %d octets of %d, %v", limit, n, read, err)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestHeaderOnly has reasons not to return all.
func TestHeaderOnly(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Report){
		"told so": func(r *Report) { r.HeaderOnly = true }, "TLS only": func(r *Report) { r.Envelope.From.RequireTLS = true },
		"a delay": func(r *Report) { r.Kind = Delay }, "a success": func(r *Report) { r.Kind = Delivered },
	} {
		r := report(Failure)
		r.Envelope.From.Ret = "full"
		change(r)
		if types, _ := parse(t, write(t, r, message(header1+"\r\nText\r\n"))); types[2] != "text/rfc822-headers" {
			t.Errorf("%s: %s", name, types[2])
		}
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("\u00fc", maxLine)
	for _, l := range strings.Split(fold(long+" a "+long, 20, textWidth, "\r\n  "), "\r\n") {
		if len(l) > maxLine+2 || !utf8.ValidString(l) {
			t.Errorf("%d octets, valid %v", len(l), utf8.ValidString(l))
		}
	}
	if got := fold("aaa bbb  ccc\tddd", 4, 12, "\r\n "); got != "aaa bbb\r\n ccc ddd" {
		t.Errorf("%q", got)
	}
}

// FuzzReport gives a hostile host every text that it can choose: none of them adds a part, a group of fields or a field.
func FuzzReport(f *testing.F) {
	f.Add("mailbox full", "bob", "rfc822;x", "mx.example.net[192.0.2.1]", 450, true)
	f.Add("a\r\n\r\n--=_BOUNDARY\r\n", "j\u00fcrgen", "x", "", 0, false)
	f.Add(strings.Repeat("x", 3000), "b", ";", "mx\r\nAction: delivered\r\n[::1]", 550, true)
	f.Add("\u202egnp.exe\u2028\x00", `"a\ b"`, "utf-8;"+strings.Repeat("\u00fc", 500), "[", 250, false)
	f.Fuzz(func(t *testing.T, text, local, orcpt, mta string, code int, utf8 bool) {
		a, err := address.Parse(local + "@example.org")
		if err != nil {
			return
		}
		for kind := Failure; kind <= Relayed; kind++ {
			r := report(kind)
			r.Envelope.From.SMTPUTF8 = utf8
			r.Recipients = r.Recipients[:1]
			one := &r.Recipients[0]
			one.Addr, one.ORcpt, one.MTA, one.Reply = a, orcpt, mta, &reply.Reply{Code: code, Text: text}
			_, bodies := parse(t, write(t, r, message(header1+"\r\n")))
			if n := strings.Count(bodies[1], "\r\n\r\n"); n != 1 {
				t.Errorf("%d groups", n+1)
			}
			if strings.Count(bodies[1], "\r\nAction: ") != 1 || strings.Count(bodies[1], "\r\nStatus: ") != 1 || strings.Count(bodies[1], "\r\nFinal-Recipient: ") != 1 {
				t.Errorf("fields: %q", bodies[1])
			}
			if i := strings.IndexFunc(bodies[0]+bodies[1], func(r rune) bool { return r < ' ' && r != '\r' && r != '\n' || r == 0x7f }); i >= 0 {
				t.Errorf("control character at %d of %q", i, bodies[0]+bodies[1])
			}
		}
	})
}
