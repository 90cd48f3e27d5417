//go:build interop

package interop

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"os"
	"strings"
	"testing"

	"postrider/internal/resolver"
	"postrider/test/fakedns"
	"postrider/test/suite"
)

const postfixZone = "postfix.test. MX 10 mx.postfix.test.\nmx.postfix.test. A "

// A server without any extension gets what it can take, and the sender is told of the rest.
func TestWithoutExtensions(t *testing.T) {
	t.Parallel()
	p := newPostfix(t, "127.0.0.14", "-o", "smtpd_discard_ehlo_keywords=8bitmime,smtputf8,dsn,starttls,chunking,pipelining")
	s := network(t, p, postfixZone+p.ip()+"\n", "")
	const bob = "<bob@postfix.test>"

	body := strings.Repeat("Grüße \xff\xfe = . \r\n", 500)
	submit(s, strings.Replace(message("converted", ""), "\r\n\r\n", "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=latin1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", 1)+body, "BODY=8BITMIME", bob)
	var file string
	suite.Wait(t, "the converted message", func() bool {
		for _, f := range suite.Maildir(p.maildir("bob")) {
			file = f
		}
		return file != ""
	})
	header, encoded, _ := strings.Cut(readFile(t, file), "\n\n")
	var decoded []byte
	var err error
	switch header = strings.ToLower(header) + "\n"; {
	case strings.Contains(header, "content-transfer-encoding: quoted-printable\n"):
		decoded, err = io.ReadAll(quotedprintable.NewReader(strings.NewReader(encoded)))
	case strings.Contains(header, "content-transfer-encoding: base64\n"):
		decoded, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(encoded, "\n", ""))
	}
	if got := strings.ReplaceAll(string(decoded), "\r", ""); err != nil || got != strings.ReplaceAll(body, "\r", "") {
		t.Errorf("%v: %.300q\n%s", err, got, header)
	}

	signed := "\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=x; micalg=pgp-sha256; protocol=\"application/pgp-signature\"\r\n\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n--x\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--x--\r\n"
	submit(s, strings.Replace(message("unconverted", ""), "\r\n\r\n", signed, 1), "BODY=8BITMIME", bob)
	mail(t, s, "alice", "Subject: Undelivered mail", "Status: 5.6.3", "Subject: unconverted")

	submit(s, message("international", dots), "SMTPUTF8", "<jürgen@postfix.test>", bob)
	mail(t, s, "alice", "Subject: Undelivered mail", "Status: 5.6.7", "Subject: international")

	wished := message("wished", dots)
	submit(s, wished, "RET=HDRS ENVID=through+2Bout", bob+" NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig@elsewhere.example")
	p.arrives("bob", wished)
	mail(t, s, "alice", "Original-Envelope-Id: through+out", "Original-Recipient: rfc822; orig@elsewhere.example", "Action: relayed", "Subject: wished")
}

// A smarthost gets the password, but only over a connection that is proved to lead to it; that it refuses the password, or cannot
// prove itself, returns no mail.
func TestSmarthost(t *testing.T) {
	t.Parallel()
	p := newDovecot(t, "127.0.0.15", freePort(t, "127.0.0.15"), "-o", "smtpd_tls_security_level=encrypt", "-o", "smtpd_sasl_auth_enable=yes",
		"-o", "smtpd_tls_auth_only=yes", "-o", "smtpd_client_restrictions=permit_sasl_authenticated,reject")
	hop := "[mx.postfix.test]:" + strings.Split(p.addr, ":")[1]
	relayd := func(authorities string) string {
		return "[relayd]\nmin_backoff = \"1s\"\nmax_backoff = \"2s\"\nrelayhost = \"" + hop + "\"\ntls_authorities = \"" + authorities + "\"\n"
	}
	s := suite.New(t, suite.Options{IDs: suite.Separated(), Resolver: fakedns.Start(t, postfixZone+p.ip()+"\n").Addr, Extra: relayd(p.certificate())})
	s.AddPassword("alice")
	s.Secret("etc/relay_auth", hop+" relay:wrong\n", s.IDs.Relay)
	p.serves(s)
	s.StartAll()

	first := message("wrong password", dots)
	id := submit(s, first, "", "<bob@postfix.test>")
	s.WaitLine(id, "status=deferred", "535 5.7.8")
	s.Secret("etc/relay_auth", hop+" relay:let me in\n", s.IDs.Relay)
	p.arrives("bob", first)
	s.WaitLine(id, "status=sent")
	suite.Wait(t, "the login in the log", func() bool { return strings.Contains(p.log(), "sasl_method=PLAIN, sasl_username=relay") })

	// What the peer is, another authority would have to say.
	other := p.dir + "/conf/etc/tls/other.pem"
	must(t, os.WriteFile(other, []byte(readFile(t, s.CA)), 0o644))
	s.Configure(relayd(other))
	s.Reload("relayd", "reloaded")
	suite.Wait(t, "the ends of all sessions", func() bool {
		log := p.log()
		return strings.Count(log, ": connect from") == strings.Count(log, ": disconnect from")
	})
	logins := strings.Count(p.log(), "auth=")
	second := message("unproved", dots)
	id = submit(s, second, "", "<bob@postfix.test>")
	s.WaitLine(id, "dsn=4.7.0, status=deferred", "certificate")
	s.Wait("another attempt", func() bool { return len(s.LogLines(id, "status=deferred")) >= 2 })
	if n := strings.Count(p.log(), "auth="); n != logins {
		t.Errorf("%d logins at a server that is not proved to be the one", n-logins)
	}
	s.Configure(relayd(p.certificate()))
	s.Reload("relayd", "reloaded")
	p.arrives("bob", second)
	s.WaitLine(id, "status=sent")
	if n := len(suite.Maildir(s.Mailbox("alice"))); n != 0 {
		t.Errorf("%d reports", n)
	}
}

