package authd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"postrider/internal/auth"
	"postrider/internal/password"
	"postrider/internal/table"
)

// errRefused is a login that does not hold. Any other error of a verifier means later.
var errRefused = errors.New("refused")

// Passwords is the table of secrets.
type Passwords interface {
	Lookup(name string) ([]password.Entry, error)
	AllSCRAM() (bool, error)
}

// Logger takes the log lines.
type Logger interface {
	Info(format string, args ...any)
	Warn(format string, args ...any)
	Error(format string, args ...any)
}

// Settings are what a configuration says. A reload replaces them whole.
type Settings struct {
	Tables         *table.Tables // that the settings were made from; nil in tests
	Users          Users
	Domains        Domains
	Passwords      Passwords
	Checkpassword  Checkpassword // nil is none
	FirstValidUID  uint32        // nobody below it logs in; 0 lets all, for a suite under one uid
	MailboxUID     uint32        // though lower, of virtual users; 0 is none
	ChannelBinding bool          // offer the -PLUS forms of SCRAM
	FailureDelay   time.Duration // of the first failure; 0 is none
	MaxDelay       time.Duration
	HashMemory     int64  // octets, of the hash that an unknown user costs
	MaxHashes      int    // at the same time; 0 is the number of CPUs
	Seed           []byte // secret, the same after a restart: SCRAM salts of unknown users come from it
	Log            Logger
}

// verifier decides logins under one version of the settings.
type verifier struct {
	Settings
	turns *throttle
	decoy password.Secret
	gate  *gate                                      // a place per hash being computed, one for trusted pairs if there are several
	sleep func(context.Context, time.Duration) error // until then, or ctx is done
}

