package table

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/internal/problem"
)

// User owns a mailbox.
type User struct {
	Name    string // as in the table, case-folded: alice or alice@example.org
	UID     uint32
	GID     uint32
	Home    string
	Maildir string            // the mailbox; Home/Maildir unless an option says otherwise
	Quota   int64             // bytes; 0 = none
	Options map[string]string // all options of the line
}

// Owner is a uid with its group.
type Owner struct{ UID, GID uint32 }

// Accounts is what the users table needs to know about the host.
type Accounts struct {
	MailboxUser   string // owner of mailboxes that name none
	MailRoot      string // above the homes that are not named: MailRoot/domain/local
	Origin        string // domain of names without one, for that path
	FirstValidUID uint32
	Own           *Owner // single_uid: owner of mailboxes that name none

	LookupUser  func(name string) (*user.User, error)  // default user.Lookup
	LookupGroup func(name string) (*user.Group, error) // default user.LookupGroup
}

// Users are the mailboxes of the users table: `name:uid:gid:home:quota:options`.
type Users struct {
	file *file[map[string]User]
}

// NewUsers reads the table when it is first asked for.
func NewUsers(path string, accounts Accounts, o Options) *Users {
	return &Users{newFile(path, o, func(path, text string) (map[string]User, problem.List) {
		return parseUsers(path, text, accounts)
	})}
}

// Lookup finds `alice` or `alice@example.org` (Address.Key()). An error wraps ErrUnavailable.
func (u *Users) Lookup(key string) (User, bool, error) {
	s := u.file.get()
	if user, ok := s.entries[key]; ok {
		return user, true, nil
	}
	return User{}, false, s.err
}

// All yields every user, in no order.
func (u *Users) All() iter.Seq[User] { return maps.Values(u.file.get().entries) }

// Load reads the table now and returns everything wrong with it.
func (u *Users) Load() problem.List { return u.file.load() }

func parseUsers(path, text string, accounts Accounts) (map[string]User, problem.List) {
	r := &reading{path: path}
	ids := &identities{Accounts: accounts, users: make(map[string]*user.User), groups: make(map[string]*user.Group)}
	entries, lines := make(map[string]User), make(map[string]int)
	for line, text := range r.lines(text, false) {
		u, err := parseUser(text, ids)
		if err != nil {
			r.fail(line, "%v", err)
			continue
		}
		if before, ok := lines[u.Name]; ok {
			r.fail(line, "%s is defined in line %d already", u.Name, before)
			continue
		}
		entries[u.Name], lines[u.Name] = u, line
	}
	return entries, r.problems
}

// parseUser reads one line; empty fields at its end may be left out.
func parseUser(line string, ids *identities) (User, error) {
	fields := strings.Split(line, ":")
	if len(fields) > 6 {
		return User{}, fmt.Errorf("%d fields, expected name:uid:gid:home:quota:options", len(fields))
	}
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	fields = append(fields, make([]string, 6-len(fields))...)
	name, err := userName(fields[0])
	if err != nil {
		return User{}, err
	}
	u := User{Name: name.Key(), Home: fields[3]}
	if err := ids.assign(&u, fields[1], fields[2]); err != nil {
		return User{}, fmt.Errorf("%s: %w", u.Name, err)
	}
	if err := u.place(name, ids.Accounts); err != nil {
		return User{}, fmt.Errorf("%s: %w", u.Name, err)
	}
	if fields[4] != "" {
		var quota config.Size
		if err := quota.UnmarshalText([]byte(fields[4])); err != nil {
			return User{}, fmt.Errorf("%s: quota: %w", u.Name, err)
		}
		u.Quota = int64(quota)
	}
	if err := u.options(fields[5]); err != nil {
		return User{}, fmt.Errorf("%s: %w", u.Name, err)
	}
	return u, nil
}

