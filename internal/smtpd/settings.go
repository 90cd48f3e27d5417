package smtpd

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/reply"
)

// Names of the sockets that stand for more than their configuration says.
const (
	serviceLMTP     = "lmtp"
	serviceSubmit   = "submit"     // any process of this host
	serviceInternal = "submit.int" // the suite's own daemons
)

// Values of a service's tls.
const (
	startTLS    = "starttls"
	implicitTLS = "implicit"
)

// settings are one configuration, as sessions use it; never changed.
type settings struct {
	*config.Config
	resolver     Resolver
	services     map[string]*service
	loginTimeout time.Duration // of each response in a login
}

// service is the policy of one socket.
type service struct {
	config.Service
	name        string
	lmtp        bool
	internal    bool // submit.int
	local       bool // submit or submit.int: a process of this host, which may relay
	maxRcpts    int  // of a message, as clients name them
	maxExpanded int  // after alias expansion
	greeting    *reply.Reply
	hello       string // the lines of EHLO that are the same for every client
}

// maxLoginTimeout is the most that a client gets for a response in a login: programs give it, and at once.
const maxLoginTimeout = 30 * time.Second

func newSettings(c *config.Config, r Resolver) *settings {
	s := &settings{Config: c, resolver: r, services: make(map[string]*service)}
	s.loginTimeout = min(s.commandTimeout(), maxLoginTimeout)
	for name, policy := range c.SMTPD.Service {
		s.services[name] = newService(c, name, policy)
	}
	return s
}

func newService(c *config.Config, name string, policy config.Service) *service {
	v := &service{
		Service: policy, name: name, lmtp: name == serviceLMTP, internal: name == serviceInternal, maxRcpts: c.SMTPD.MaxRecipients,
	}
	v.local = IsLocal(name)
	if v.local { // sendmail -t has nowhere else to go with a long list
		v.maxRcpts *= localFactor
	}
	v.maxExpanded = min(expandFactor*v.maxRcpts, envelope.MaxRecipients)
	protocol := "ESMTP"
	if v.lmtp {
		protocol = "LMTP"
	}
	v.greeting = &reply.Reply{Code: 220, Text: c.Hostname + " " + protocol + " Postrider"}
	v.hello = v.keywords(c)
	return v
}

// IsLocal says that a service is for processes of this host only, which may send to anywhere.
func IsLocal(service string) bool { return service == serviceSubmit || service == serviceInternal }

// localFactor is how many times the recipients of others a process of this host may name.
const localFactor = 10

// keywords are the extensions that depend on nothing but the service (RFC 5321 §4.1.1.1).
func (v *service) keywords(c *config.Config) string {
	lines := []string{
		c.Hostname, "PIPELINING", fmt.Sprintf("SIZE %d", c.MessageSize), "8BITMIME", "SMTPUTF8", "CHUNKING", "DSN",
		"ENHANCEDSTATUSCODES", fmt.Sprintf("LIMITS RCPTMAX=%d", v.maxRcpts),
	}
	if v.internal {
		lines = append(lines, "XPARENT")
	}
	return strings.Join(lines, "\n")
}

// service finds the policy of a socket; one that the configuration does not name has that of port 25.
func (s *settings) service(name string) *service {
	if v := s.services[name]; v != nil {
		return v
	}
	return newService(s.Config, name, config.Service{})
}

func contains(nets []netip.Prefix, ip netip.Addr) bool {
	if !ip.IsValid() {
		return false
	}
	for _, n := range nets {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

func (s *settings) maxMessage() int64             { return int64(s.MessageSize) }
func (s *settings) commandTimeout() time.Duration { return time.Duration(s.SMTPD.CommandTimeout) }
func (s *settings) dataTimeout() time.Duration    { return time.Duration(s.SMTPD.DataTimeout) }

// handshakeTimeout bounds a TLS handshake.
func (s *settings) handshakeTimeout() time.Duration { return min(s.commandTimeout(), time.Minute) }
