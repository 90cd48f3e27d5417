package auth

import (
	"fmt"
	"strconv"
)

// User is a mailbox's owner as authd knows it.
type User struct {
	Name     string // canonical: "alice", or "alice@example.org" for a virtual user
	UID, GID uint32
	Home     string // absolute
	Maildir  string // absolute; empty means Home/Maildir
	Quota    int64  // octets; 0 is none
}

// Line returns the ok line that describes the user.
func (u User) Line() Line {
	l := NewLine(OK).
		With("name", u.Name).
		With("uid", strconv.FormatUint(uint64(u.UID), 10)).
		With("gid", strconv.FormatUint(uint64(u.GID), 10)).
		With("home", u.Home)
	if u.Maildir != "" {
		l = l.With("maildir", u.Maildir)
	}
	if u.Quota != 0 {
		l = l.With("quota", strconv.FormatInt(u.Quota, 10))
	}
	return l
}

// ParseUser reads an ok line. Unknown keys are skipped, so that the server may be newer.
func ParseUser(l Line) (User, error) {
	var u User
	var err error
	if l.Verb != OK {
		return User{}, fmt.Errorf("%w: %s instead of ok", ErrSyntax, l.Verb)
	}
	u.Name, _ = l.Get("name")
	u.Home, _ = l.Get("home")
	u.Maildir, _ = l.Get("maildir")
	if u.UID, err = parseID(l, "uid"); err != nil {
		return User{}, err
	}
	if u.GID, err = parseID(l, "gid"); err != nil {
		return User{}, err
	}
	if q, ok := l.Get("quota"); ok {
		if u.Quota, err = strconv.ParseInt(q, 10, 64); err != nil || u.Quota < 0 {
			return User{}, fmt.Errorf("%w: bad quota", ErrSyntax)
		}
	}
	if u.Name == "" || u.Home == "" || u.Home[0] != '/' {
		return User{}, fmt.Errorf("%w: user without name or home", ErrSyntax)
	}
	return u, nil
}

// parseID reads a uid or gid. The all-ones value means "no change" to the kernel and is refused.
func parseID(l Line, key string) (uint32, error) {
	s, _ := l.Get(key)
	id, err := strconv.ParseUint(s, 10, 32)
	if err != nil || id == 1<<32-1 {
		return 0, fmt.Errorf("%w: bad %s", ErrSyntax, key)
	}
	return uint32(id), nil
}
