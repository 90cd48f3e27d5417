package password

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"postrider/internal/problem"
)

// Bounds of the passwords table.
const (
	maxName    = 320 // octets: a local part of 64, @, a domain of 255
	maxLabel   = 64
	maxLine    = 4 << 10
	maxSecrets = 4
	// MaxPerUser is the number of lines that one user may have. All of them may be tried at a login.
	MaxPerUser = 16
)

// services are what a password can be limited to.
var services = []string{"smtp", "imap", "pop3"}

// Entry is one line: one password of one user, stored in one or several forms.
type Entry struct {
	Name     string   // lower case: "alice" or "alice@example.org"
	Label    string   // tells the passwords of one user apart; may be empty
	Services []string // nil is all
	Secrets  []Secret // of the same password, at least one
}

// Allows says whether the password may be used for a service.
func (e Entry) Allows(service string) bool {
	return e.Services == nil || slices.Contains(e.Services, service)
}

// Verify says whether this is the password. Only the first secret is tried, since all are of one password.
func (e Entry) Verify(password string) bool { return e.Secrets[0].Verify(password) }

// SCRAM returns the SCRAM keys of the password.
func (e Entry) SCRAM() (SCRAM, bool) {
	for _, s := range e.Secrets {
		if k, ok := s.(SCRAM); ok {
			return k, true
		}
	}
	return SCRAM{}, false
}

// String is the line as it stands in the table.
func (e Entry) String() string {
	list := "*"
	if e.Services != nil {
		list = strings.Join(e.Services, ",")
	}
	secrets := make([]string, len(e.Secrets))
	for i, s := range e.Secrets {
		secrets[i] = s.String()
	}
	return e.Name + ":" + e.Label + ":" + list + ":" + strings.Join(secrets, " ")
}

// ParseEntry reads `name:label:services:secret [secret...]`. Its errors quote no field behind the name: where fields are
// mixed up, each may hold a password.
func ParseEntry(line string) (Entry, error) {
	if len(line) > maxLine {
		return Entry{}, badFormat("line longer than %d octets", maxLine)
	}
	f := strings.SplitN(line, ":", 4)
	if len(f) != 4 {
		return Entry{}, badFormat("expected name:label:services:secret")
	}
	e := Entry{Name: strings.ToLower(f[0]), Label: f[1]}
	if err := CheckName(f[0]); err != nil {
		return Entry{}, err
	}
	if err := CheckLabel(e.Label); err != nil {
		return Entry{}, err
	}
	var err error
	if e.Services, err = ParseServices(f[2]); err != nil {
		return Entry{}, err
	}
	secrets := strings.Fields(f[3])
	if len(secrets) == 0 || len(secrets) > maxSecrets {
		return Entry{}, badFormat("%d secrets: expected 1 to %d", len(secrets), maxSecrets)
	}
	for _, text := range secrets {
		s, err := ParseSecret(text)
		if err != nil {
			return Entry{}, err
		}
		e.Secrets = append(e.Secrets, s)
	}
	return e, nil
}

// CheckName refuses what cannot be the first field of a line.
func CheckName(name string) error {
	if name == "" || len(name) > maxName || name[0] == '#' || !clean(name) {
		return badFormat("user name %.40q", name)
	}
	return nil
}

// CheckLabel refuses what cannot be a label.
func CheckLabel(label string) error {
	if len(label) > maxLabel || !clean(label) {
		return badFormat("label with a blank or colon, or longer than %d octets", maxLabel)
	}
	return nil
}

func clean(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r == ':' || unicode.IsSpace(r) || unicode.IsControl(r)
	})
}

// ParseServices reads `*` or a comma-separated list; * is nil.
func ParseServices(s string) ([]string, error) {
	if s == "*" {
		return nil, nil
	}
	list := strings.Split(s, ",")
	for i, name := range list {
		if !slices.Contains(services, name) || slices.Contains(list[:i], name) {
			return nil, badFormat("services: expected * or some of %s", strings.Join(services, ","))
		}
	}
	return list, nil
}

// Parse reads the whole table. Each line that cannot be used is reported and left out: the others count, so that a typing
// error locks out one user and a removed password is gone.
func Parse(path, text string) (map[string][]Entry, problem.List) {
	entries := make(map[string][]Entry)
	var problems problem.List
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := ParseEntry(line)
		if err == nil {
			err = fits(entries[e.Name], e)
		}
		if err != nil {
			problems.Add(path, number, "%v", err)
			continue
		}
		entries[e.Name] = append(entries[e.Name], e)
	}
	return entries, problems
}

// fits says whether e can stand beside the user's other lines.
func fits(others []Entry, e Entry) error {
	if len(others) >= MaxPerUser {
		return fmt.Errorf("more than %d passwords of %s", MaxPerUser, e.Name)
	}
	for _, o := range others {
		if o.Label == e.Label {
			return fmt.Errorf("second password of %s with the label %q", e.Name, e.Label)
		}
	}
	return nil
}
