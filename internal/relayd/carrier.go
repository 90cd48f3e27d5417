package relayd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"postrider/internal/fault"
	"postrider/internal/hop"
	"postrider/internal/nexthop"
	"postrider/internal/reply"
	"postrider/internal/spool"
)

// Bounds of one attempt.
const (
	maxAddresses = 5
	maxPerHost   = 2 // of these, while there are other hosts
	maxSessions  = 2
	greetingTime = 5 * time.Minute // from the first connection to a session, with one host;
	firstTime    = 2 * time.Minute // in a message's first attempt: a slow host gets its time later
)

// carrier takes the transactions of a lane to hosts, one after the other, over one session as long as that lasts.
type carrier struct {
	*Manager
	lane *lane
	conn *connection
}

// trip is the way of one transaction: hosts in turn, until one takes it or there are no more.
type trip struct {
	*transaction
	s       *Settings
	results []outcome // of the transaction's recipients
	todo    []int     // of them, those without a result

	demands   Demands
	hosts     []nexthop.Host
	next      int // of hosts
	addresses int // tried
	sessions  int // begun
	began     time.Time
	connected time.Time
	trouble   outcome   // the last
	private   bool      // which is no other lane's
	revival   time.Time // when the first of the dead hosts may be asked again
	bad       []string  // hosts that are dead, or had trouble
	alive     bool      // a host was not dead
}

func newTrip(t *transaction) *trip {
	tr := &trip{transaction: t, s: t.round.s, began: time.Now(), results: make([]outcome, len(t.recipients)), todo: make([]int, len(t.recipients))}
	for i := range tr.todo {
		tr.todo[i] = i
	}
	return tr
}

// again lets the hosts be tried from the start for the recipients that are left when others have been answered.
func (tr *trip) again() {
	tr.next, tr.addresses, tr.sessions = 0, 0, 0
	tr.trouble, tr.private = outcome{}, false
}

// transact sees a transaction through.
func (c *carrier) transact(t *transaction) {
	defer t.recall()
	tr := newTrip(t)
	for len(tr.todo) > 0 {
		if refused := c.connect(tr); refused != nil {
			tr.settle(*refused)
			break
		}
		c.send(tr)
	}
	c.finish(tr)
}

// finish answers, tells the lane what was learned, and waits until the answer is where it cannot be forgotten. What failed because
// the process ends does not count.
func (c *carrier) finish(tr *trip) {
	if c.working.Err() != nil {
		for i := range tr.results {
			if !tr.results[i].said {
				tr.results[i] = outcome{}
			}
		}
	}
	switch {
	case c.conn != nil:
		c.note(c.lane, c.hosts.window(c.conn.host))
	case !tr.alive && !tr.revival.IsZero():
		c.suspendLane(c.lane, tr.revival, tr.trouble.reply)
	}
	c.blame(c.lane, tr.bad)
	fault.Point("relay.answered")
	noted := make(chan struct{})
	tr.answer <- answer{tr.transaction, tr.results, noted}
	<-noted
}

// settle gives all that have none one result.
func (tr *trip) settle(o outcome) {
	for _, i := range tr.todo {
		tr.set(i, o)
	}
	tr.todo = nil
}

func (tr *trip) set(i int, o outcome) {
	connected := tr.connected
	if connected.IsZero() {
		connected = tr.began
	}
	o.times = [3]time.Time{tr.began, connected, time.Now()}
	tr.results[i] = o
}

// leave parks the session for whoever wants it, unless it has served its time.
func (c *carrier) leave() {
	switch {
	case c.conn == nil:
	case !c.conn.lasts(c.settings.Load().Config.Relayd.MaxReuse):
		c.hangUp()
	default:
		c.hosts.park(c.conn)
		c.conn = nil
	}
}

// hangUp ends the session.
func (c *carrier) hangUp() {
	if c.conn != nil {
		c.hosts.end(c.conn)
		c.conn = nil
	}
}

