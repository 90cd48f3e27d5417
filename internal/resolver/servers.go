package resolver

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What a resolv.conf(5) means where it is silent, and the most that it may say.
const (
	defaultTimeout  = 5 * time.Second
	defaultAttempts = 2

	maxServers  = 3
	maxTimeout  = 30 // seconds
	maxAttempts = 5
	maxConfSize = 64 << 10

	confEvery = time.Second // between looks at the file
)

// upstream is whom to ask, and how. Only preferred changes.
type upstream struct {
	servers  []netip.AddrPort
	timeout  time.Duration
	attempts int
	trusted  bool  // the AD bit counts
	err      error // why there are no servers

	preferred atomic.Int32 // the server that answered last
}

// budget is the longest that one question may take.
func (u *upstream) budget() time.Duration {
	return time.Duration(u.attempts*len(u.servers)) * u.timeout
}

// servers are the upstream of now.
type servers struct {
	options Options

	mu      sync.Mutex
	now     *upstream
	file    os.FileInfo // of the resolv.conf that was read; nil if there was none
	checked time.Time   // zero if there is none to read
}

func newServers(o Options) *servers {
	s := &servers{options: o}
	if o.Server == "" {
		return s
	}
	s.now = &upstream{timeout: defaultTimeout, attempts: defaultAttempts}
	if addr, err := netip.ParseAddrPort(o.Server); err != nil {
		s.now.err = fmt.Errorf("DNS server %.100q is not an address with a port", o.Server)
	} else {
		s.now.servers = []netip.AddrPort{addr}
	}
	s.apply(s.now)
	return s
}

// current looks whether the file has changed, at most each second.
func (s *servers) current() *upstream {
	if s.options.Server != "" {
		return s.now
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil && time.Since(s.checked) < confEvery {
		return s.now
	}
	s.checked = time.Now()
	file, err := os.Stat(s.options.Conf)
	if s.now != nil && (err != nil || s.file != nil && sameContent(file, s.file)) {
		return s.now // a file that is just being replaced changes nothing
	}
	now, err := readConf(s.options.Conf)
	if err != nil && s.now != nil {
		return s.now
	}
	s.apply(now)
	s.now, s.file = now, file
	return now
}

func sameContent(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// apply lets options go before the file, and decides whom to trust.
func (s *servers) apply(u *upstream) {
	if s.options.Timeout > 0 {
		u.timeout = s.options.Timeout
	}
	if s.options.Attempts > 0 {
		u.attempts = s.options.Attempts
	}
	remote := slices.ContainsFunc(u.servers, func(a netip.AddrPort) bool { return !a.Addr().Unmap().IsLoopback() })
	u.trusted = u.trusted || s.options.Trust || !remote
}

// readConf reads a resolv.conf(5). Without a file, or with one that names no server, it is the server of this host; then err
// says what is wrong with the file.
func readConf(path string) (*upstream, error) {
	text, err := readFile(path)
	u := &upstream{timeout: defaultTimeout, attempts: defaultAttempts}
	for line := range strings.Lines(string(text)) {
		switch f := strings.Fields(line); {
		case len(f) < 2:
		case f[0] == "nameserver":
			if addr, err := netip.ParseAddr(f[1]); err == nil && len(u.servers) < maxServers {
				u.servers = append(u.servers, netip.AddrPortFrom(addr, 53))
			}
		case f[0] == "options":
			for _, option := range f[1:] {
				u.setOption(option)
			}
		}
	}
	if len(u.servers) == 0 {
		u.servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}
	}
	return u, err
}

// setOption takes the options that mean something here.
func (u *upstream) setOption(option string) {
	name, value, _ := strings.Cut(option, ":")
	n, err := strconv.Atoi(value)
	switch {
	case option == "trust-ad":
		u.trusted = true
	case name == "timeout" && err == nil:
		u.timeout = time.Duration(max(1, min(n, maxTimeout))) * time.Second
	case name == "attempts" && err == nil:
		u.attempts = max(1, min(n, maxAttempts))
	}
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxConfSize))
}
