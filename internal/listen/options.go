package listen

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"postrider/internal/sandbox"
)

// options are what `postrider listen` is to do.
type options struct {
	sockets []socketSpec
	user    *identity // nil: as it is
	caps    *sandbox.Capabilities
	nnp     bool
	limits  []limitSpec
	umask   int // -1: as it is
	dir     string
	command []string
}

// identity is who the command runs as.
type identity struct {
	uid, gid uint32
	groups   []int
}

// socketSpec is one -socket.
type socketSpec struct {
	name string
	path string // of a Unix socket, else ""
	addr string // host:port

	mode     fs.FileMode // of a Unix socket
	uid, gid int         // its owner, -1: as it comes
}

// limitSpec is one -limit.
type limitSpec struct {
	name     string
	resource int
	value    uint64
}

// resources are the limits that -limit knows.
var resources = map[string]int{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "fsize": unix.RLIMIT_FSIZE, "memlock": unix.RLIMIT_MEMLOCK,
	"nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC,
}

// capabilities are those that -caps knows.
var capabilities = map[string]sandbox.Capabilities{
	"setuid": sandbox.SetUID, "setgid": sandbox.SetGID, "net_bind_service": sandbox.NetBindService,
}

const usage = `usage: postrider listen [-user USER] [-group GROUP] [-groups GROUP,...] [-caps CAP,...] [-nnp]
           [-limit NAME=N] [-umask MODE] [-dir DIR]
           -socket NAME=ADDRESS[,mode=MODE][,owner=USER:GROUP] ... -- COMMAND [ARGUMENT ...]
`

// texts are the values of flags before they are looked at.
type texts struct {
	user, group, groups, caps, umask, dir string
	groupsSet, capsSet, nnp               bool
	limits, sockets                       []string
}

func parseOptions(args []string) (options, error) {
	var t texts
	flags := flag.NewFlagSet("listen", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.StringVar(&t.user, "user", "", "")
	flags.StringVar(&t.group, "group", "", "")
	flags.StringVar(&t.groups, "groups", "", "")
	flags.StringVar(&t.caps, "caps", "", "")
	flags.BoolVar(&t.nnp, "nnp", false, "")
	flags.StringVar(&t.umask, "umask", "", "")
	flags.StringVar(&t.dir, "dir", "", "")
	collect := func(into *[]string) func(string) error {
		return func(value string) error { *into = append(*into, value); return nil }
	}
	flags.Func("limit", "", collect(&t.limits))
	flags.Func("socket", "", collect(&t.sockets))
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	flags.Visit(func(f *flag.Flag) {
		t.groupsSet = t.groupsSet || f.Name == "groups"
		t.capsSet = t.capsSet || f.Name == "caps"
	})
	return t.options(flags.Args())
}

func (t texts) options(command []string) (o options, err error) {
	o = options{nnp: t.nnp, dir: t.dir, umask: -1, command: command}
	if len(command) == 0 {
		return o, errors.New("no command")
	}
	if len(t.sockets) > maxInherited {
		return o, fmt.Errorf("more than %d sockets", maxInherited)
	}
	for _, text := range t.sockets {
		s, err := parseSocket(text)
		if err != nil {
			return o, fmt.Errorf("-socket %s: %w", text, err)
		}
		o.sockets = append(o.sockets, s)
	}
	for _, text := range t.limits {
		l, err := parseLimit(text)
		if err != nil {
			return o, fmt.Errorf("-limit %s: %w", text, err)
		}
		o.limits = append(o.limits, l)
	}
	if t.umask != "" {
		if o.umask, err = parseMode(t.umask); err != nil {
			return o, fmt.Errorf("-umask %s: %w", t.umask, err)
		}
	}
	if t.capsSet {
		if o.caps, err = parseCaps(t.caps); err != nil {
			return o, fmt.Errorf("-caps %s: %w", t.caps, err)
		}
	}
	o.user, err = t.identity()
	return o, err
}

// identity finds user, group and groups. A user alone brings the groups of /etc/passwd and /etc/group.
func (t texts) identity() (*identity, error) {
	if t.user == "" {
		if t.group != "" || t.groupsSet {
			return nil, errors.New("-group and -groups need -user")
		}
		return nil, nil
	}
	id := &identity{}
	uid, gid, supplementary, err := lookupUser(t.user)
	if err != nil {
		return nil, fmt.Errorf("-user: %w", err)
	}
	if t.group != "" {
		if gid, err = lookupGroup(t.group); err != nil {
			return nil, fmt.Errorf("-group: %w", err)
		}
	}
	if gid < 0 {
		return nil, fmt.Errorf("-user %s: unknown, so -group is needed", t.user)
	}
	id.uid, id.gid, id.groups = uint32(uid), uint32(gid), supplementary
	if t.groupsSet {
		id.groups = nil
		for _, name := range strings.FieldsFunc(t.groups, func(r rune) bool { return r == ',' }) {
			g, err := lookupGroup(name)
			if err != nil {
				return nil, fmt.Errorf("-groups: %w", err)
			}
			id.groups = append(id.groups, g)
		}
	}
	return id, nil
}

// lookupUser finds a user by name or number. A number that is nobody's has gid -1 and no groups.
func lookupUser(name string) (uid, gid int, groups []int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		n, convErr := parseID(name)
		if convErr != nil {
			return 0, 0, nil, err
		}
		if u, err = user.LookupId(name); err != nil {
			return n, -1, nil, nil
		}
	}
	if uid, err = parseID(u.Uid); err != nil {
		return 0, 0, nil, err
	}
	if gid, err = parseID(u.Gid); err != nil {
		return 0, 0, nil, err
	}
	texts, err := u.GroupIds()
	if err != nil {
		return 0, 0, nil, err
	}
	for _, text := range texts {
		g, err := parseID(text)
		if err != nil {
			return 0, 0, nil, err
		}
		if g != gid {
			groups = append(groups, g)
		}
	}
	slices.Sort(groups)
	return uid, gid, groups, nil
}