// Dovecot's LMTP says for each recipient what became of the message, and that is final.
func TestLMTP(t *testing.T) {
	t.Parallel()
	lmtpPort := freePort(t, "127.0.0.16")
	p := newDovecot(t, "127.0.0.16", lmtpPort)
	s := network(t, p, "", "")
	s.File("etc/transport", "unix.test lmtp:unix:"+p.dir+"/srv/lmtp\ninet.test lmtp:["+p.ip()+"]:"+lmtpPort+"\n")
	for _, domain := range []string{"unix.test", "inet.test"} {
		text := message("by LMTP to "+domain, dots+eight)
		submit(s, text, "BODY=8BITMIME", "<bob@"+domain+"> NOTIFY=SUCCESS", "<nobody@"+domain+">", "<relay@"+domain+">")
		for _, user := range []string{"bob", "relay"} {
			if trace := p.arrives(user, text); !strings.Contains(trace, "Return-Path: <"+local("alice")+">\n") {
				t.Error(trace)
			}
		}
		mail(t, s, "alice", "Subject: Undelivered mail", "nobody@"+domain, "Status: 5.1.1", "by LMTP to "+domain)
		mail(t, s, "alice", "Action: delivered", "Final-Recipient: rfc822; bob@"+domain)
	}
	huger := message("huge by LMTP", huge)
	submit(s, huger, "", "<bob@unix.test>")
	p.arrives("bob", huger)
}

// unbound says what is signed; what is signed wrongly waits.
func TestUnbound(t *testing.T) {
	t.Parallel()
	p := newUnbound(t, "127.0.0.17")
	p.start()
	r := resolver.New(resolver.Options{Server: p.addr})
	for _, c := range []struct {
		domain string
		secure bool
		err    error
	}{
		{"signed.example", true, nil}, {"unsigned.example", false, nil}, {"bogus.example", false, resolver.ErrTemporary}, {"no.signed.example", true, resolver.ErrNotFound},
	} {
		if _, secure, err := r.MX(t.Context(), c.domain); secure != c.secure || !errors.Is(err, c.err) {
			t.Errorf("%s: secure %v, %v", c.domain, secure, err)
		}
	}

	b := suite.New(t, suite.Options{IDs: suite.Separated(), Domain: "signed.example", Host: "mx.signed.example"})
	b.File("etc/domains", "signed.example local\nunsigned.example local\nbogus.example local\n")
	b.StartAll()
	var port int
	_, text, _ := strings.Cut(b.Addr["smtp"], ":")
	_, err := fmt.Sscan(text, &port)
	must(t, err)
	a := suite.New(t, suite.Options{IDs: suite.Separated(), Resolver: p.addr, RelayPort: port})
	a.AddPassword("alice")
	a.StartAll()
	id := submit(a, message("signed", dots), "", "<bob@signed.example>", "<bob@unsigned.example>", "<bob@bogus.example>", "<bob@no.signed.example>")
	a.WaitLine(id, "to=<bob@signed.example>", "status=sent")
	a.WaitLine(id, "to=<bob@unsigned.example>", "status=sent")
	a.WaitLine(id, "to=<bob@bogus.example>", "dsn=4.4.3, status=deferred")
	a.WaitLine(id, "to=<bob@no.signed.example>", "dsn=5.4.4, status=bounced")
	contains(t, b.Mails("bob", 2)[0], "Subject: signed")
	contains(t, a.Mails("alice", 1)[0], "bob@no.signed.example", "5.4.4")
}
