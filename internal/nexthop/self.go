package nexthop

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"postrider/internal/config"
)

// New makes the Finder of a configuration, with the addresses of this host's interfaces.
func New(c *config.Config, r Resolver) *Finder {
	names := []string{c.Hostname}
	if c.Relayd.Hello != "" {
		names = append(names, c.Relayd.Hello)
	}
	return &Finder{
		Resolver: r,
		Self:     Self{Names: names, Addrs: new(interfaces).addrs},
		Port:     c.Relayd.Port,
		Family:   c.Relayd.Addresses,
		Inner:    c.Relayd.AllowLoopback,
	}
}

// interfacesFor is how late a new address of this host is noticed.
const interfacesFor = 10 * time.Second

// interfaces are the addresses of this host.
type interfaces struct {
	mu    sync.Mutex
	known []netip.Addr
	read  time.Time
}

// addrs are the addresses now. Where the kernel does not tell, there are none: a host that calls itself by our name is found to be
// us all the same.
func (i *interfaces) addrs() []netip.Addr {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.read.IsZero() && time.Since(i.read) < interfacesFor {
		return i.known
	}
	i.read = time.Now()
	list, err := net.InterfaceAddrs()
	if err != nil {
		return i.known
	}
	i.known = nil
	for _, a := range list {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			i.known = append(i.known, prefix.Addr().Unmap())
		}
	}
	return i.known
}