func lookupGroup(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if err == nil {
		return parseID(g.Gid)
	}
	if n, convErr := parseID(name); convErr == nil {
		return n, nil
	}
	return 0, err
}

// parseID reads a uid or gid; the highest number means "unchanged" to the kernel and is none.
func parseID(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, err
	}
	if n == 1<<32-1 {
		return 0, fmt.Errorf("%s is no id", text)
	}
	return int(n), nil
}

func parseMode(text string) (int, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 {
		return 0, errors.New("not an octal mode")
	}
	return int(n), nil
}

func parseCaps(text string) (*sandbox.Capabilities, error) {
	caps := new(sandbox.Capabilities)
	for _, name := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		c, ok := capabilities[strings.TrimPrefix(strings.ToLower(name), "cap_")]
		if !ok {
			return nil, fmt.Errorf("unknown capability %s", name)
		}
		*caps |= c
	}
	return caps, nil
}

func parseLimit(text string) (limitSpec, error) {
	name, value, _ := strings.Cut(text, "=")
	resource, ok := resources[name]
	if !ok {
		return limitSpec{}, errors.New("unknown limit")
	}
	if value == "unlimited" {
		return limitSpec{name, resource, unix.RLIM_INFINITY}, nil
	}
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil {
		return limitSpec{}, errors.New("not a number")
	}
	return limitSpec{name, resource, n}, nil
}

// parseSocket reads NAME=ADDRESS[,mode=MODE][,owner=USER:GROUP].
func parseSocket(text string) (socketSpec, error) {
	s := socketSpec{mode: 0o600, uid: -1, gid: -1}
	name, rest, ok := strings.Cut(text, "=")
	if !ok || name == "" || strings.ContainsAny(name, ":\n") {
		return s, errors.New("no name before =")
	}
	s.name = name
	fields := strings.Split(rest, ",")
	path, isUnix := strings.CutPrefix(fields[0], "unix:")
	switch {
	case isUnix && (!strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0)):
		return s, errors.New("not an absolute path")
	case isUnix:
		s.path = path
	case len(fields) > 1:
		return s, errors.New("mode and owner are for Unix sockets")
	case fields[0] == "":
		return s, errors.New("no address")
	default:
		s.addr = fields[0]
	}
	for _, field := range fields[1:] {
		if err := s.set(field); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *socketSpec) set(field string) error {
	key, value, _ := strings.Cut(field, "=")
	switch key {
	case "mode":
		mode, err := parseMode(value)
		if err != nil {
			return fmt.Errorf("mode %s: %w", value, err)
		}
		s.mode = fs.FileMode(mode)
		return nil
	case "owner":
		return s.setOwner(value)
	}
	return fmt.Errorf("unknown setting %s", key)
}

// setOwner reads USER, USER:GROUP or :GROUP.
func (s *socketSpec) setOwner(value string) error {
	userName, groupName, _ := strings.Cut(value, ":")
	if userName != "" {
		uid, _, _, err := lookupUser(userName)
		if err != nil {
			return fmt.Errorf("owner: %w", err)
		}
		s.uid = uid
	}
	if groupName != "" {
		gid, err := lookupGroup(groupName)
		if err != nil {
			return fmt.Errorf("owner: %w", err)
		}
		s.gid = gid
	}
	return nil
}

func (l limitSpec) apply() error {
	limit := syscall.Rlimit{Cur: l.value, Max: l.value}
	if err := syscall.Setrlimit(l.resource, &limit); err != nil {
		return fmt.Errorf("limit %s=%d: %w", l.name, l.value, err)
	}
	return nil
}
