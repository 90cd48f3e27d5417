package front

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/internal/auth"
	"postrider/internal/config"
	"postrider/internal/control"
)

const (
	clearGreeting = "* OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE STARTTLS LOGINDISABLED] *"
	localGreeting = "* OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE STARTTLS AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN] *"
	tlsCapability = "CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE AUTH=SCRAM-SHA-256-PLUS AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestIMAPDialogues(t *testing.T) {
	t.Parallel()
	for name, dialogue := range map[string]string{
		"commands": `
			C: a CAPABILITY
			S: * CAPABILITY IMAP4rev1 *
			S: a OK CAPABILITY completed.
			C: b noop
			S: b OK NOOP completed.
			C: c ID ("name" "x" "version" NIL)
			S: * ID ("name" "Postrider")
			S: c OK ID completed.
			C: d SELECT INBOX
			S: d BAD SELECT is not possible now
			C: e FROB
			S: e BAD unknown command
			C:  x
			S: * BAD *
			C: f LOGOUT
			S: * BYE Logging out
			S: f OK LOGOUT completed.`,
		"refused": `
			C: a LOGIN alice wrong
			S: a NO [AUTHENTICATIONFAILED] Authentication failed.
			C: b AUTHENTICATE PLAIN ` + b64("\x00alice\x00wrong") + `
			S: b NO [AUTHENTICATIONFAILED] Authentication failed.
			C: c AUTHENTICATE PLAIN
			S: + 
			C: ` + b64("\x00alice\x00wrong") + `
			S: c NO [AUTHENTICATIONFAILED] Authentication failed.
			C: d AUTHENTICATE LOGIN =
			S: + ` + b64("Password:") + `
			C: *
			S: d BAD Authentication cancelled.
			C: e AUTHENTICATE PLAIN
			S: + 
			C: §
			S: e BAD invalid base64
			C: f AUTHENTICATE CRAM-MD5
			S: f NO [CANNOT] Unsupported authentication mechanism.
			C: g LOGIN alice
			S: g BAD missing argument
			C: h LOGIN ~{3+}
			C: a` + "\x00" + `b x
			S: h BAD NUL in LOGIN
			C: i LOGIN x y
			S: i NO [AUTHENTICATIONFAILED] Authentication failed.
			C: j LOGIN x y
			S: j NO [AUTHENTICATIONFAILED] Authentication failed.
			S: * BYE Too many failed logins.`,
		"many that make no sense": strings.Repeat(`
			C: a XYZZY
			S: a BAD unknown command`, maxBad) + `
			S: * BYE Too many invalid commands.`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newRig(t, IMAP, nil).local()
			c.expect(localGreeting)
			c.say(dialogue)
			c.expectEnd()
		})
	}
}

func TestIMAPClear(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, nil)
	c := r.remote()
	c.say(`
		S: ` + clearGreeting + `
		C: a LOGIN alice secret
		S: a NO [PRIVACYREQUIRED] *
		C: b AUTHENTICATE PLAIN ` + b64("\x00alice\x00secret") + `
		S: b NO [PRIVACYREQUIRED] *
		C: c STARTTLS
		S: c OK *
		TLS
		C: d CAPABILITY
		S: * ` + tlsCapability + `
		S: d OK *
		C: e STARTTLS
		S: e BAD *
		C: f LOGOUT
		S: * BYE *
		S: f OK *`)
	c.expectEnd()
	r.waitLog("imap-login: Disconnected: Aborted login by logging out (tried to use disallowed plaintext auth): user=<>, rip=192.0.2.1, lip=192.0.2.2, TLS, session=<")
	if len(r.authd.requests) > 0 {
		t.Error("authd was asked about a password in clear")
	}
}

func TestAllowPlaintext(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, func(c *config.Front) { c.AllowPlaintext = true })
	c := r.remote()
	c.expect(localGreeting)
	c.send("a LOGIN alice secret\r\n")
	r.session()
	r.waitLog("imap-login: Login: user=<alice>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, mpid=4711, session=<")
}