// connect finds a session for a transaction. It returns what is to be said of all recipients if there is none.
func (c *carrier) connect(tr *trip) *outcome {
	if tr.patience.Err() != nil || !tr.item.Present() {
		return &outcome{} // not tried
	}
	var err error
	if tr.demands, err = tr.s.Router.Demands(tr.hop); err != nil {
		return deferred(reply.New(451, 3, 0, "tables cannot be read for now").With(err))
	}
	if c.keeps(tr) {
		tr.alive = true
		return nil
	}
	if until, why := c.deadUntil(laneKey(tr.hop)); time.Now().Before(until) {
		return suspended(why)
	}
	if tr.hosts == nil {
		if tr.hosts, err = tr.s.Finder.Find(c.working, tr.hop); err != nil {
			return c.unfound(tr, err)
		}
	}
	for tr.next < len(tr.hosts) && tr.addresses < maxAddresses && tr.sessions < maxSessions {
		h := tr.hosts[tr.next]
		tr.next++
		if done, refused := c.visit(tr, h); done || refused != nil {
			return refused
		}
	}
	if tr.trouble.reply == nil {
		tr.trouble = *deferred(reply.New(451, 4, 3, "no host was found to connect to"))
	}
	if tr.private {
		c.rest(tr, tr.trouble.reply)
	}
	return &tr.trouble
}

// rest suspends the lane for a while, though no host is dead.
func (c *carrier) rest(tr *trip, why *reply.Reply) {
	c.suspendLane(c.lane, time.Now().Add(jitter(tr.s.Config.Relayd.MinBackoff.D())), why)
}

// keeps says whether the carrier goes on with its session. It does not while others wait for one.
func (c *carrier) keeps(tr *trip) bool {
	switch {
	case c.conn == nil:
		return false
	case !c.conn.fits(tr.needs(c.conn.host), tr.s.Config.Relayd.MaxReuse):
		c.hangUp()
	case c.hosts.wanted(c.conn.host):
		c.leave()
	}
	return c.conn != nil
}

// unfound is the outcome when no host could be found. A hop that the administrator wrote may be mended, so that nothing fails for
// good because of it; and while the DNS does not answer the lane rests.
func (c *carrier) unfound(tr *trip, err error) *outcome {
	r := reply.Of(err, reply.New(451, 4, 3, "lookup failed for now"))
	if r.Permanent() && tr.derived {
		return failed(r)
	}
	if r.Permanent() {
		c.log.Warn("next hop %s: %v", tr.hop, r)
		r = &reply.Reply{Code: 451, Enhanced: reply.Enhanced{4, 3, 5}, Text: fmt.Sprintf("next hop %s: %s", tr.hop, r.Text)}
	}
	if c.working.Err() == nil {
		c.rest(tr, r)
	}
	return deferred(r)
}

// visit gets a session with one host. Trouble of the host, or its being dead, is noted, and the next one may be tried.
func (c *carrier) visit(tr *trip, h nexthop.Host) (done bool, refused *outcome) {
	key := hostKey(tr.hop, h)
	conn, err := c.hosts.acquire(tr.patience, key, tr.needs(key))
	if dead, ok := errors.AsType[*deadError](err); ok {
		tr.dead(key, dead)
		return false, nil
	}
	tr.alive = true
	if err != nil {
		return false, &outcome{} // called back
	}
	if c.conn = conn; conn != nil {
		return true, nil
	}
	if c.conn, err = c.dial(tr, h, key); c.conn != nil {
		return true, nil
	}
	defer c.hosts.release(key) // when the window has closed
	return false, c.failed(tr, key, err)
}

// errRecalled is why there is no session when the transaction was called back before one was begun.
var errRecalled = errors.New("called back")

// failed judges why there is no session with a host.
func (c *carrier) failed(tr *trip, key string, err error) (refused *outcome) {
	if errors.Is(err, errRecalled) {
		return &outcome{}
	}
	r := reply.New(451, 4, 1, err.Error())
	tr.trouble, tr.private = *deferred(r), false
	switch {
	case c.working.Err() != nil:
	case errors.Is(err, ErrLoop):
		return tr.loops(err)
	case errors.Is(err, ErrDemands): // other lanes may have no such trouble with the host
		r.Enhanced = reply.Enhanced{4, 7, 0}
		tr.private = true
	case ownTrouble(err):
		c.log.Warn("%v", err)
		tr.private = true
	default:
		tr.bad = append(tr.bad, key)
		c.hosts.failedFor(key, r)
	}
	return nil
}

// loops is the outcome when the host is this one. If it is not the best of a domain's hosts, the best may come back.
func (tr *trip) loops(err error) *outcome {
	if tr.next == 1 && tr.derived {
		return failed(reply.New(554, 4, 6, err.Error()))
	}
	return deferred(reply.New(451, 4, 6, err.Error()))
}

