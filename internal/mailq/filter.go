package mailq

import (
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/internal/control"
)

// Test says whether a message is meant.
type Test func(*control.Entry) bool

// Filter is what a message has to be like: every test must hold. One whose envelope cannot be read is like nothing that an
// envelope says.
type Filter []Test

// Match says whether all tests hold.
func (f Filter) Match(e *control.Entry) bool {
	for _, t := range f {
		if !t(e) {
			return false
		}
	}
	return true
}

// either holds if one of the tests does.
func either(tests []Test) Test {
	return func(e *control.Entry) bool {
		return slices.ContainsFunc(tests, func(t Test) bool { return t(e) })
	}
}

// filters are the options that choose messages, by their names. One that is given twice chooses by either value.
var filters = map[string]func(value string) (Test, error){
	"sender":    bySender,
	"recipient": byRecipient,
	"domain":    byDomain,
	"user":      byUser,
	"older":     byAge(func(age, limit time.Duration) bool { return age > limit }),
	"newer":     byAge(func(age, limit time.Duration) bool { return age < limit }),
	"larger":    bySize(func(size, limit int64) bool { return size > limit }),
	"smaller":   bySize(func(size, limit int64) bool { return size < limit }),
	"state":     byState,
	"channel":   byChannel,
	"reason":    byReason,
}

// aliases are names that mean the same.
var aliases = map[string]string{"from": "sender", "to": "recipient", "younger": "newer"}

func bySender(value string) (Test, error) {
	if value == "<>" || strings.EqualFold(value, daemonName) {
		return func(e *control.Entry) bool { return e.Sender == "" && !unread(e) }, nil
	}
	like := addressLike(value)
	return func(e *control.Entry) bool { return e.Sender != "" && like(e.Sender) }, nil
}

// unread says that nothing of the envelope is known.
func unread(e *control.Entry) bool {
	return e.Trouble != "" && e.Sender == "" && len(e.Recipients) == 0
}

func byRecipient(value string) (Test, error) {
	like := addressLike(value)
	return func(e *control.Entry) bool {
		return slices.ContainsFunc(e.Recipients, func(r control.Recipient) bool { return like(r.Address) || r.Orig != "" && like(r.Orig) })
	}, nil
}

func byDomain(value string) (Test, error) {
	value = strings.TrimPrefix(value, "@")
	if strings.HasPrefix(value, ".") {
		value = "*" + value
	}
	like := wildcard(canonical(value))
	return func(e *control.Entry) bool {
		return slices.ContainsFunc(e.Recipients, func(r control.Recipient) bool {
			at := strings.LastIndexByte(r.Address, '@')
			return at >= 0 && like(r.Address[at+1:])
		})
	}, nil
}

func byUser(value string) (Test, error) {
	uid, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		account, err := user.Lookup(value)
		if err != nil {
			return nil, err
		}
		if uid, err = strconv.ParseUint(account.Uid, 10, 32); err != nil {
			return nil, err
		}
	}
	return func(e *control.Entry) bool { return e.UID == int64(uid) }, nil
}

func byAge(is func(age, limit time.Duration) bool) func(string) (Test, error) {
	return func(value string) (Test, error) {
		var limit config.Duration
		if err := limit.UnmarshalText([]byte(value)); err != nil {
			return nil, err
		}
		now := time.Now()
		return func(e *control.Entry) bool { return !e.Arrival.IsZero() && is(now.Sub(e.Arrival), limit.D()) }, nil
	}
}

func bySize(is func(size, limit int64) bool) func(string) (Test, error) {
	return func(value string) (Test, error) {
		var limit config.Size
		if err := limit.UnmarshalText([]byte(value)); err != nil {
			return nil, err
		}
		return func(e *control.Entry) bool { return is(e.Size, int64(limit)) }, nil
	}
}

var everyState = []control.State{control.Incoming, control.Active, control.Deferred, control.Hold, control.Corrupt}

func byState(value string) (Test, error) {
	var wanted []control.State
	for s := range strings.SplitSeq(value, ",") {
		if !slices.Contains(everyState, control.State(s)) {
			return nil, fmt.Errorf("%.20q is none of %v", s, everyState)
		}
		wanted = append(wanted, control.State(s))
	}
	return inState(wanted...), nil
}

func inState(wanted ...control.State) Test {
	return func(e *control.Entry) bool { return slices.Contains(wanted, e.State) }
}

func byChannel(value string) (Test, error) {
	if !slices.ContainsFunc(channels, func(c channel) bool { return string(c.via) == value }) {
		return nil, fmt.Errorf("%.20q is neither local nor remote", value)
	}
	return func(e *control.Entry) bool { return e.Channel == value }, nil
}

func byReason(value string) (Test, error) {
	value = strings.ToLower(value)
	return func(e *control.Entry) bool {
		return strings.Contains(strings.ToLower(e.Trouble), value) || slices.ContainsFunc(e.Recipients, func(r control.Recipient) bool {
			return strings.Contains(strings.ToLower(r.Reason()), value)
		})
	}, nil
}

// Containing are tests for a part of the id, the sender or a recipient, as sendmail's -q has them, without regard to case.
var Containing = map[byte]func(part string) Test{
	'I': func(part string) Test { return func(e *control.Entry) bool { return contains(e.ID, part) } },
	'S': func(part string) Test { return func(e *control.Entry) bool { return contains(e.Sender, part) } },
	'R': func(part string) Test {
		return func(e *control.Entry) bool {
			return slices.ContainsFunc(e.Recipients, func(r control.Recipient) bool { return contains(r.Address, part) })
		}
	},
}

func contains(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// Not turns a test round.
func Not(t Test) Test { return func(e *control.Entry) bool { return !t(e) } }

// addressLike compares addresses with a pattern: a whole address, with * for anything, or @domain.
func addressLike(pattern string) func(string) bool {
	pattern = strings.TrimSuffix(strings.TrimPrefix(pattern, "<"), ">")
	at := strings.LastIndexByte(pattern, '@')
	if at == 0 {
		pattern, at = "*"+pattern, 1
	}
	if at > 0 {
		pattern = pattern[:at+1] + canonical(pattern[at+1:])
	}
	return wildcard(pattern)
}

// canonical is a domain as envelopes have it; what is a pattern stays as it is.
func canonical(domain string) string {
	if d, err := address.Domain(domain); err == nil {
		return d
	}
	return domain
}

// wildcard compares texts with a pattern in which * stands for anything, without regard to case.
func wildcard(pattern string) func(string) bool {
	parts := strings.Split(strings.ToLower(pattern), "*")
	return func(s string) bool {
		s = strings.ToLower(s)
		if len(parts) == 1 {
			return s == parts[0]
		}
		s, ok := strings.CutPrefix(s, parts[0])
		if !ok {
			return false
		}
		for _, p := range parts[1 : len(parts)-1] {
			if _, s, ok = strings.Cut(s, p); !ok {
				return false
			}
		}
		return strings.HasSuffix(s, parts[len(parts)-1])
	}
}
