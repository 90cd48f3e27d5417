package smtpd

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postrider/internal/address"
	"postrider/internal/envelope"
)

func TestParseMail(t *testing.T) {
	t.Parallel()
	who := "a@b"
	for _, c := range []struct {
		in       string
		internal bool
		want     mailParams
		code     int
	}{
		{"", false, mailParams{UID: envelope.NoUID}, 0},
		{" SIZE=0", false, mailParams{UID: envelope.NoUID}, 0},
		{" size=12 body=8bitmime smtputf8 ret=full", false,
			mailParams{MailOptions: smtp.MailOptions{Size: 12, Body: smtp.Body8BitMIME, UTF8: true, Return: smtp.DSNReturnFull}, UID: envelope.NoUID}, 0},
		{" ENVID=a+2Bb AUTH=a@b", false, mailParams{MailOptions: smtp.MailOptions{EnvelopeID: "a+b", Auth: &who}, UID: envelope.NoUID}, 0},
		{" XPARENT=0123456789bcdfgh XUID=0", true, mailParams{Parent: "0123456789bcdfgh"}, 0},
		{" XPARENT=0123456789bcdfgh", false, mailParams{}, 555},
		{" XUID=4294967295", true, mailParams{}, 501},
		{" XPARENT=0123456789abcdef", true, mailParams{}, 501},
		{"SIZE=1", false, mailParams{}, 501},
		{" SIZE", false, mailParams{}, 501},
		{" SIZE=", false, mailParams{}, 501},
		{" SIZE=1 SIZE=1", false, mailParams{}, 501},
		{" SIZE=9223372036854775808", false, mailParams{}, 501},
		{" BODY=BINARYMIME", false, mailParams{}, 501},
		{" ENVID=" + strings.Repeat("x", maxEnvID+1), false, mailParams{}, 501},
		{" ENVID=\u00fc", false, mailParams{}, 501},
		{" =", false, mailParams{}, 501},
		{" HOLDFOR=1", false, mailParams{}, 555},
		{" A B C D E F G H I J K L M N O P Q R", false, mailParams{}, 555},
	} {
		got, r := parseMail(c.in, c.internal)
		switch {
		case c.code == 0 && (r != nil || !reflect.DeepEqual(got, c.want)):
			t.Errorf("%q: %+v, %v", c.in, got, r)
		case c.code != 0 && (r == nil || r.Code != c.code || r.Status() != "5.5.4"):
			t.Errorf("%q: %+v, %v, want %d", c.in, got, r, c.code)
		}
	}
}

func TestParseRcpt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want string // notify and orcpt as the envelope keeps them
		code int
	}{
		{"", "|", 0},
		{" NOTIFY=SUCCESS,DELAY ORCPT=RFC822;a+2Bb@c", "SUCCESS,DELAY|rfc822;a+b@c", 0},
		{" ORCPT=utf-8;j\u00fcrgen@example.org", "|utf-8;j\u00fcrgen@example.org", 0},
		{" ORCPT=rfc822;a+3Db", "|rfc822;a=b", 0},
		{" ORCPT=rfc822;a=b", "", 501},
		{" ORCPT=rfc822", "", 501},
		{" ORCPT=;a", "", 501},
		{" ORCPT=rfc822;a+0Ab", "", 501},
		{" ORCPT=rfc822;a+00", "", 501},
		{" ORCPT=rfc822;a+7F", "", 501},
		{" ORCPT=rfc822;a+FFb", "", 501},
		{" ORCPT=rfc 822;a", "", 501},
		{" ORCPT=rfc822;" + strings.Repeat("x", maxORcpt), "", 501},
		{" NOTIFY=NEVER,NEVER", "", 501},
		{" NOTIFY=,", "", 501},
		{" NOTIFY", "", 501},
		{" RRVS=x", "", 555},
	} {
		o, r := parseRcpt(c.in)
		if r != nil {
			if r.Code != c.code {
				t.Errorf("%q: %v, want %d", c.in, r, c.code)
			}
			continue
		}
		var words []string
		for _, n := range o.Notify {
			words = append(words, string(n))
		}
		if got := strings.Join(words, ",") + "|" + originalRecipient(o); c.code != 0 || got != c.want {
			t.Errorf("%q: %s, want %s %d", c.in, got, c.want, c.code)
		}
	}
}

func FuzzParams(f *testing.F) {
	f.Add("FROM:<a@b> SIZE=1 BODY=8BITMIME RET=HDRS ENVID=x AUTH=<> SMTPUTF8", true)
	f.Add("TO:<\"a b\"@[192.0.2.1]> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By", false)
	f.Fuzz(func(t *testing.T, arg string, internal bool) {
		for _, keyword := range []string{"FROM:", "TO:"} {
			p, rest, found, err := cutPath(arg, keyword)
			if !found || err != nil {
				continue
			}
			if p.null != p.IsNull() {
				t.Fatalf("%q: null path %v, %v", arg, p.null, p.Address)
			}
			if m, r := parseMail(rest, internal); r == nil {
				e := envelope.Envelope{From: m.sender(p.Address), UID: m.UID, Parent: m.Parent, Origin: envelope.OriginMX}
				reread(t, &e)
			}
			if o, r := parseRcpt(rest); r == nil && !p.null {
				e := envelope.Envelope{UID: envelope.NoUID, Origin: envelope.OriginMX}
				e.To = []envelope.Recipient{{Addr: p.Address, Via: envelope.Local, ORcpt: originalRecipient(o)}}
				reread(t, &e)
			}
		}
	})
}

// reread checks that what clients said comes out of a queue file as it went in.
func reread(t *testing.T, e *envelope.Envelope) {
	t.Helper()
	const id = "0123456789bcdfgh"
	e.Time = time.UnixMicro(1)
	if len(e.To) == 0 {
		e.To = []envelope.Recipient{{Addr: address.Address{Local: "x"}, Via: envelope.Local}}
	}
	b := e.Append(nil)
	got, err := envelope.Parse(id, b)
	if err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	if got.From.Addr != e.From.Addr || got.From.EnvID != e.From.EnvID || got.UID != e.UID || len(got.To) != len(e.To) {
		t.Fatalf("%s: %+v", b, got)
	}
	if len(e.To) > 0 && (got.To[0].Addr != e.To[0].Addr || got.To[0].ORcpt != e.To[0].ORcpt) {
		t.Fatalf("%s: %+v", b, got.To)
	}
}
