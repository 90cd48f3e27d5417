package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"
	"unicode"

	"postrider/internal/auth"
	"postrider/internal/logline"
	"postrider/internal/password"
)

// questionTimeout is how long a child waits for its question.
const questionTimeout = 10 * time.Second

// maxName bounds user names.
const maxName = 256

// errRefused is PAM's no.
var errRefused = errors.New("refused")

// answerOne answers the question on f and returns the exit status.
func answerOne(f *os.File, firstValidUID uint32, log *logline.Logger) int {
	time.AfterFunc(childTimeout, func() { os.Exit(1) }) // also if the server is gone
	c, err := net.FileConn(f)
	if err != nil {
		log.Error("descriptor 0 is no connection: %v", err)
		return 1
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(questionTimeout))
	question, err := auth.ReadLine(auth.NewReader(c))
	if err != nil {
		log.Warn("question: %v", err)
		return 1
	}
	a := answerer{firstValidUID: firstValidUID, lookup: user.Lookup, verify: verify, log: log}
	answer := a.answer(question)
	c.SetDeadline(time.Now().Add(questionTimeout))
	if err := auth.WriteLine(c, answer); err != nil {
		log.Warn("answer: %v", err)
		return 1
	}
	return 0
}

// answerer knows where to ask.
type answerer struct {
	firstValidUID uint32
	lookup        func(name string) (*user.User, error)
	verify        func(name, password, rip string) (canonical string, err error) // errRefused is no, another error later
	log           *logline.Logger
}

func (a answerer) answer(q auth.Line) auth.Line {
	switch q.Verb {
	case auth.Who:
		return a.who(q.Words[0])
	case auth.Check:
		return a.check(q.Words[1], q.Words[2], q.Words[3])
	}
	return auth.NewLine(auth.Later, "unknown question")
}

// who finds a user through NSS.
func (a answerer) who(name string) auth.Line {
	if !validName(name) {
		return auth.NewLine(auth.No)
	}
	found, err := a.lookup(name)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
		return auth.NewLine(auth.No)
	}
	if err != nil {
		a.log.Error("look up a user: %v", err)
		return auth.NewLine(auth.Later, "user lookup failed")
	}
	u, err := convert(found)
	if err != nil {
		a.log.Error("user %s: %v", found.Username, err)
		return auth.NewLine(auth.Later, "user cannot be used")
	}
	return u.Line()
}

// check asks PAM about a password, and NSS about the user whom PAM names.
func (a answerer) check(rip, name, pw string) auth.Line {
	if _, err := netip.ParseAddr(rip); err != nil {
		rip = ""
	}
	if !validName(name) || pw == "" || len(pw) > password.MaxPassword || strings.Contains(pw, "\x00") {
		return auth.NewLine(auth.No)
	}
	canonical, err := a.verify(name, pw, rip)
	if errors.Is(err, errRefused) {
		return auth.NewLine(auth.No)
	}
	if err != nil {
		a.log.Error("PAM: %v", err)
		return auth.NewLine(auth.Later, "PAM cannot tell")
	}
	answer := a.who(canonical)
	if answer.Verb != auth.OK {
		return answer
	}
	if u, err := auth.ParseUser(answer); err != nil || u.UID < a.firstValidUID {
		return auth.NewLine(auth.No)
	}
	return answer
}

// validName refuses what no account is called and a module might misread.
func validName(name string) bool {
	return name != "" && len(name) <= maxName && name[0] != '-' && !strings.ContainsFunc(name, func(r rune) bool {
		return r == ':' || r == '/' || r == unicode.ReplacementChar || unicode.IsControl(r) || unicode.IsSpace(r)
	})
}

func convert(u *user.User) (auth.User, error) {
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return auth.User{}, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return auth.User{}, err
	}
	if !strings.HasPrefix(u.HomeDir, "/") {
		return auth.User{}, errors.New("no home directory")
	}
	return auth.User{Name: u.Username, UID: uint32(uid), GID: uint32(gid), Home: u.HomeDir}, nil
}
