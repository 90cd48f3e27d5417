package table

import (
	"path/filepath"
	"strconv"
	"strings"

	"postrider/internal/problem"
)

// Passwd are the users of the system, passwd(5).
type Passwd struct {
	file *file[map[string]User]
}

// NewPasswd reads the file when it is first asked for.
func NewPasswd(path string, o Options) *Passwd {
	return &Passwd{newFile(path, o, parsePasswd)}
}

// Lookup finds a user by name, or by the name in lower case. An error wraps ErrUnavailable.
func (p *Passwd) Lookup(name string) (User, bool, error) {
	s := p.file.get()
	if user, ok := s.entries[name]; ok {
		return user, true, nil
	}
	if user, ok := s.entries[strings.ToLower(name)]; ok {
		return user, true, nil
	}
	return User{}, false, s.err
}

// Load reads the file now and returns everything wrong with it.
func (p *Passwd) Load() problem.List { return p.file.load() }

// parsePasswd skips lines that it does not understand, as the C library does: the file is not ours, and a compat
// entry (+::::::) must not cost everybody's mail.
func parsePasswd(path, text string) (map[string]User, problem.List) {
	r := &reading{path: path}
	entries := make(map[string]User)
	for line := range strings.SplitSeq(text, "\n") {
		u, ok := passwdUser(line)
		if !ok {
			continue
		}
		if r.full(0) {
			break
		}
		for _, key := range []string{u.Name, strings.ToLower(u.Name)} {
			if _, taken := entries[key]; !taken {
				entries[key] = u
			}
		}
	}
	return entries, r.problems
}

func passwdUser(line string) (User, bool) {
	fields := strings.Split(line, ":")
	if len(fields) != 7 || fields[0] == "" || strings.ContainsAny(fields[0][:1], "#+-") || !filepath.IsAbs(fields[5]) {
		return User{}, false
	}
	uid, err := strconv.ParseUint(fields[2], 10, 32)
	if err != nil {
		return User{}, false
	}
	gid, err := strconv.ParseUint(fields[3], 10, 32)
	if err != nil {
		return User{}, false
	}
	return User{Name: fields[0], UID: uint32(uid), GID: uint32(gid), Home: fields[5], Maildir: filepath.Join(fields[5], "Maildir")}, true
}