// userName checks a name, parts of which become directories.
func userName(text string) (address.Address, error) {
	a, err := address.Parse(text)
	switch {
	case err != nil:
		return a, err
	case strings.HasPrefix(a.Domain, "["):
		return a, fmt.Errorf("%s: an address literal cannot have users", a)
	case a.Local == "" || a.Local[0] == '.' || strings.ContainsAny(a.Local, "/\\\"") || strings.ContainsFunc(a.Local, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return a, fmt.Errorf("%.64q is not a user name", a.Local)
	}
	return a, nil
}

// place fills in the home that is not named.
func (u *User) place(name address.Address, accounts Accounts) error {
	if u.Home == "" {
		domain := name.Domain
		if domain == "" {
			domain = accounts.Origin
		}
		u.Home = filepath.Join(accounts.MailRoot, domain, strings.ToLower(name.Local))
	}
	if !filepath.IsAbs(u.Home) {
		return fmt.Errorf("home %q is not an absolute path", u.Home)
	}
	u.Maildir = filepath.Join(u.Home, "Maildir")
	return nil
}

// options reads `key=value,key`.
func (u *User) options(text string) error {
	if text == "" {
		return nil
	}
	u.Options = make(map[string]string)
	for option := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(option), "=")
		switch key {
		case "maildir":
			if value == "" {
				return errors.New("option maildir needs a path")
			}
			u.Maildir = value
			if !filepath.IsAbs(value) {
				u.Maildir = filepath.Join(u.Home, value)
			}
		default:
			return fmt.Errorf("unknown option %.40q", key)
		}
		u.Options[key] = value
	}
	return nil
}

// identities resolves names of users and groups, each once per reading of a table.
type identities struct {
	Accounts
	users  map[string]*user.User
	groups map[string]*user.Group
}

// assign sets the uid and gid from their fields.
func (ids *identities) assign(u *User, uid, gid string) error {
	if ids.Own != nil && uid == "" {
		u.UID, u.GID = ids.Own.UID, ids.Own.GID
		return ids.group(u, gid)
	}
	if uid == "" {
		uid = ids.MailboxUser
	}
	if n, err := strconv.ParseUint(uid, 10, 32); err == nil {
		u.UID = uint32(n)
		if gid == "" {
			return fmt.Errorf("uid %d needs a gid", n)
		}
	} else {
		account, err := ids.account(uid)
		if err != nil {
			return err
		}
		if u.UID, u.GID, err = numbers(account); err != nil {
			return err
		}
	}
	if err := ids.group(u, gid); err != nil {
		return err
	}
	if ids.Own == nil && (u.UID == 0 || u.UID < ids.FirstValidUID && !ids.isMailboxUser(u.UID)) {
		return fmt.Errorf("uid %d is below first_valid_uid = %d", u.UID, ids.FirstValidUID)
	}
	return nil
}

// isMailboxUser says whether a uid is the mailbox user's, which packages make as a system user.
func (ids *identities) isMailboxUser(uid uint32) bool {
	account, err := ids.account(ids.MailboxUser)
	if err != nil {
		return false
	}
	id, _, err := numbers(account)
	return err == nil && id == uid
}

func (ids *identities) group(u *User, gid string) error {
	if gid == "" {
		return nil
	}
	if n, err := strconv.ParseUint(gid, 10, 32); err == nil {
		u.GID = uint32(n)
		return nil
	}
	group, ok := ids.groups[gid]
	if !ok {
		lookup := ids.LookupGroup
		if lookup == nil {
			lookup = user.LookupGroup
		}
		group, _ = lookup(gid)
		ids.groups[gid] = group
	}
	if group == nil {
		return fmt.Errorf("there is no group %s", gid)
	}
	n, err := strconv.ParseUint(group.Gid, 10, 32)
	u.GID = uint32(n)
	return err
}

func (ids *identities) account(name string) (*user.User, error) {
	account, ok := ids.users[name]
	if !ok {
		lookup := ids.LookupUser
		if lookup == nil {
			lookup = user.Lookup
		}
		account, _ = lookup(name)
		ids.users[name] = account
	}
	if account == nil && name == ids.MailboxUser {
		if _, err := strconv.ParseUint(name, 10, 32); err == nil { // a uid that has no name here, and the gid
			return &user.User{Uid: name, Gid: name}, nil
		}
		return nil, fmt.Errorf("there is no user %s (mailbox_user)", name)
	}
	if account == nil {
		return nil, fmt.Errorf("there is no user %s", name)
	}
	return account, nil
}

func numbers(account *user.User) (uid, gid uint32, err error) {
	u, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return 0, 0, err
	}
	g, err := strconv.ParseUint(account.Gid, 10, 32)
	return uint32(u), uint32(g), err
}