func newVerifier(s Settings, turns *throttle) *verifier {
	n := s.MaxHashes
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	turns.configure(s.FailureDelay, max(s.MaxDelay, s.FailureDelay))
	gate := newGate(n, min(1, n-1)).rest(debug.FreeOSMemory) // a hash takes tens of megabytes, which the runtime would keep for minutes
	return &verifier{Settings: s, turns: turns, decoy: password.Decoy(s.HashMemory), gate: gate, sleep: sleep}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt is a login as the front describes it.
type attempt struct {
	service, mechanism string
	remote, local      netip.Addr // not valid if there is none
	tls                bool
	peer               uint32 // uid of the front, from the kernel
	trusted            bool   // the user has logged in from this address: set when the turn has come
}

// verdict is the result of a check.
type verdict struct {
	user    auth.User
	known   bool   // there is such a user
	listed  bool   // and the tables have it
	backend string // where the password was looked for
	label   string // of the password that matched
	reason  string // why the login does not hold; empty if it does
}

// Reasons that Dovecot's log has too.
const (
	unknownUser        = "unknown user"
	passwordMismatch   = "password mismatch"
	invalidCredentials = "invalid credentials"
)

// decide runs check in the attempt's turn and gives its verdict at the right moment: at once if the login holds, and
// otherwise at a time after the turn's start that depends on the number of failures alone, not on what the check did.
func (v *verifier) decide(ctx context.Context, a attempt, id identity, check func(attempt) (verdict, error)) (auth.User, error) {
	turn, ok := v.turns.enter(v.turns.subject(id.key(), a.remote))
	if !ok {
		v.Log.Info("auth: throttled(%s,%s): too many attempts (method=%s, service=%s)", v.name(id, false), ip(a.remote), a.mechanism, a.service)
		return auth.User{}, errors.New("too many attempts")
	}
	if err := v.sleep(ctx, turn.wait); err != nil {
		v.turns.leave(turn)
		return auth.User{}, err
	}
	start := v.turns.now()
	a.trusted = turn.known
	d, err := check(a)
	if err != nil {
		v.turns.leave(turn)
		v.Log.Warn("auth: login of %s: %v", v.name(id, d.known), err)
		return auth.User{}, errors.New("cannot verify now")
	}
	if d.reason == "" {
		v.turns.succeeded(turn)
		v.logLogin(a, d)
		return d.user, nil
	}
	delay := v.turns.failed(turn)
	v.logFailure(a, id, d, delay)
	if err := v.sleep(ctx, untilMoment(v.turns.now().Sub(start), delay, v.FailureDelay)); err != nil {
		return auth.User{}, err
	}
	return auth.User{}, errRefused
}

// untilMoment is the time still to wait when work has taken so long: until delay has passed since the start or, if that is
// over, until the next whole step.
func untilMoment(elapsed, delay, step time.Duration) time.Duration {
	if step <= 0 || elapsed <= delay {
		return max(delay-elapsed, 0)
	}
	return step - (elapsed-delay)%step
}

// password decides a login with a password in the clear.
func (v *verifier) password(ctx context.Context, a attempt, typed, pw string) (auth.User, error) {
	id, err := identify(v.Domains, typed)
	if err != nil {
		return auth.User{}, err
	}
	return v.decide(ctx, a, id, func(a attempt) (verdict, error) { return v.checkPassword(ctx, a, id, pw) })
}

// checkPassword looks into the passwords table and, for names that the system may know, asks PAM. It takes the same steps
// whether or not the user exists.
func (v *verifier) checkPassword(ctx context.Context, a attempt, id identity, pw string) (verdict, error) {
	d, entries, err := v.candidates(id, a.service)
	if err != nil {
		return d, err
	}
	sound := pw != "" && len(pw) <= password.MaxPassword && !strings.Contains(pw, "\x00")
	if !sound {
		entries = nil
	}
	match, err := v.match(ctx, a, entries, pw)
	if err != nil {
		return d, err
	}
	if match != nil {
		d.label = match.Label
		return v.admit(ctx, id, d)
	}
	if !sound || !v.asksSystem(id) {
		return d, nil
	}
	return v.checkSystem(ctx, a, id, pw, d)
}

// asksSystem says whether the name is one that PAM and NSS are asked about.
func (v *verifier) asksSystem(id identity) bool {
	return v.Checkpassword != nil && id.ours && !id.virtual
}

// checkSystem asks PAM.
func (v *verifier) checkSystem(ctx context.Context, a attempt, id identity, pw string, d verdict) (verdict, error) {
	d.backend = "checkpassword"
	u, ok, err := v.Checkpassword.Check(ctx, a.trusted, a.service, ip(a.remote), id.name, pw)
	if err != nil {
		return d, fmt.Errorf("checkpassword: %w", err)
	}
	if !ok {
		d.reason = passwordMismatch // an unknown user is PAM's secret
		return d, nil
	}
	if !d.known {
		d.user, d.known = u, true
	}
	return v.admit(ctx, id, d)
}

// candidates returns the passwords that the user may use, and the verdict if none of them matches.
func (v *verifier) candidates(id identity, service string) (verdict, []password.Entry, error) {
	d := verdict{backend: "passwd-file", reason: passwordMismatch}
	var err error
	if d.user, d.known, err = find(v.Users, id); err != nil {
		return d, nil, err
	}
	d.listed = d.known
	all, err := v.Passwords.Lookup(id.key())
	if err != nil {
		return d, nil, err
	}
	var usable []password.Entry
	for _, e := range all {
		if e.Allows(service) {
			usable = append(usable, e)
		}
	}
	switch {
	case !d.known && len(all) == 0:
		d.reason = unknownUser
	case len(usable) == 0:
		d.reason = invalidCredentials + ": no password for this service"
	}
	return d, usable, nil
}

// match returns the entry with the password, nil if there is none. Where there is nothing to try it tries the decoy.
func (v *verifier) match(ctx context.Context, a attempt, entries []password.Entry, pw string) (*password.Entry, error) {
	leave, err := v.gate.enter(ctx, a.trusted)
	if err != nil {
		return nil, fmt.Errorf("hashes: %w", err)
	}
	defer leave()
	if len(entries) == 0 {
		v.decoy.Verify(pw)
	}
	for i := range entries {
		if entries[i].Verify(pw) {
			return &entries[i], nil
		}
	}
	return nil, nil
}

// admit turns a right password into a login, if its user exists and may log in.
func (v *verifier) admit(ctx context.Context, id identity, d verdict) (verdict, error) {
	if !d.known && v.asksSystem(id) {
		var err error
		if d.user, d.known, err = v.Checkpassword.Who(ctx, id.name); err != nil {
			return d, fmt.Errorf("checkpassword: %w", err)
		}
	}
	switch {
	case !d.known:
		d.reason = invalidCredentials + ": a password, but no user"
	case d.user.UID < v.FirstValidUID && !(d.listed && v.MailboxUID != 0 && d.user.UID == v.MailboxUID):
		d.reason = fmt.Sprintf("%s: uid %d is below first_valid_uid", invalidCredentials, d.user.UID)
	default:
		d.reason = ""
	}
	return d, nil
}

// who finds a user without any password.
func (v *verifier) who(ctx context.Context, typed string) (auth.User, bool, error) {
	id, err := identify(v.Domains, typed)
	if err != nil || !id.ours {
		return auth.User{}, false, err
	}
	u, ok, err := find(v.Users, id)
	if err != nil || ok || !v.asksSystem(id) {
		return u, ok, err
	}
	return v.Checkpassword.Who(ctx, id.name)
}

// mechanisms returns what to announce. A client that knows SCRAM does not fall back when it fails, so it is announced only
// if it works for everyone.
func (v *verifier) mechanisms() ([]string, error) {
	list := []string{"PLAIN", "LOGIN"}
	if v.Checkpassword != nil {
		return list, nil
	}
	all, err := v.Passwords.AllSCRAM()
	if err != nil {
		return nil, err
	}
	switch {
	case all && v.ChannelBinding:
		list = append([]string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}, list...)
	case all:
		list = append([]string{"SCRAM-SHA-256"}, list...)
	}
	return list, nil
}

// name is the identity for the log. What somebody typed where a name belongs may be a password: unless it is a user, or an
// address of ours, it is not shown.
func (v *verifier) name(id identity, known bool) string {
	if known || id.public {
		return printable(id.name)
	}
	return "-"
}

// ip is an address for the log, empty if there is none.
func ip(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// logLogin and logFailure write Dovecot's grammar, which fail2ban's dovecot filter matches.
func (v *verifier) logLogin(a attempt, d verdict) {
	tls, label := "", ""
	if a.tls {
		tls = ", TLS"
	}
	if d.label != "" {
		label = ", label=" + printable(d.label)
	}
	v.Log.Info("auth: Login: user=<%s>, method=%s, rip=%s, lip=%s%s, service=%s%s, front=%d", printable(d.user.Name), a.mechanism,
		ip(a.remote), ip(a.local), tls, a.service, label, a.peer)
}

func (v *verifier) logFailure(a attempt, id identity, d verdict, delay time.Duration) {
	v.Log.Info("auth: %s(%s,%s): %s (method=%s, service=%s, front=%d, delay=%s)", d.backend, v.name(id, d.known), ip(a.remote), d.reason,
		a.mechanism, a.service, a.peer, delay)
}
