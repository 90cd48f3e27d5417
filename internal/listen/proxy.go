package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxied is a connection that came through a proxy: its addresses are those of the header.
type proxied struct {
	*proxyproto.Conn
}

// NetConn is the connection from the proxy. Bytes behind the header may be lost to who reads there.
func (p proxied) NetConn() net.Conn { return p.Raw() }

// readProxyHeader returns the connection as its client made it. From networks, a header (PROXY protocol, version 1 or 2)
// must come first and within timeout; from anywhere else, none is looked for. A proxy's own connections (LOCAL, UNKNOWN)
// keep the proxy's address.
func readProxyHeader(c net.Conn, networks []netip.Prefix, timeout time.Duration) (net.Conn, error) {
	if !contains(networks, AddressOf(c.RemoteAddr())) {
		return c, nil
	}
	conn := proxyproto.NewConn(c,
		proxyproto.WithPolicy(proxyproto.REQUIRE),
		proxyproto.ValidateHeader(requireTCP),
		proxyproto.SetReadHeaderTimeout(timeout))
	// A Read of nothing would wait for data behind the header; asking for the header does not, but hides the error.
	if conn.ProxyHeader() == nil {
		if _, err := conn.Write(nil); err != nil {
			return nil, fmt.Errorf("PROXY header from %v: %w", c.RemoteAddr(), err)
		}
	}
	return proxied{conn}, nil
}

// requireTCP refuses headers that claim a client which is not on TCP.
func requireTCP(h *proxyproto.Header) error {
	if h.Command.IsLocal() || h.SourceAddr == nil {
		return nil
	}
	if _, ok := h.SourceAddr.(*net.TCPAddr); !ok {
		return errors.New("client is not a TCP address")
	}
	return nil
}

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