func TestWithoutCertificate(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, nil)
	r.identity = nil
	c := r.remote()
	c.say(`
		S: * OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE LOGINDISABLED] *
		C: a STARTTLS
		S: a BAD *`)
}

// The forms in which clients send a user and a password.
func TestIMAPLogins(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		dialogue, tag string
	}{
		"atoms":             {"C: a1 LOGIN alice secret", "a1"},
		"quoted":            {`C: a2 login "alice" "secret"`, "a2"},
		"LITERAL+":          {"C: a3 LOGIN {5+}\nC: alice {6+}\nC: secret", "a3"},
		"literals":          {"C: a4 LOGIN {5}\nS: + OK\nC: alice {6}\nS: + OK\nC: secret", "a4"},
		"SASL-IR":           {"C: a5 AUTHENTICATE PLAIN " + b64("\x00alice\x00secret"), "a5"},
		"in two lines":      {"C: a6 authenticate plain\nS: + \nC: " + b64("\x00alice\x00secret"), "a6"},
		"LOGIN":             {"C: a7 AUTHENTICATE LOGIN\nS: + VXNlcm5hbWU6\nC: YWxpY2U=\nS: + UGFzc3dvcmQ6\nC: c2VjcmV0", "a7"},
		"after refused one": {"C: a8 LOGIN alice x\nS: a8 NO *\nC: a9 LOGIN alice secret", "a9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, IMAP, nil)
			k := r.secure()
			k.expect("* OK [" + tlsCapability + "] *")
			k.say(c.dialogue)
			s := r.session()
			if s.Tag != c.tag || s.ID == "" {
				t.Errorf("session %+v", s.Session)
			}
			r.waitLog("imap-login: Login: user=<alice>, method=", ", rip=192.0.2.1, lip=192.0.2.2, mpid=4711, TLS, session=<"+s.ID+">")
			io.WriteString(s, c.tag+" OK in\r\n")
			k.expect(c.tag + " OK in")
		})
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, nil)
	k := r.secure()
	k.send("a LOGIN alice secret\r\n")
	r.session()
	q := r.authd.last()
	if q.Service != "imap" || q.RemoteIP != "192.0.2.1" || q.LocalIP != "192.0.2.2" || q.TLS != "TLSv1.3" || !q.Session || len(q.Bindings) != 2 {
		t.Errorf("request %+v", q)
	}
}

// What a client sends with its LOGIN, without waiting, is the session's.
func TestIMAPPipelined(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		r := newRig(t, IMAP, nil)
		k := r.local
		if secure {
			k = r.secure
		}
		c := k()
		more := strings.Repeat("c NOOP\r\n", 3000) // more than any buffer
		c.send("a LOGIN alice secret\r\nb SELECT INBOX\r\n" + more)
		s := r.session()
		got := make([]byte, len("b SELECT INBOX\r\n"+more))
		if _, err := io.ReadFull(s, got); err != nil || string(got) != "b SELECT INBOX\r\n"+more {
			t.Errorf("secure %v: the session got %.60q, %v", secure, got, err)
		}
	}
}

// What was sent ahead of a session that cannot be opened is still to be answered.
func TestIMAPNoSession(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		refusal error
		answer  string
	}{
		{auth.ErrInUse, "a NO [INUSE] *"},
		{fmt.Errorf("%w: no process", auth.ErrLater), "a NO [UNAVAILABLE] *"},
	} {
		r := newRig(t, IMAP, nil)
		r.authd.refusal = c.refusal
		k := r.local()
		k.expect(localGreeting)
		k.send("a LOGIN alice secret\r\nb SELECT INBOX\r\nc LOGOUT\r\n")
		k.expect(c.answer, "b BAD *", "* BYE *", "c OK *")
		k.expectEnd()
		r.waitLog("(internal failure, 1 successful auths)")
	}
}

func TestAuthdAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, nil)
	r.authd.away = true
	k := r.local()
	k.say(`
		S: * OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE STARTTLS AUTH=PLAIN AUTH=LOGIN] *
		C: a LOGIN alice secret
		S: a NO [UNAVAILABLE] *
		C: b AUTHENTICATE SCRAM-SHA-256 ` + b64("n,,n=alice,r=x") + `
		S: b NO [UNAVAILABLE] *
		C: c AUTHENTICATE CRAM-MD5
		S: c NO [CANNOT] *
		C: d LOGOUT
		S: * BYE *
		S: d OK *`)
	r.waitLog("auth process communication failure")
}

func TestTooManyExchanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, nil)
	r.server.places = auth.NewPlaces(2, time.Millisecond) // one of them for this host
	r.authd.hold = make(chan struct{})
	first, k := r.local(), r.local()
	first.send("a LOGIN alice secret\r\n")
	r.wait("login", func() bool { return r.authd.asked() == 1 })
	k.say(`
		S: ` + localGreeting + `
		C: a LOGIN alice secret
		S: a NO [UNAVAILABLE] *`)
	close(r.authd.hold)
	r.session()
	k.send("b LOGIN alice secret\r\n")
	r.session()
}

// Who begins a login by PLAIN or LOGIN and keeps silent is in nobody's way.
func TestSilentLogins(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		protocol *Protocol
		begin    string
	}{
		"PLAIN":            {IMAP, "S: * OK *\nC: a AUTHENTICATE PLAIN\nS: + "},
		"LOGIN":            {IMAP, "S: * OK *\nC: a AUTHENTICATE LOGIN\nS: + VXNlcm5hbWU6"},
		"LOGIN, half":      {IMAP, "S: * OK *\nC: a AUTHENTICATE LOGIN YWxpY2U=\nS: + UGFzc3dvcmQ6"},
		"PLAIN over POP3":  {POP3, "S: +OK *\nC: AUTH PLAIN\nS: + "},
		"LOGIN over POP3":  {POP3, "S: +OK *\nC: AUTH LOGIN\nS: + VXNlcm5hbWU6"},
		"USER and no PASS": {POP3, "S: +OK *\nC: USER alice\nS: +OK"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.protocol, nil)
			r.server.places = auth.NewPlaces(1, time.Millisecond)
			r.local().say(c.begin)
			login := map[*Protocol]string{IMAP: "a LOGIN alice secret\r\n", POP3: "USER alice\r\nPASS secret\r\n"}
			r.local().send(login[c.protocol])
			r.session()
			if n := r.authd.asked(); n != 1 {
				t.Errorf("authd heard of %d logins", n)
			}
		})
	}
}

// Logins that cannot be checked end the connection at last, and do not fill the log.
func TestManyLater(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		protocol          *Protocol
		login, again, end string
	}{
		{IMAP, "a LOGIN alice secret\r\n", "a NO [UNAVAILABLE] *", "* BYE Too many temporary failures."},
		{POP3, "AUTH PLAIN " + b64("\x00alice\x00secret") + "\r\n", "-ERR [SYS/TEMP] *", "-ERR Too many temporary failures."},
	} {
		r := newRig(t, c.protocol, nil)
		r.authd.away = true
		k := r.local()
		k.expect("*")
		for range maxLater {
			k.send(c.login)
			k.expect(c.again)
		}
		k.expect(c.end)
		k.expectEnd()
		r.waitLog("Too many temporary failures (auth process communication failure, 10 attempts in ")
		if n := strings.Count(r.log.String(), "login cannot be checked"); n != 1 {
			t.Errorf("%d warnings", n)
		}
	}
}

