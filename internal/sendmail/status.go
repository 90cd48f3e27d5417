package sendmail

import (
	"errors"

	"postrider/internal/reply"
)

// Exit codes of sysexits.h. Callers show their names to people, and some try again after exitTempFail.
const (
	exitOK          = 0
	exitUsage       = 64 // command line
	exitDataErr     = 65 // the message or an address in it
	exitNoUser      = 67 // recipient unknown
	exitNoHost      = 68 // recipient's host unknown
	exitUnavailable = 69 // refused for another reason
	exitSoftware    = 70 // the mail system did not understand us
	exitIOErr       = 74 // the message could not be read
	exitTempFail    = 75 // try again later
	exitNoPerm      = 77 // refused by policy
)

// statusOf is the exit code for a failure, by the enhanced code (RFC 3463) of the server's refusal. What is no refusal may
// pass.
func statusOf(err error) int {
	r, ok := errors.AsType[*reply.Reply](err)
	if !ok || !r.Permanent() {
		return exitTempFail
	}
	switch subject, detail := r.Enhanced[1], r.Enhanced[2]; {
	case subject == 1 && detail == 2:
		return exitNoHost
	case subject == 1 && (detail == 3 || detail == 7): // syntax of recipient, sender
		return exitDataErr
	case subject == 1:
		return exitNoUser
	case subject == 5:
		return exitSoftware
	case subject == 6:
		return exitDataErr
	case subject == 7:
		return exitNoPerm
	}
	return exitUnavailable
}

// outcome is what became of a message with several recipients.
type outcome struct {
	sent      bool // to somebody
	permanent int  // exit code of the first failure that stays
	temporary int  // exitTempFail if one may pass
}

func (o *outcome) failed(status int) {
	switch {
	case status == exitTempFail:
		o.temporary = status
	case o.permanent == exitOK:
		o.permanent = status
	}
}

// status is the one exit code. A caller that is told to try again sends to all again: that is right only while nobody has
// the message.
func (o *outcome) status() int {
	if o.permanent == exitOK || !o.sent && o.temporary != exitOK {
		return o.temporary
	}
	return o.permanent
}
