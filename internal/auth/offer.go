package auth

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// Asker tells which mechanisms authd offers, best first; a Client does.
type Asker interface {
	Mechanisms(ctx context.Context) ([]string, error)
}

// Offer remembers for a while which mechanisms authd offers. The zero value is ready for use.
type Offer struct {
	mu    sync.Mutex
	names []string
	sure  bool // else they are a guess
	until time.Time
}

const (
	offerFor     = 30 * time.Second // how long the answer holds
	fallbackFor  = 5 * time.Second  // the same when there is none: not everybody waits for an authd that hangs
	offerTimeout = 2 * time.Second
	maxMechanism = 20 // octets of a name (RFC 4422 §3.1)
)

// fallback is offered while authd cannot be asked: the login will say "later".
var fallback = []string{"PLAIN", "LOGIN"}

// mayBeOffered are what authd may offer when it is back.
var mayBeOffered = []string{"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}

// List is what a client may use, the -PLUS forms only where there is a channel binding.
func (o *Offer) List(ctx context.Context, a Asker, bindings []Binding) []string {
	list, _ := o.list(ctx, a, bindings)
	return list
}

// Has says whether a client may use a mechanism, in upper case. While authd cannot be asked that is any that it may offer.
func (o *Offer) Has(ctx context.Context, a Asker, bindings []Binding, mechanism string) bool {
	list, sure := o.list(ctx, a, bindings)
	return slices.Contains(list, mechanism) || !sure && slices.Contains(mayBeOffered, mechanism)
}

func (o *Offer) list(ctx context.Context, a Asker, bindings []Binding) (list []string, sure bool) {
	list, sure = o.all(ctx, a)
	if len(bindings) == 0 {
		list = slices.DeleteFunc(slices.Clone(list), func(n string) bool { return strings.HasSuffix(n, "-PLUS") })
	}
	return list, sure
}

// all is what authd offers.
func (o *Offer) all(ctx context.Context, a Asker) (names []string, sure bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Now().Before(o.until) {
		return o.names, o.sure
	}
	ctx, cancel := context.WithTimeout(ctx, offerTimeout)
	defer cancel()
	names, err := a.Mechanisms(ctx)
	if err != nil {
		o.names, o.sure, o.until = fallback, false, time.Now().Add(fallbackFor)
		return o.names, o.sure
	}
	o.names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !isMechanism(n) })
	o.sure, o.until = true, time.Now().Add(offerFor)
	return o.names, o.sure
}

// isMechanism says whether s can stand in a capability: upper case, digits, hyphen, underscore (RFC 4422 §3.1).
func isMechanism(s string) bool {
	return s != "" && len(s) <= maxMechanism && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}
