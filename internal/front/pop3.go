package front

import (
	"encoding/base64"
	"errors"
	"strings"

	"postrider/internal/auth"
)

// POP3 is pop3d's side of the matter: the AUTHORIZATION state of RFC 1939, with what RFC 2449, 2595, 3206, 5034 and 6856 add.
var POP3 = &Protocol{
	name:    "pop3",
	begin:   beginPOP3,
	refusal: func(text string) []byte { return []byte("-ERR [SYS/TEMP] " + text + "\r\n") },
}

// pop3Dialogue is what is said before a login.
type pop3Dialogue struct {
	c             *connection
	in            lines
	out           []byte // what is to be said before the next wait
	commands, bad int
	user          string // of USER, for the next PASS; "" = none
}

func beginPOP3(c *connection) dialogue {
	d := &pop3Dialogue{c: c}
	d.in.src, d.in.flush = c.wire, d.flush
	return d
}

func (d *pop3Dialogue) say(lines ...string) {
	for _, l := range lines {
		d.out = append(append(d.out, l...), "\r\n"...)
	}
}

func (d *pop3Dialogue) flush() error {
	if len(d.out) == 0 {
		return nil
	}
	_, err := d.c.wire.Write(d.out)
	d.out = nil
	return err
}

func (d *pop3Dialogue) greet() { d.say("+OK Postrider ready.") }

func (d *pop3Dialogue) bye(text string) {
	if text != "" {
		d.say("-ERR " + text)
	}
	d.flush() // the connection ends anyway
}

func (d *pop3Dialogue) ahead() []byte { return d.in.ahead() }

// errUnread is a line that is no command, which is answered already.
var errUnread = errors.New("no command")

func (d *pop3Dialogue) run() error {
	for d.c.opened == nil {
		if d.commands++; d.commands > maxCommands {
			return errCommands
		}
		line, err := d.in.next()
		d.c.tally.pending = false
		if err == nil {
			err = d.do(line)
		}
		switch {
		case errors.Is(err, errLongLine):
			d.say("-ERR Line too long.")
		case err != nil && err != errUnread:
			return err
		case err == nil:
			continue
		}
		if d.bad++; d.bad >= maxBad {
			return errBad
		}
	}
	return nil
}

// do carries out a command.
func (d *pop3Dialogue) do(line string) error {
	keyword, argument, ok := parseCommand(line)
	switch {
	case !ok:
	case keyword == "CAPA":
		d.capabilities()
		return nil
	case keyword == "USER":
		return d.setUser(argument)
	case keyword == "PASS":
		return d.pass(argument)
	case keyword == "AUTH":
		return d.auth(strings.Trim(argument, " "))
	case keyword == "STLS":
		return d.startTLS()
	case keyword == "UTF8": // RFC 6856 §2.1: names and passwords are UTF-8 here in any case, and messages are sent as they are
		d.say("+OK UTF8 enabled.")
		return nil
	case keyword == "QUIT":
		d.say("+OK Logging out.")
		return errLoggedOut
	}
	d.say("-ERR Unknown command.")
	return errUnread
}

// capabilities answers CAPA (RFC 2449 §5).
func (d *pop3Dialogue) capabilities() {
	d.say("+OK", "TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE", "UTF8")
	if d.c.mayStartTLS() {
		d.say("STLS")
	}
	if mechanisms := d.c.mechanisms(); len(mechanisms) > 0 {
		d.say("USER", "SASL "+strings.Join(mechanisms, " "))
	}
	d.say(".")
}

// startTLS answers STLS (RFC 2595 §4). What the client sent ahead in clear anybody may have put there.
func (d *pop3Dialogue) startTLS() error {
	switch {
	case !d.c.mayStartTLS():
		d.say("-ERR TLS is not possible now.")
		return nil
	case d.in.w > d.in.r:
		return errAhead
	}
	d.say("+OK Begin TLS negotiation now.")
	if err := d.flush(); err != nil {
		return err
	}
	return errStartTLS
}

// refusesClear answers a client that would send a password where others can read it.
func (d *pop3Dialogue) refusesClear() bool {
	if d.c.mayLogin() {
		return false
	}
	d.c.tally.disallowed = true
	d.say("-ERR [AUTH] Passwords are not accepted without TLS.")
	return true
}

// setUser answers USER, of which nobody learns whether there is such a user (RFC 1939 §7).
func (d *pop3Dialogue) setUser(name string) error {
	switch {
	case d.refusesClear():
	case name == "":
		d.say("-ERR USER needs a name.")
	default:
		d.user = name
		d.say("+OK")
	}
	return nil
}

func (d *pop3Dialogue) pass(password string) error {
	if d.refusesClear() {
		return nil
	}
	user := d.user
	d.user = ""
	a, ok := plain(user, password)
	if user == "" || !ok {
		d.say("-ERR USER comes first.")
		return nil
	}
	return d.login(a)
}

// auth answers AUTH (RFC 5034); without a mechanism it lists them, as clients older than CAPA ask.
func (d *pop3Dialogue) auth(argument string) error {
	mechanism, text, has := strings.Cut(argument, " ")
	if mechanism == "" {
		d.say("+OK")
		d.say(d.c.mechanisms()...)
		d.say(".")
		return nil
	}
	if d.refusesClear() {
		return nil
	}
	a := attempt{mechanism: strings.ToUpper(mechanism)}
	if has && text == "=" {
		a.initial = []byte{}
	} else if has {
		initial, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			d.say("-ERR Invalid base64.")
			return errUnread
		}
		a.initial = initial
	}
	if !d.c.offered(a.mechanism) {
		d.say("-ERR Unsupported authentication mechanism.")
		return nil
	}
	return d.login(a)
}

// Errors of respond.
var (
	errCancelled = errors.New("authentication cancelled")
	errBase64    = errors.New("invalid base64")
)

// respond has the client answer a challenge.
func (d *pop3Dialogue) respond(challenge []byte) ([]byte, error) {
	d.say("+ " + base64.StdEncoding.EncodeToString(challenge))
	line, err := d.in.next()
	if err != nil {
		return nil, err
	}
	if line == "*" {
		return nil, errCancelled
	}
	response, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return nil, errBase64
	}
	return response, nil
}

// login carries out a login. A session that has been opened answers the command itself.
func (d *pop3Dialogue) login(a attempt) error {
	if err := d.flush(); err != nil { // the answer may take a while
		return err
	}
	a.respond = d.respond
	err := d.c.attempt(a)
	switch {
	case err == nil:
	case errors.Is(err, auth.ErrRefused):
		d.say("-ERR [AUTH] Authentication failed.")
		if d.c.tally.failed >= maxFailures {
			return errFailures
		}
	case errors.Is(err, errPlaces):
		d.say("-ERR [SYS/TEMP] Too many sessions of this user.")
	case errors.Is(err, auth.ErrInUse):
		d.say("-ERR [IN-USE] Mailbox is in use.")
	case errors.Is(err, auth.ErrLater):
		d.say("-ERR [SYS/TEMP] Temporary failure, try again later.")
		if d.c.tally.later >= maxLater {
			return errLater
		}
	case err == errCancelled:
		d.say("-ERR Authentication cancelled.")
	case err == errBase64:
		d.say("-ERR Invalid base64.")
		return errUnread
	default:
		return err
	}
	return nil
}
