// Package handover is what authd and a session process say to each other: authd first who the process is to serve and how
// (hello, again after each reload), then a line with a descriptor for each session; the process one answer to each of these, and
// a line at the end of each that it took.
//
// The process trusts what authd says. authd believes a process, which is its user's, about the sessions that it was given and
// nothing else.
package handover

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"postrider/internal/auth"
)

// Version is that of the dialogue. Both ends are one program.
const Version = "1"

// maxRoots and maxFolders bound what one hello brings.
const (
	maxRoots   = 2
	maxFolders = 16
)

// Hello is what a process serves by. A later one replaces it for the sessions that follow, all but the roots, to which the process
// is confined.
type Hello struct {
	Roots       []string // directories of the mail; homes below the first that are missing are made
	Log         string   // log_format
	IndexDir    string   // of the indexes of all users; "" = they lie with the mail
	Remote      bool     // mail lies on a filesystem where other hosts write, too
	Mount       string   // what the first root says it is, if the mail lies on a mount; "" = it need not
	MessageSize int64    // octets that APPEND may bring
	IMAPIdle    time.Duration
	POP3Idle    time.Duration
	Folders     []Folder
}

// Folder is a special-use folder (RFC 6154).
type Folder struct {
	Attr string // Drafts, Sent, …: the attribute without its backslash
	Name string
}

// Line returns the hello line.
func (h Hello) Line() auth.Line {
	l := auth.NewLine(auth.Hello).With("version", Version).With("log", h.Log).
		With("size", strconv.FormatInt(h.MessageSize, 10)).
		With("imapidle", seconds(h.IMAPIdle)).With("popidle", seconds(h.POP3Idle))
	if h.Remote {
		l = l.With("remote", "1")
	}
	if h.IndexDir != "" {
		l = l.With("indexes", h.IndexDir)
	}
	if h.Mount != "" {
		l = l.With("mount", h.Mount)
	}
	for _, root := range h.Roots {
		l = l.With("root", root)
	}
	for _, f := range h.Folders {
		l = l.With("special", f.Attr+":"+f.Name)
	}
	return l
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// ParseHello reads a hello line. Unknown keys are skipped.
func ParseHello(l auth.Line) (Hello, error) {
	r := reader{line: l, verb: auth.Hello}
	h := Hello{
		Log: r.optional("log"), Remote: r.optional("remote") != "", Mount: r.optional("mount"), IndexDir: r.optional("indexes"),
		MessageSize: r.number("size"),
		IMAPIdle:    time.Duration(r.number("imapidle")) * time.Second, POP3Idle: time.Duration(r.number("popidle")) * time.Second,
	}
	if v := r.text("version"); v != Version {
		r.fail("version %.20q", v)
	}
	for _, p := range l.Pairs {
		switch p.Key {
		case "root":
			h.Roots = append(h.Roots, p.Value)
			r.path(p.Value)
		case "special":
			attr, name, ok := strings.Cut(p.Value, ":")
			if !ok || attr == "" || name == "" {
				r.fail("bad folder")
			}
			h.Folders = append(h.Folders, Folder{attr, name})
		}
	}
	if len(h.Roots) == 0 || len(h.Roots) > maxRoots || len(h.Folders) > maxFolders {
		r.fail("%d roots, %d folders", len(h.Roots), len(h.Folders))
	}
	return h, r.err
}

// Session is a connection that a process is to serve.
type Session struct {
	Number  uint64 // by which both ends call it; authd's
	ID      string // in logs; the front's
	Service string // imap, pop3
	User    string
	Home    string
	Maildir string
	Quota   int64  // octets; 0 = the user database has none
	Tag     string // of the command to be answered
}

// Line returns the session line.
func (s Session) Line() auth.Line {
	l := auth.NewLine(auth.Begin).With("id", number(s.Number)).With("session", s.ID).With("service", s.Service).
		With("name", s.User).With("home", s.Home).With("maildir", s.Maildir)
	if s.Quota != 0 {
		l = l.With("quota", strconv.FormatInt(s.Quota, 10))
	}
	if s.Tag != "" {
		l = l.With("tag", s.Tag)
	}
	return l
}

// ParseSession reads a session line.
func ParseSession(l auth.Line) (Session, error) {
	r := reader{line: l, verb: auth.Begin}
	s := Session{
		Number: uint64(r.number("id")), ID: r.text("session"), Service: r.text("service"), User: r.text("name"),
		Home: r.text("home"), Maildir: r.text("maildir"), Tag: r.optional("tag"),
	}
	if r.optional("quota") != "" {
		s.Quota = r.number("quota")
	}
	r.path(s.Home)
	r.path(s.Maildir)
	return s, r.err
}

// Answer is what a process says of a session: auth.OK, auth.No, auth.Later with a reason, or auth.End.
type Answer struct {
	Verb   auth.Verb
	Number uint64
	Reason string // of later
}

// Line returns the answer's line. A long reason is cut.
func (a Answer) Line() auth.Line {
	l := auth.NewLine(a.Verb)
	if a.Verb == auth.Later {
		l = auth.NewLine(a.Verb, a.Reason[:min(len(a.Reason), maxReason)])
	}
	return l.With("id", number(a.Number))
}

// maxReason leaves a line room, however the reason is escaped.
const maxReason = 1000

// ParseAnswer reads an answer.
func ParseAnswer(l auth.Line) (Answer, error) {
	a := Answer{Verb: l.Verb}
	switch l.Verb {
	case auth.OK, auth.No, auth.End:
	case auth.Later:
		a.Reason = l.Words[0][:min(len(l.Words[0]), maxReason)]
	default:
		return Answer{}, fmt.Errorf("%w: %s from a session process", auth.ErrSyntax, l.Verb)
	}
	r := reader{line: l, verb: l.Verb}
	a.Number = uint64(r.number("id"))
	return a, r.err
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// reader takes values out of a line and keeps the first error.
type reader struct {
	line auth.Line
	verb auth.Verb
	err  error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s: %s", auth.ErrSyntax, r.verb, fmt.Sprintf(format, args...))
	}
}

func (r *reader) optional(key string) string {
	if r.line.Verb != r.verb {
		r.fail("%s instead", r.line.Verb)
	}
	value, _ := r.line.Get(key)
	return value
}

func (r *reader) text(key string) string {
	value := r.optional(key)
	if value == "" {
		r.fail("no %s", key)
	}
	return value
}

func (r *reader) number(key string) int64 {
	n, err := strconv.ParseInt(r.text(key), 10, 64)
	if err != nil || n < 0 {
		r.fail("bad %s", key)
	}
	return n
}

func (r *reader) path(path string) {
	if path == "" || path[0] != '/' {
		r.fail("%.60q is no absolute path", path)
	}
}
