package config

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postrider/internal/address"
	"postrider/internal/hop"
)

// TLSLevels are what may be demanded of the TLS of a hop, from nothing to everything.
var TLSLevels = []string{"none", "may", "encrypt", "verify", "verify-mx"}

// validator checks values that have the right type; each problem carries the line of its key.
type validator struct {
	file     string
	lines    map[string]int
	problems Problems
}

func (v *validator) fail(key, format string, args ...any) {
	v.problems.Add(v.file, v.lines[key], key+": "+format, args...)
}

func (v *validator) warn(key, format string, args ...any) {
	v.problems.Warn(v.file, v.lines[key], key+": "+format, args...)
}

func (v *validator) config(c *Config) {
	v.version(c.Version)
	v.names(c)
	v.places(c)
	v.oneOf("mailq_users", c.MailqUsers, "own", "any")
	v.delimiter(c.RecipientDelimiter)
	v.size("message_size", c.MessageSize, 1<<10, 2<<30) // the spool reads files of up to 4 GiB
	v.resolver(c.Resolver)
	v.oneOf("log_format", c.LogFormat, "text", "syslog", "json")
	v.tables(&c.Tables)
	v.tls(&c.TLS)
	v.smtpd(&c.SMTPD)
	v.localdeliver(&c.LocalDeliver)
	v.relayd(&c.Relayd)
	v.authd(&c.Authd)
	v.front("imapd", &c.IMAPD, 30*time.Minute)
	v.front("pop3d", &c.POP3D, 10*time.Minute)
	v.folders(&c.Folders)
}

func (v *validator) version(n int) {
	switch {
	case v.lines["version"] == 0:
		v.problems.Warn(v.file, 0, `no version; put "version = 1" on the first line, so that later releases read the file as it is meant`)
	case n < 1:
		v.fail("version", "must be 1")
	case n > 1:
		v.fail("version", "%d is newer than this program, which knows version 1", n)
	}
}

func (v *validator) names(c *Config) {
	v.domain("hostname", c.Hostname)
	v.domain("origin", c.Origin)
	if !strings.Contains(c.Hostname, ".") {
		v.warn("hostname", "%q has no domain; other hosts may refuse it (RFC 5321 §2.3.5)", c.Hostname)
	}
	if c.FirstValidUID == 0 {
		v.fail("first_valid_uid", "must be at least 1: nothing is ever delivered as root")
	}
	v.account("mailbox_user", c.MailboxUser)
	for _, name := range c.Admins {
		v.account("admins", name)
	}
}

func (v *validator) domain(key, name string) {
	if canonical, err := address.Domain(name); err != nil || canonical[0] == '[' {
		v.fail(key, "%q is not a domain name", name)
	} else if canonical != name {
		v.fail(key, "write %q as %q", name, canonical)
	}
}

func (v *validator) account(key, name string) {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == ':' || r == 0x7f }) {
		v.fail(key, "%q is not a user name", name)
	}
}

func (v *validator) places(c *Config) {
	v.path("spool_dir", c.SpoolDir)
	v.path("run_dir", c.RunDir)
	v.path("state_dir", c.StateDir)
	v.path("mail_root", c.MailRoot)
	v.optionalPath("index_dir", c.IndexDir)
	if strings.ContainsAny(c.MailstoreID, "\r\n") || len(c.MailstoreID) > 255 {
		v.fail("mailstore_id", "%.80q is not a line of at most 255 octets", c.MailstoreID)
	}
}

func (v *validator) path(key, path string) {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		v.fail(key, "%q is not an absolute path", path)
	}
}

func (v *validator) optionalPath(key, path string) {
	if path != "" {
		v.path(key, path)
	}
}

// delimiter refuses what means something else in an address or is part of common names.
func (v *validator) delimiter(delims string) {
	for _, r := range delims {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`@%!"()<>[]:;,\./`, r) ||
			'0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' {
			v.fail("recipient_delimiter", "%q cannot delimit an extension", r)
		}
	}
}

func (v *validator) resolver(server string) {
	if server == "" {
		return
	}
	if _, err := netip.ParseAddrPort(server); err != nil {
		v.fail("resolver", "%q is not an address with a port such as 127.0.0.1:53", server)
	}
}

