package mailq

import (
	"fmt"

	"postrider/internal/control"
	"postrider/internal/envelope"
)

// report is what became of the messages of an action.
type report struct {
	order   []string          // ids as they became known
	trouble map[string]string // of each; "" = done
	named   bool              // they were asked for by id: one that is not there has to be told
}

// add takes what a channel did. A message may be in both: what was done in either counts.
func (r *report) add(o control.Outcome) {
	before, known := r.trouble[o.ID]
	if !known {
		r.order = append(r.order, o.ID)
	}
	if !known || o.Trouble == "" || before == control.NoMessage {
		r.trouble[o.ID] = o.Trouble
	}
}

// past are words for what was done.
var past = map[control.Action]string{
	control.DoHold: "put on hold", control.DoRelease: "released", control.DoRetry: "to be tried now", control.DoDelete: "deleted",
}

// action is what a verb asks for.
func (v Verb) action() control.Action {
	if v == Flush {
		return control.DoRetry
	}
	return control.Action(v)
}

// steer does something to messages.
func (w *run) steer() int {
	r := &report{trouble: make(map[string]string), named: len(w.Filter) == 0 && !w.All}
	ids, chosen, status := w.IDs, make(map[string][]string), exitOK
	if r.named {
		ids = w.valid(r)
	} else if status = w.choose(chosen); len(chosen) == 0 {
		return max(status, w.tell(r, status == exitOK))
	}
	acted := w.each(w.steerer, func(s source) error {
		if !r.named {
			ids = chosen[s.name()]
		}
		return s.do(w.ctx, w.Do.action(), byPlace(ids), func(o control.Outcome) error {
			r.add(o)
			return nil
		})
	})
	status = max(status, acted)
	return max(status, w.tell(r, status == exitOK))
}

// valid are the ids that can be; the others are no message's.
func (w *run) valid(r *report) (ids []string) {
	for _, id := range w.IDs {
		if envelope.ValidID(id) {
			ids = append(ids, id)
		}
		r.add(control.Outcome{ID: id, Trouble: control.NoMessage})
	}
	return ids
}

// choose finds the messages that the filter is for.
func (w *run) choose(chosen map[string][]string) int {
	wanted, filter := setOf(w.IDs), w.concerns()
	return w.each(w.reader, func(s source) error {
		return s.list(w.ctx, w.IDs, true, func(e *control.Entry) error {
			if (wanted == nil || wanted[e.ID]) && filter.Match(e) {
				chosen[s.name()] = append(chosen[s.name()], e.ID)
			}
			return nil
		})
	})
}

// tell says what was done and what not; that something is not there only if everything was seen.
func (w *run) tell(r *report, all bool) int {
	status, done := exitOK, 0
	for _, id := range r.order {
		switch trouble := r.trouble[id]; {
		case trouble == "":
			done++
			if w.Verbose {
				fmt.Fprintf(w.stdout, "%s: %s\n", clean(id), past[w.Do.action()])
			}
		case trouble != control.NoMessage || r.named && all: // one that was found may have gone its way meanwhile
			w.complain("%s: %s", clean(id), trouble)
			status = exitNone
		}
	}
	if done == 0 {
		if status == exitOK && all {
			w.complain("no such message")
		}
		return exitNone
	}
	if _, err := fmt.Fprintln(w.stdout, count(done), past[w.Do.action()]); err != nil {
		return w.failed(&outputError{err})
	}
	return status
}

func count(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

// flush has everything tried now that this user may steer.
func (w *run) flush() int {
	n := 0
	status := w.each(w.steerer, func(s source) error {
		more, err := s.flush(w.ctx)
		n += more
		return err
	})
	if status == exitOK {
		fmt.Fprintln(w.stdout, count(n), past[control.DoRetry])
	}
	return status
}
