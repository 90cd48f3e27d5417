package control

import (
	"fmt"
	"strings"
)

// Action is something that is done to messages; its name is the verb of the request.
type Action string

// The actions.
const (
	DoHold    Action = "hold"    // keep it until it is released
	DoRelease Action = "release" // let what is on hold go on, due now
	DoRetry   Action = "retry"   // make what is deferred due now
	DoDelete  Action = "delete"  // remove it, without a word to anybody
)

// Outcome is what became of one message of an action.
type Outcome struct {
	ID      string
	Trouble string // why nothing was done; "" = done, and on the disk
}

// NoMessage is the trouble with a message that is not there, or not the user's to steer.
const NoMessage = "no such message"

// actionOf is the action of a request, if it asks for one.
func actionOf(verb string) (Action, bool) {
	switch a := Action(verb); a {
	case DoHold, DoRelease, DoRetry, DoDelete:
		return a, true
	}
	return "", false
}

// idsOf are the ids that a request names; they may be anything.
func idsOf(l line) ([]string, error) {
	text := l.get("ids")
	if n := strings.Count(text, ",") + 1; n > MaxIDs {
		return nil, fmt.Errorf("%w: %d ids in a request, more than %d", ErrSyntax, n, MaxIDs)
	}
	if text == "" {
		return nil, fmt.Errorf("%w: no ids", ErrSyntax)
	}
	return strings.Split(text, ","), nil
}

// appendIDs writes ` ids=…`; ids are letters and digits.
func appendIDs(b []byte, ids []string) []byte {
	b = append(b, " ids="...)
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, id...)
	}
	return b
}

// append writes the outcome's line.
func (o *Outcome) append(b []byte) []byte {
	if o.Trouble == "" {
		return append(appendPair(append(b, verbDone...), "id", o.ID), '\n')
	}
	b = appendPair(append(b, verbNot...), "id", o.ID)
	return append(appendPair(b, "reason", o.Trouble), '\n')
}

// outcomeOf reads a done or not line.
func outcomeOf(l line) (Outcome, error) {
	o := Outcome{ID: l.get("id")}
	if l.verb == verbNot {
		if o.Trouble = l.get("reason"); o.Trouble == "" {
			o.Trouble = "refused"
		}
	}
	if o.ID == "" {
		return o, fmt.Errorf("%w: outcome without id", ErrSyntax)
	}
	return o, nil
}