func (v *validator) tables(t *Tables) {
	for _, path := range t.Aliases {
		v.path("tables.aliases", path)
	}
	v.optionalPath("tables.users", t.Users)
	v.optionalPath("tables.passwords", t.Passwords)
	v.optionalPath("tables.domains", t.Domains)
	v.optionalPath("tables.virtual", t.Virtual)
	v.optionalPath("tables.passwd", t.Passwd)
	v.optionalPath("tables.transport", t.Transport)
	v.optionalPath("tables.tls_policy", t.TLSPolicy)
	v.optionalPath("tables.relay_auth", t.RelayAuth)
}

func (v *validator) tls(t *TLS) {
	v.optionalPath("tls.certificate", t.Certificate)
	v.optionalPath("tls.key", t.Key)
	switch {
	case t.Certificate == "" && t.Key != "":
		v.fail("tls.key", "needs tls.certificate")
	case t.Certificate != "" && t.Key == "":
		v.fail("tls.certificate", "needs tls.key")
	}
	v.oneOf("tls.min_version", t.MinVersion, "1.2", "1.3")
}

func (v *validator) smtpd(s *SMTPD) {
	v.prefixes("smtpd.relay_networks", s.RelayNetworks, true)
	v.prefixes("smtpd.xclient_networks", s.XClientNetworks, true)
	v.prefixes("smtpd.proxy_networks", s.ProxyNetworks, false)
	v.between("smtpd.max_recipients", s.MaxRecipients, 1, 10_000) // ten times as many on submit, which envelopes must hold
	if s.MaxRecipients >= 1 && s.MaxRecipients < 100 {
		v.warn("smtpd.max_recipients", "senders may count on 100 (RFC 5321 §4.5.3.1.8)")
	}
	v.between("smtpd.max_errors", s.MaxErrors, 1, 1000)
	v.between("smtpd.max_hops", s.MaxHops, 1, 1000)
	v.between("smtpd.max_connections", s.MaxConnections, 1, 1_000_000)
	v.between("smtpd.max_per_client", s.MaxPerClient, 1, 1_000_000)
	v.span("smtpd.command_timeout", s.CommandTimeout, time.Hour)
	v.span("smtpd.data_timeout", s.DataTimeout, time.Hour)
	for _, name := range sortedNames(s.Service) {
		v.service(name, s.Service[name])
	}
}

// prefixes refuses the whole internet where being inside gives rights.
func (v *validator) prefixes(key string, list []netip.Prefix, gives bool) {
	for _, p := range list {
		if gives && p.Bits() == 0 {
			v.fail(key, "%v is the whole internet", p)
		}
		if p.Masked() != p {
			v.warn(key, "%v means %v", p, p.Masked())
		}
	}
}

func (v *validator) service(name string, s Service) {
	key := serviceKey(name)
	v.oneOf(key+".tls", s.TLS, "none", "starttls", "implicit")
	if s.TLS == "none" && s.RequireTLS {
		v.fail(key+".require_tls", "contradicts tls = \"none\"")
	}
	if s.TLS == "none" && s.Auth {
		v.fail(key+".auth", "AUTH is offered under TLS only, this service has none")
	}
	if s.RequireAuth && !s.Auth {
		v.fail(key+".require_auth", "nobody can authenticate while auth = false")
	}
	if (name == "submit" || name == "submit.int") && s.TLS != "none" {
		v.fail(key+".tls", "is a Unix socket, which has no TLS")
	}
	v.between(key+".max_per_client", s.MaxPerClient, 0, 1_000_000)
}

func (v *validator) localdeliver(l *LocalDeliver) {
	v.between("localdeliver.batch_size", l.BatchSize, 1, 1000)
	if l.BatchLinger != 0 {
		v.span("localdeliver.batch_linger", l.BatchLinger, time.Second)
	}
	v.between("localdeliver.max_workers", l.MaxWorkers, 1, 10_000)
	v.span("localdeliver.worker_idle", l.WorkerIdle, day)
	v.span("localdeliver.worker_timeout", l.WorkerTimeout, day)
	v.retries("localdeliver", l.MinBackoff, l.MaxBackoff, l.QueueLifetime)
	v.delayWarning("localdeliver", l.DelayWarning, l.QueueLifetime)
	v.between("localdeliver.max_forwards", l.MaxForwards, 1, 1000)
	if l.CatchAll != "" {
		v.mailbox("localdeliver.catch_all", l.CatchAll)
	}
	v.mailbox("localdeliver.postmaster", l.Postmaster)
	v.size("localdeliver.dsn_header_size", l.DSNHeaderSize, 1<<10, 1<<20)
	v.oneOf("localdeliver.quota_full", l.QuotaFull, Defer, Bounce)
}

