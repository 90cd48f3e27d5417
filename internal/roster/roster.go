// Package roster knows who is logged in to a daemon: it counts the sessions of each user, in all and from each address, lists them,
// and ends those that somebody wants ended. The two commands by which an administrator asks are here, too. It trusts the daemon
// that keeps it; who may see and end what, internal/control decides by the uid of who asks.
package roster

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"

	"postrider/internal/control"
	"postrider/internal/listen"
)

// manyAddresses is how many addresses a user may fill with sessions.
const manyAddresses = 5

// Roster is for concurrent use. The zero value is empty.
type Roster struct {
	mu      sync.Mutex
	users   map[string]int
	origins map[origin]int
	places  map[*Place]struct{}
}

// origin is what sessions of a user are counted by.
type origin struct {
	user    string
	network netip.Prefix // an IPv4 address or an IPv6 /64; invalid for processes of this host
}

// Place is one session's, from before it begins.
type Place struct {
	roster  *Roster
	origin  origin
	session control.Session
	end     func() // nil before Enter
	kicked  bool
}

// Admit gives the session of a user from an address a place, unless the user has max sessions from there, or five times as many
// in all. The session is listed from now on, and can be ended.
func (r *Roster) Admit(s control.Session, from netip.Addr, max int) (*Place, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &Place{roster: r, origin: origin{s.User, listen.Network(from)}, session: s}
	if r.origins[p.origin] >= max || r.users[s.User] >= manyAddresses*max {
		return nil, false
	}
	if r.places == nil {
		r.users, r.origins, r.places = make(map[string]int), make(map[origin]int), make(map[*Place]struct{})
	}
	r.users[s.User]++
	r.origins[p.origin]++
	r.places[p] = struct{}{}
	return p, true
}

// Enter says which process has the session now. end is called when that is to be over: from another goroutine, perhaps more than
// once; or at once if somebody has wanted so before.
func (p *Place) Enter(pid int, end func()) {
	p.roster.mu.Lock()
	p.session.PID, p.end = pid, end
	kicked := p.kicked
	p.roster.mu.Unlock()
	if kicked {
		end()
	}
}

// Leave gives the place back. It may be called again, and for no place, nil.
func (p *Place) Leave() {
	if p == nil {
		return
	}
	r := p.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.places[p]; !ok {
		return
	}
	delete(r.places, p)
	if r.origins[p.origin]--; r.origins[p.origin] == 0 {
		delete(r.origins, p.origin)
	}
	if r.users[p.origin.user]--; r.users[p.origin.user] == 0 {
		delete(r.users, p.origin.user)
	}
}

// each calls do with the places of a selection, and returns their sessions, the oldest first.
func (r *Roster) each(s control.Selection, do func(*Place)) []control.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []control.Session
	for p := range r.places {
		if (s.ID == "" || s.ID == p.session.User || s.ID == p.session.ID) && s.May(int64(p.session.UID)) {
			do(p)
			list = append(list, p.session)
		}
	}
	slices.SortFunc(list, func(a, b control.Session) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// Who implements control.Sessions.
func (r *Roster) Who(s control.Selection) []control.Session { return r.each(s, func(*Place) {}) }

// Kick implements control.Sessions. The sessions are over soon after.
func (r *Roster) Kick(s control.Selection) []control.Session {
	return r.each(s, func(p *Place) {
		p.kicked = true
		if p.end != nil {
			go p.end()
		}
	})
}
