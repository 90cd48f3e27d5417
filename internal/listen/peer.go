package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Cred is who connected to a Unix socket, at the time of connecting.
type Cred struct {
	UID, GID uint32
	PID      int32 // may be another process by now
}

// PeerCred asks the kernel who is at the other end of a connection over a Unix socket, also through a wrapper that has
// NetConn. A process in a user namespace that does not map the client sees uid 65534.
func PeerCred(c net.Conn) (Cred, error) {
	u, ok := Base(c).(*net.UnixConn)
	if !ok {
		return Cred{}, errors.New("peer credentials: not a Unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return Cred{}, fmt.Errorf("peer credentials: %w", err)
	}
	var cred *unix.Ucred
	var failure error
	err = raw.Control(func(fd uintptr) {
		cred, failure = unix.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err = errors.Join(err, failure); err != nil {
		return Cred{}, fmt.Errorf("peer credentials: %w", err)
	}
	return Cred{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}, nil
}

// Base is the connection under all wrappers: TLS, a PROXY header.
func Base(c net.Conn) net.Conn {
	for {
		wrapper, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = wrapper.NetConn()
	}
}

// client is whom a connection is counted for: an IPv4 address, the /64 of an IPv6 address, or a uid.
type client struct {
	network netip.Prefix
	uid     int64 // -1 unless over a Unix socket
}

func (c client) String() string {
	switch {
	case c.network.IsValid() && c.network.IsSingleIP():
		return c.network.Addr().String()
	case c.network.IsValid():
		return c.network.String()
	case c.uid >= 0:
		return "uid " + strconv.FormatInt(c.uid, 10)
	}
	return "unknown client"
}

// clientOf tells whom a connection is counted for. All of whom that cannot be told are one client.
func clientOf(c net.Conn) client {
	if cred, err := PeerCred(c); err == nil {
		return client{uid: int64(cred.UID)}
	}
	return client{network: Network(AddressOf(c.RemoteAddr())), uid: -1}
}

// Network is what clients are counted by: an IPv4 address, or the /64 of an IPv6 address, of which a client has the choice;
// loopback as it is. It is the zero Prefix for an invalid address.
func Network(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() && !ip.IsLoopback() {
		bits = 64
	}
	network, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}

// AddressOf is the IP address of a, with IPv4 as such wherever it comes in IPv6 clothes, and without zone.
func AddressOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}