// retries checks the times of a daemon's queue.
func (v *validator) retries(daemon string, minBackoff, maxBackoff, lifetime Duration) {
	v.span(daemon+".min_backoff", minBackoff, day)
	if minBackoff.D() < time.Second { // the queue counts in seconds
		v.fail(daemon+".min_backoff", "%v is less than 1s", minBackoff)
	}
	v.span(daemon+".max_backoff", maxBackoff, 7*day)
	v.span(daemon+".queue_lifetime", lifetime, 100*day)
	v.ordered(daemon+".min_backoff", minBackoff, daemon+".max_backoff", maxBackoff)
}

func (v *validator) relayd(r *Relayd) {
	v.relayhost(r.Relayhost)
	if r.Hello != "" {
		v.domain("relayd.hello", r.Hello)
	}
	v.between("relayd.port", r.Port, 1, 65535)
	v.oneOf("relayd.addresses", r.Addresses, "any", "ipv4", "ipv6")
	v.source("relayd.bind_ipv4", r.BindIPv4, netip.Addr.Is4)
	v.source("relayd.bind_ipv6", r.BindIPv6, netip.Addr.Is6)
	v.oneOf("relayd.tls", r.TLS, TLSLevels...)
	v.optionalPath("relayd.tls_authorities", r.TLSAuthorities)
	v.between("relayd.max_connections", r.MaxConnections, 1, 100_000)
	v.between("relayd.max_recipients", r.MaxRecipients, 1, 1000)
	v.between("relayd.initial_window", r.InitialWindow, 1, 1000)
	v.between("relayd.max_window", r.MaxWindow, 1, 1000)
	if r.InitialWindow > r.MaxWindow {
		v.fail("relayd.initial_window", "%d is more than relayd.max_window = %d", r.InitialWindow, r.MaxWindow)
	}
	v.between("relayd.max_reuse", r.MaxReuse, 1, 100_000)
	v.span("relayd.connect_timeout", r.ConnectTimeout, 10*time.Minute)
	v.span("relayd.command_timeout", r.CommandTimeout, time.Hour)
	v.span("relayd.data_timeout", r.DataTimeout, time.Hour)
	v.span("relayd.final_timeout", r.FinalTimeout, time.Hour)
	v.retries("relayd", r.MinBackoff, r.MaxBackoff, r.QueueLifetime)
	v.delayWarning("relayd", r.DelayWarning, r.QueueLifetime)
}

func (v *validator) relayhost(text string) {
	if text == "" {
		return
	}
	h, err := hop.Parse(text)
	switch {
	case err != nil:
		v.fail("relayd.relayhost", "%v", err)
	case h.Kind == hop.Discard:
		v.fail("relayd.relayhost", "discard: would lose all mail for other hosts")
	}
}

// source checks an address that connections are made from.
func (v *validator) source(key, text string, family func(netip.Addr) bool) {
	if text == "" {
		return
	}
	if ip, err := netip.ParseAddr(text); err != nil || !family(ip) || ip.Is4In6() || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		v.fail(key, "%q is not an address of this host", text)
	}
}

// delayWarning checks when a sender is told that a message waits; 0 is never.
func (v *validator) delayWarning(daemon string, warning, lifetime Duration) {
	if warning == 0 {
		return
	}
	v.span(daemon+".delay_warning", warning, 100*day)
	if warning >= lifetime {
		v.warn(daemon+".delay_warning", "%v is no less than %s.queue_lifetime: nobody is ever warned", warning, daemon)
	}
}

func (v *validator) mailbox(key, text string) {
	if _, err := address.Parse(text); err != nil {
		v.fail(key, "%q is not an address: %v", text, err)
	}
}

