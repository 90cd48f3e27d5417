package smtpc

import (
	"postrider/internal/reply"
)

// Result is what the server said about a message.
type Result struct {
	// Recipients are the replies to the recipients in the order of the envelope; nil = it did not come to that. Over LMTP, those
	// that were accepted have the reply to the message here, once it came; before that, nil.
	Recipients []*reply.Reply
	Message    *reply.Reply // the reply to the message; nil = it did not come to that, or LMTP

	late []bool // LMTP: the recipient's reply is the one to the message
}

// Of is what came of recipient i in a Send that returned err: the reply by which the server took the message for it, or else
// why it did not.
func (r *Result) Of(i int, err error) (*reply.Reply, *Error) {
	own := r.Recipients[i]
	switch {
	case own != nil && !took(own):
		return nil, &Error{Step: r.step(i), Err: own, Local: own == ErrNoUTF8}
	case own != nil && r.final(i):
		return own, nil
	case err == nil:
		return r.Message, nil
	}
	if e, ok := err.(*Error); ok {
		return nil, e
	}
	return nil, &Error{Step: StepMAIL, Err: err}
}

// final says that the recipient's reply is one to the message.
func (r *Result) final(i int) bool { return r.late != nil && r.late[i] }

func (r *Result) step(i int) Step {
	if r.final(i) {
		return StepEnd
	}
	return StepRCPT
}

// Excess says that recipient i was refused only because there were too many in one transaction: the next one may take it.
func (r *Result) Excess(i int) bool {
	own := r.Recipients[i]
	if own == nil || took(own) || r.final(i) || !tooMany(own) {
		return false
	}
	for j := range r.Recipients {
		if other := r.Recipients[j]; other != nil && took(other) {
			return true
		}
	}
	return false
}