// The log names who could not log in, as far as it is a name that was typed.
func TestNameOfFailure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		protocol        *Protocol
		dialogue, shown string
	}{
		{IMAP, "S: * OK *\nC: a LOGIN alice wrong\nS: a NO *", "user=<alice>, method=PLAIN, rip="},
		{IMAP, "S: * OK *\nC: a LOGIN Alice@Example.org wrong\nS: a NO *", "user=<Alice@Example.org>, method=PLAIN, rip="},
		{IMAP, "S: * OK *\nC: a LOGIN \"correct horse\" x\nS: a NO *", "user=<>, method=PLAIN, rip="},
		{IMAP, "S: * OK *\nC: a LOGIN alice wrong\nS: a NO *\nC: b AUTHENTICATE LOGIN YWxpY2U=\nS: + *\nC: eA==\nS: b NO *", "user=<>, method=LOGIN, rip="},
		{POP3, "S: +OK *\nC: USER alice\nS: +OK\nC: PASS wrong\nS: -ERR *", "user=<alice>, method=PLAIN, rip="},
	} {
		r := newRig(t, c.protocol, nil)
		k := r.local()
		k.say(c.dialogue)
		k.Close()
		r.waitLog("-login: Disconnected: Connection closed (auth failed, ", c.shown)
	}
}

func TestLoggable(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"": false, "alice": true, "alice.b-c_d+tag1": true, "bob@example.org": true, "Bob@Example.ORG": true, "12345@example.org": true,
		"12345": false, "Secret1": false, "p@ssword": false, "correct horse": false, "hunter2!": false, "a@b@example.org": false, "@example.org": false,
		"alice\n": false, "alice@example.org ": false, "a>, rip=192.0.2.1": false, "jürgen": false,
		strings.Repeat("a", maxName): true, strings.Repeat("a", maxName+1): false,
	} {
		if got := loggable(name); (got == name && name != "") != want || got != "" && got != name {
			t.Errorf("%q is shown as %q", name, got)
		}
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, func(c *config.Front) { c.MaxPerUser = 2 })
	var first *client
	for range 2 {
		first = r.local()
		first.send("a LOGIN alice secret\r\n")
		s := r.session()
		go func() {
			io.Copy(io.Discard, s)
			s.Close()
		}()
	}
	k := r.local()
	k.say(`
		S: ` + localGreeting + `
		C: a LOGIN alice secret
		S: a NO [LIMIT] *`)
	r.secure().send("a LOGIN alice secret\r\n") // from elsewhere
	r.session()
	k.send("b LOGIN bob \" two  spaces \"\r\n") // somebody else
	r.session()
	first.Close()
	r.wait("place for another", func() bool {
		place, ok := r.roster.Admit(control.Session{User: "alice"}, netip.MustParseAddr("127.0.0.1"), 2)
		place.Leave()
		return ok
	})
}

// Octets that are sent in clear behind STARTTLS, by whoever is on the way, must not count under TLS.
func TestIMAPInjection(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, nil)
	k := r.remote()
	k.expect(clearGreeting)
	k.send("a STARTTLS\r\nb LOGIN mallory x\r\n")
	k.expect("* BYE *")
	k.expectEnd()
	r.waitLog("Commands sent ahead of STARTTLS")

	k = r.remote() // those that come later fail as TLS
	k.expect(clearGreeting)
	k.send("a STARTTLS\r\n")
	k.expect("a OK *")
	k.send("b LOGIN mallory x\r\n")
	io.ReadAll(k.Conn)
	r.waitLog("TLS handshake failed", "TLS handshaking: tls: first record does not look like a TLS handshake")
	if len(r.authd.requests) > 0 {
		t.Error("authd was asked")
	}
}

// Nothing that was said in clear counts under TLS, but failures do.
func TestFailuresSurviveTLS(t *testing.T) {
	t.Parallel()
	r := newRig(t, IMAP, nil)
	k := r.local()
	k.expect(localGreeting)
	for i := range maxFailures - 1 {
		k.send(fmt.Sprintf("a%d LOGIN alice wrong\r\n", i))
		k.expect("a*")
	}
	k.say(`
		C: b STARTTLS
		S: b OK *
		TLS
		C: c LOGIN alice wrong
		S: c NO *
		S: * BYE *`)
	k.expectEnd()
	r.waitLog("Too many failed logins (auth failed, 5 attempts in ", "user=<alice>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, TLS, session=<")
}
