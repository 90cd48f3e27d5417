package envelope

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
)

const id = "0123456789bcdfgh"

func full() *Envelope {
	return &Envelope{
		ID:   id,
		From: Sender{Addr: address.Address{Local: `a "b`, Domain: "example.org"}, Ret: "hdrs", EnvID: "x y=+", Body: "8bitmime", SMTPUTF8: true, RequireTLS: true, Extra: []string{"later=1"}},
		To: []Recipient{
			{Addr: address.Address{Local: "bob", Domain: "example.net"}, Via: Remote, Notify: []string{"failure", "delay"}, ORcpt: "rfc822;bob@example.net", Line: 3},
			{Addr: address.Address{Local: "root"}, Via: Local, Orig: address.Address{Local: "admin", Domain: "example.org"}, Line: 4, Extra: []string{"k=v"}},
		},
		Client: Client{Name: "mail.example.org", IP: netip.MustParseAddr("192.0.2.1"), Helo: "he lo to: <evil@example.org>", Proto: "ESMTPS", Auth: "alice", TLS: "TLSv1.3"},
		Origin: OriginAuth, UID: 0, Parent: id, Hold: "looks odd", Score: "1.5",
		Time:  time.UnixMicro(1760000000123456),
		Extra: []string{"future: something"},
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, e := range []*Envelope{full(), {ID: id, UID: NoUID, Origin: OriginMX, Time: time.UnixMicro(1),
		To: []Recipient{{Addr: address.Address{Local: "u", Domain: "[192.0.2.1]"}, Via: Local}}, Client: Client{Name: "unknown", IP: netip.MustParseAddr("2001:db8::1")}}} {
		b := e.Append(nil)
		got, err := Parse(id, b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s\ngot  %+v, %v\nwant %+v", b, got, err, e)
		}
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	want := `from: <"a \"b"@example.org> ret=hdrs envid=x+20y+3D+2B body=8bitmime smtputf8 requiretls later=1
to: <bob@example.net> via=remote notify=failure,delay orcpt=rfc822;bob@example.net
to: <root> via=local orig=admin@example.org k=v
client: mail.example.org [192.0.2.1] helo=he+20lo+20to:+20<evil@example.org> proto=ESMTPS auth=alice tls=TLSv1.3
origin: auth uid=0 parent=0123456789bcdfgh hold=looks+20odd score=1.5
time: 1760000000.123456
future: something

`
	if got := string(full().Append(nil)); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestNoInjection(t *testing.T) {
	t.Parallel()
	e := full()
	evil := "x\nto: <evil@example.org> via=remote\n"
	e.From.Addr.Local, e.To[0].Addr.Local, e.Client.Name, e.Extra, e.To[0].Extra = evil, evil, evil, []string{evil}, []string{evil}
	b := e.Append(nil)
	if n := bytes.Count(b, []byte("\nto: ")); n != 2 {
		t.Errorf("%d recipients in\n%s", n, b)
	}
}

func TestLine1(t *testing.T) {
	t.Parallel()
	l := Line1{ID: id, Size: 12345, Env: 412, CRC: 0x9a3f00c1}
	b := l.Append(nil)
	if string(b) != "postrider1 id=0123456789bcdfgh size=000000012345 env=000000000412 crc32c=9a3f00c1\n" || len(b) != Line1Size || len(Blank()) != Line1Size {
		t.Fatalf("%q", b)
	}
	if got, err := ParseLine1(append(b, "from"...)); err != nil || got != l {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range [][]byte{Blank(), nil, make([]byte, Line1Size)} {
		if _, err := ParseLine1(bad); err != ErrBlank {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] = '~'
		if got, err := ParseLine1(c); err == nil {
			t.Errorf("octet %d changed: %+v", i, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	good := string(full().Append(nil))
	for _, c := range [][2]string{
		{"from: <", "from: "}, {"via=remote", "via=elsewhere"}, {" via=local", ""}, {"origin: auth", "origin: root"}, {"uid=0", "uid=-1"}, {"parent=0", "parent=a"},
		{"time: 1760000000.123456", "time: now"}, {"time: 1760000000.123456\n", ""}, {"<root>", "<>"}, {"envid=x+20", "envid=x+2"}, {"future: something", "future"},
		{"future: something", "time: 1760000000.123456"}, {"ret=hdrs", "ret=h\x01"}, {"ret=hdrs", "ret=\xff"}, {"\n\n", "\n"}, {"\n\n", "\n\nmore"}, {"future", strings.Repeat("x", MaxLine)},
		{"> ret", ">ret"}, {"[192.0.2.1]", "[192.0.2]"}, {" ret=hdrs", "  ret=hdrs"}, {"ret=hdrs", "ret=all"}, {"notify=failure", "notify=,,,,"}, {"ret=hdrs", strings.Repeat("x ", maxWords) + "x"},
		{"envid=x+20y", "envid=x+0D+0Ay"}, {"future: something\n", strings.Repeat("future: x\n", maxExtra+1)},
	} {
		s := strings.Replace(good, c[0], c[1], 1)
		if e, err := Parse(id, []byte(s)); s == good || err == nil {
			t.Errorf("%q for %q: %+v", c[1], c[0], e)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(full().Append(nil))
	f.Add([]byte("from: <>\nto: <a> via=local\norigin: mx\ntime: 1.000000\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(id, b)
		if err != nil {
			return
		}
		again, err := Parse(id, e.Append(nil))
		if err != nil {
			t.Fatalf("%q: written as %q: %v", b, e.Append(nil), err)
		}
		for i := range again.To {
			if again.To[i].Addr != e.To[i].Addr || again.To[i].Via != e.To[i].Via {
				t.Fatalf("%q: recipient %d changed", b, i)
			}
		}
	})
}
