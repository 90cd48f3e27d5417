// Package imap is the wire of an IMAP server (RFC 3501, 9051): commands come in as typed values, responses go out in large
// writes. It knows no mailbox and keeps no session but for the state that says which commands are legal, and in which form
// names and message numbers go.
//
// The peer is hostile. Arguments are lexed as they arrive; a line, a literal, a list and a tree each have a bound; sets stay
// ranges; the message of an APPEND is never held in memory. Whatever was wrong with a command, the stream afterwards stands at
// the next one, or the connection is to be closed: no part of a refused literal is ever read as a command.
package imap

import "errors"

// State is how far a session has come (RFC 3501 §3).
type State uint8

// The states. A Reader refuses a command that is not legal in its state before it looks at the arguments.
const (
	NotAuthenticated State = 1 << iota
	Authenticated
	Selected

	anyState = NotAuthenticated | Authenticated | Selected
	loggedIn = Authenticated | Selected
)

// Request is one command.
type Request struct {
	Tag     string
	Name    string  // in upper case; "UID FETCH" for the UID forms
	Command Command // never nil
}

// Command is a pointer to one of the command types of this package.
type Command any

// Condition is the first word of a status response (RFC 3501 §7.1).
type Condition string

// The conditions.
const (
	OK  Condition = "OK"
	NO  Condition = "NO"
	BAD Condition = "BAD"
	BYE Condition = "BYE"
)

// CommandError is a command that is not carried out: what to answer. The stream stands at the next command.
type CommandError struct {
	Tag    string    // "*" if the command had none
	Name   string    // of the command, as in Request; "" if that could not be read
	Status Condition // BAD or NO
	Code   Code      // may be empty
	Text   string
}

func (e *CommandError) Error() string { return string(e.Status) + " " + e.Text }

// Errors after which nothing more may be read: say BYE and close.
var (
	// ErrEndless is a line or a refused literal that goes on for too long to be read to its end.
	ErrEndless = errors.New("input too long")
	// ErrImpatient is data that came behind a synchronizing literal which was refused: the peer did not wait for the
	// answer, so what it sent is the literal and not a command.
	ErrImpatient = errors.New("literal sent without waiting")
)

// ErrCancelled is the "*" with which a client gives up an AUTHENTICATE; the answer is BAD (RFC 3501 §6.2.2).
var ErrCancelled = errors.New("authentication cancelled")