// ownTrouble says that an error is of this host or its network: it says nothing of the other one.
func ownTrouble(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.EACCES, syscall.EPERM, syscall.ENETUNREACH, syscall.EAFNOSUPPORT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// dial tries the addresses of a host.
func (c *carrier) dial(tr *trip, h nexthop.Host, key string) (conn *connection, err error) {
	list := targets(tr.hop, h)
	if len(list) == 0 {
		return nil, errors.New("no address")
	}
	var network netip.Prefix
	if !c.hosts.isProven(key) {
		network = networkOf(list[0].Addr.Addr())
	}
	if c.hosts.dialing.acquire(tr.patience, network) != nil {
		return nil, errRecalled
	}
	defer c.hosts.dialing.release(network)
	ctx, cancel := context.WithTimeout(c.working, tr.greetingTime())
	defer cancel()
	most := maxAddresses - tr.addresses
	if tr.next < len(tr.hosts) {
		most = min(most, maxPerHost)
	}
	for tried := 0; len(list) > 0 && tried < most; list = list[1:] {
		t := list[0]
		t.Demands, t.Clear = tr.demands, tr.round.attempts > 0
		s, failure := tr.s.Dialer.Dial(ctx, t)
		if failure == nil {
			tr.sessions++
			tr.connected = time.Now()
			return &connection{Session: s, host: key, needs: tr.needs(key), relay: t.String(), began: time.Now()}, nil
		}
		if !errors.Is(failure, syscall.ENETUNREACH) { // which says nothing of the host, and has cost nothing
			tried++
			tr.addresses++
			err = failure
		} else if err == nil {
			err = failure
		}
		if errors.Is(err, ErrLoop) || errors.Is(err, ErrDemands) || ctx.Err() != nil {
			break
		}
		c.log.Info("%v", failure)
	}
	return nil, err
}

func (tr *trip) greetingTime() time.Duration {
	if tr.round.attempts == 0 {
		return firstTime
	}
	return greetingTime
}

// targets are the addresses of a host.
func targets(h hop.Hop, host nexthop.Host) []Target {
	if h.Path != "" {
		return []Target{{Hop: h, Path: h.Path}}
	}
	var list []Target
	for _, a := range host.Addrs {
		list = append(list, Target{Hop: h, Host: host.Name, Addr: netip.AddrPortFrom(a, uint16(host.Port))})
	}
	return list
}

// hostKey names a host among all that windows are kept of.
func hostKey(h hop.Hop, host nexthop.Host) string {
	if h.Path != "" {
		return string(h.Kind) + ":" + h.Path
	}
	name := host.Name
	if name == "" && len(host.Addrs) > 0 {
		name = host.Addrs[0].String()
	}
	return fmt.Sprintf("%s:%s:%d", h.Kind, name, host.Port)
}

// needs says which sessions with a host this transaction may use: those of the same settings with the same host, level and login,
// and the same names to verify.
func (tr *trip) needs(key string) string {
	d := tr.demands
	needs := fmt.Sprintf("%s %s %d", key, d.Level, tr.s.generation)
	if d.User != "" || verified(d.Level) {
		needs += " " + tr.hop.String() + " " + d.User + " " + d.Password
	}
	return needs
}

// fits says whether a session may carry another transaction with these needs.
func (c *connection) fits(needs string, most int) bool { return c.needs == needs && c.lasts(most) }

// lasts says whether it may carry another one at all.
func (c *connection) lasts(most int) bool {
	return c.Usable() && c.carried < most && time.Since(c.began) < sessionAge
}

// dead notes a host that is not asked.
func (tr *trip) dead(key string, d *deadError) {
	tr.bad = append(tr.bad, key)
	if tr.revival.IsZero() || d.until.Before(tr.revival) {
		tr.revival = d.until
	}
	if tr.trouble.reply == nil {
		tr.trouble = *suspended(d.why)
	}
}

// suspended is the outcome of what was not tried because others were in vain.
func suspended(why *reply.Reply) *outcome {
	text := why.Text
	if why.Code/100 == 4 {
		text = strings.TrimPrefix(text, suspension)
	}
	return deferred(&reply.Reply{Code: 451, Enhanced: reply.Enhanced{4, why.Enhanced[1], why.Enhanced[2]}, Text: suspension + text})
}

const suspension = "delivery temporarily suspended: "

func deferred(r *reply.Reply) *outcome {
	return &outcome{status: spool.Deferred, reply: r, relay: "none"}
}
func failed(r *reply.Reply) *outcome { return &outcome{status: spool.Failed, reply: r, relay: "none"} }
