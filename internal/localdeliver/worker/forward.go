package worker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"postrider/internal/address"
	"postrider/internal/localdeliver/job"
)

// maxForward bounds a .forward file, in octets.
const maxForward = 64 << 10

// forward is what a .forward says.
type forward struct {
	addresses []string
	mailbox   bool // the user keeps a copy
}

// patientError is a reason to keep a message for as long as it takes: not the sender's business.
type patientError struct{ text string }

func (e *patientError) Error() string { return e.text }

// findForward reads the user's .forward+extension, or .forward. Without either the mailbox gets the mail.
func (w *Worker) findForward(j *job.Job) (*forward, error) {
	names := []string{".forward"}
	if usableExtension(j.Extension) && w.hello.Delimiter != "" {
		names = []string{".forward" + w.hello.Delimiter + strings.ToLower(j.Extension), ".forward"}
	}
	for _, name := range names {
		text, err := readForward(j.Home + "/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		f, err := parseForward(text, w.hello.MaxForwards, func(a address.Address) bool { return w.isOwn(a, j) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return f, nil
	}
	return &forward{mailbox: true}, nil
}

// usableExtension refuses extensions that would name another directory: senders choose them.
func usableExtension(ext string) bool {
	return ext != "" && len(ext) <= 64 && !strings.ContainsAny(ext, "/\x00") && ext[0] != '.'
}

// isOwn says whether an address is the user's own: then a copy stays here.
func (w *Worker) isOwn(a address.Address, j *job.Job) bool {
	if a.Domain == "" {
		a.Domain = w.hello.Origin
	}
	mine, err := address.Parse(j.Recipient)
	if err != nil {
		return false
	}
	if a.Key() == mine.Key() {
		return true
	}
	user, err := address.Parse(j.User)
	if err != nil || !strings.EqualFold(a.Local, user.Local) {
		return false
	}
	return a.Domain == user.Domain || user.Domain == "" && (a.Domain == mine.Domain || a.Domain == w.hello.Origin)
}

// userAddress is the user's own address, without an extension, as copies that the user sent on have it.
func (w *Worker) userAddress(j *job.Job) string {
	user, err := address.Parse(j.User)
	if err != nil {
		return j.Recipient
	}
	if user.Domain == "" {
		user.Domain = w.hello.Origin
	}
	return user.String()
}

// readForward reads a file that may decide over the user's mail: a regular one that nobody else can write to.
func readForward(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", cause(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", cause(err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return "", errors.New("not a regular file")
	case !ok || st.Uid != uint32(os.Geteuid()) && st.Uid != 0:
		return "", errors.New("owned by somebody else")
	case info.Mode().Perm()&0o022 != 0:
		return "", errors.New("writable for others")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxForward+1))
	if err != nil {
		return "", cause(err)
	}
	if len(text) > maxForward {
		return "", fmt.Errorf("longer than %d octets", maxForward)
	}
	return string(text), nil
}

// cause leaves out the path, which is the file that the caller names.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// parseForward reads members separated by commas and line ends, as in aliases(5). own tells the user's own addresses.
func parseForward(text string, limit int, own func(address.Address) bool) (*forward, error) {
	members, err := splitForward(text)
	if err != nil {
		return nil, err
	}
	if len(members) > limit {
		return nil, fmt.Errorf("more than %d members", limit)
	}
	f := &forward{mailbox: len(members) == 0}
	seen := make(map[string]bool)
	for _, member := range members {
		a, err := parseMember(member)
		if err != nil {
			return nil, err
		}
		switch {
		case own(a):
			f.mailbox = true
		case !seen[a.Key()]:
			seen[a.Key()] = true
			f.addresses = append(f.addresses, a.String())
		}
	}
	return f, nil
}

// parseMember reads `user@domain`, `<user@domain>`, `user` or `\user`.
func parseMember(member string) (address.Address, error) {
	plain := strings.TrimPrefix(member, `"`)
	switch {
	case strings.HasPrefix(plain, "|"):
		return address.Address{}, &patientError{"delivery to a command is not supported yet"}
	case strings.HasPrefix(plain, "/"):
		return address.Address{}, &patientError{"delivery to a file is not supported yet"}
	case len(plain) > 9 && strings.EqualFold(plain[:9], ":include:"):
		return address.Address{}, &patientError{":include: is not supported yet"}
	}
	text := strings.TrimPrefix(member, `\`)
	if strings.HasPrefix(text, "<") {
		a, rest, err := address.ParsePath(text)
		if err != nil || rest != "" || a.IsNull() {
			return a, fmt.Errorf("%.64q is not an address", member)
		}
		return a, nil
	}
	a, err := address.Parse(text)
	if err != nil || a.IsNull() {
		return a, fmt.Errorf("%.64q is not an address", member)
	}
	return a, nil
}

// splitForward takes the members apart. Lines that begin with # are comments; quotes protect commas, blanks and #.
func splitForward(text string) ([]string, error) {
	var members []string
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		quoted, escaped, start := false, false, 0
		for i := 0; i <= len(line); i++ {
			switch {
			case i == len(line) && quoted:
				return nil, fmt.Errorf("unterminated quote in %.64q", line)
			case i == len(line) || line[i] == ',' && !quoted:
				if m := strings.TrimSpace(line[start:i]); m != "" {
					members = append(members, m)
				}
				start = i + 1
			case escaped:
				escaped = false
			case line[i] == '\\' && quoted:
				escaped = true
			case line[i] == '"':
				quoted = !quoted
			}
		}
	}
	return members, nil
}