func (v *validator) authd(a *Authd) {
	v.optionalPath("authd.checkpassword", a.Checkpassword)
	if a.FailureDelay != 0 {
		v.span("authd.failure_delay", a.FailureDelay, time.Minute)
	}
	if a.MaxDelay != 0 {
		v.span("authd.max_delay", a.MaxDelay, 5*time.Minute)
	}
	v.ordered("authd.failure_delay", a.FailureDelay, "authd.max_delay", a.MaxDelay)
	v.size("authd.hash_memory", a.HashMemory, 8<<20, 256<<20)
	v.between("authd.max_hashes", a.MaxHashes, 0, 1000)
	v.between("authd.max_sessions", a.MaxSessions, 1, 30_000)
	v.span("authd.session_idle", a.SessionIdle, day)
}

// front checks imapd or pop3d; idle is how long a client may count on (RFC 9051 §5.4, RFC 1939 §3).
func (v *validator) front(name string, f *Front, idle time.Duration) {
	v.between(name+".max_connections", f.MaxConnections, 1, 1_000_000)
	v.between(name+".max_per_client", f.MaxPerClient, 1, 1_000_000)
	v.between(name+".max_per_user", f.MaxPerUser, 1, 1_000_000)
	v.span(name+".login_timeout", f.LoginTimeout, time.Hour)
	v.span(name+".idle_timeout", f.IdleTimeout, day)
	if f.IdleTimeout > 0 && f.IdleTimeout.D() < idle {
		v.warn(name+".idle_timeout", "clients may count on %v", Duration(idle))
	}
	v.span(name+".drain_timeout", f.DrainTimeout, day)
	v.prefixes(name+".proxy_networks", f.ProxyNetworks, false)
}

// folders refuses names that no folder can have, or two that are one.
func (v *validator) folders(f *Folders) {
	seen := make(map[string]string)
	for _, folder := range []struct{ key, name string }{
		{"drafts", f.Drafts}, {"sent", f.Sent}, {"junk", f.Junk}, {"trash", f.Trash}, {"archive", f.Archive},
	} {
		key := "folders." + folder.key
		switch {
		case folder.name == "":
		case strings.EqualFold(folder.name, "INBOX") || !validFolder(folder.name):
			v.fail(key, "%q cannot be a folder", folder.name)
		case seen[folder.name] != "" && v.lines[key] == 0: // a default
			v.fail(seen[folder.name], "%q is named twice", folder.name)
		case seen[folder.name] != "":
			v.fail(key, "%q is named twice", folder.name)
		}
		seen[folder.name] = key
	}
}

func validFolder(name string) bool {
	if len(name) > 200 || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return false
	}
	for _, part := range strings.Split(name, ".") {
		if part == "" || strings.ContainsAny(part, "/") {
			return false
		}
	}
	return true
}

func (v *validator) between(key string, n, low, high int) {
	if n < low || n > high {
		v.fail(key, "%d is not between %d and %d", n, low, high)
	}
}

func (v *validator) size(key string, n, low, high Size) {
	if n < low || n > high {
		v.fail(key, "%v is not between %v and %v", n, low, high)
	}
}

// span checks a duration that must not be zero.
func (v *validator) span(key string, d Duration, high time.Duration) {
	if d <= 0 || d.D() > high {
		v.fail(key, "%v is not above 0s and at most %v", d, Duration(high))
	}
}

// ordered reports a range upside down at the end of it that the file sets.
func (v *validator) ordered(lowKey string, low Duration, highKey string, high Duration) {
	switch {
	case low <= high:
	case v.lines[highKey] != 0:
		v.fail(highKey, "%v is less than %s = %v", high, lowKey, low)
	default:
		v.fail(lowKey, "%v is more than %s = %v", low, highKey, high)
	}
}

func (v *validator) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		v.fail(key, "%q is none of %s", value, strings.Join(allowed, ", "))
	}
}

func sortedNames(services map[string]Service) []string {
	names := make([]string, 0, len(services))
	for name := range services {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// serviceKey is the dotted key of a service's table, quoted as TOML needs it.
func serviceKey(name string) string {
	return extend([]string{"smtpd", "service"}, name).String()
}
