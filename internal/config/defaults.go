package config

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// host is what defaults are taken from.
type host struct {
	name     func() (string, error) // the kernel's name of this host
	hosts    string                 // hosts(5)
	mailname string                 // the domain of unqualified addresses, one line (Debian policy §11.6)
}

func thisHost() host {
	return host{name: os.Hostname, hosts: "/etc/hosts", mailname: "/etc/mailname"}
}

// Default is the configuration of an empty file on this host.
func Default() *Config {
	c := constants()
	c.complete(thisHost())
	return c
}

// constants are the defaults that are the same on every host.
func constants() *Config {
	return &Config{
		Version:            1,
		SpoolDir:           "/var/spool/postrider",
		RunDir:             "/run/postrider",
		StateDir:           "/var/lib/postrider",
		FirstValidUID:      1000,
		MailboxUser:        "vmail",
		MailRoot:           "/var/vmail",
		MailqUsers:         "own",
		RecipientDelimiter: "+",
		MessageSize:        50 << 20,
		LogFormat:          "text",
		Tables: Tables{
			Aliases:   []string{"/etc/aliases"},
			Users:     filepath.Join(filepath.Dir(DefaultPath), "users"),
			Passwords: filepath.Join(filepath.Dir(DefaultPath), "passwords"),
			Domains:   filepath.Join(filepath.Dir(DefaultPath), "domains"),
			Virtual:   filepath.Join(filepath.Dir(DefaultPath), "virtual"),
			Passwd:    "/etc/passwd",
			Transport: filepath.Join(filepath.Dir(DefaultPath), "transport"),
			TLSPolicy: filepath.Join(filepath.Dir(DefaultPath), "tls_policy"),
			RelayAuth: filepath.Join(filepath.Dir(DefaultPath), "relay_auth"),
		},
		TLS: TLS{MinVersion: "1.2"},
		SMTPD: SMTPD{
			MaxRecipients:  1000,
			MaxErrors:      20,
			MaxHops:        50,
			MaxConnections: 1000,
			MaxPerClient:   50,
			CommandTimeout: Duration(5 * time.Minute),
			DataTimeout:    Duration(3 * time.Minute),
			ClientNames:    true,
			Service:        services(),
		},
		LocalDeliver: LocalDeliver{
			BatchSize:     64,
			BatchLinger:   Duration(10 * time.Millisecond),
			MaxWorkers:    100,
			WorkerIdle:    Duration(time.Minute),
			WorkerTimeout: Duration(5 * time.Minute),
			MinBackoff:    Duration(time.Minute),
			MaxBackoff:    Duration(time.Hour),
			DelayWarning:  Duration(4 * time.Hour),
			QueueLifetime: Duration(5 * day),
			MaxForwards:   100,
			Postmaster:    "postmaster",
			DSNHeaderSize: 64 << 10,
			QuotaFull:     Defer,
		},
		Relayd: Relayd{
			Port:           25,
			Addresses:      "any",
			TLS:            "may",
			MaxConnections: 200,
			MaxRecipients:  50,
			InitialWindow:  5,
			MaxWindow:      20,
			MaxReuse:       100,
			ConnectTimeout: Duration(30 * time.Second),
			CommandTimeout: Duration(5 * time.Minute),
			DataTimeout:    Duration(3 * time.Minute),
			FinalTimeout:   Duration(10 * time.Minute),
			MinBackoff:     Duration(5 * time.Minute),
			MaxBackoff:     Duration(time.Hour),
			DelayWarning:   Duration(4 * time.Hour),
			QueueLifetime:  Duration(5 * day),
		},
		Authd: Authd{
			FailureDelay: Duration(time.Second),
			MaxDelay:     Duration(30 * time.Second),
			HashMemory:   64 << 20,
			MaxSessions:  1000,
			SessionIdle:  Duration(time.Minute),
		},
		IMAPD:   front(30 * time.Minute),
		POP3D:   front(10 * time.Minute),
		Folders: Folders{Drafts: "Drafts", Sent: "Sent", Junk: "Junk", Trash: "Trash", Archive: "Archive"},
	}
}

// front is imapd or pop3d.
func front(idle time.Duration) Front {
	return Front{
		MaxConnections: 2000,
		MaxPerClient:   200,
		MaxPerUser:     20,
		LoginTimeout:   Duration(time.Minute),
		IdleTimeout:    Duration(idle),
		DrainTimeout:   Duration(5 * time.Second),
	}
}

// services are the policies of smtpd's sockets.
func services() map[string]Service {
	return map[string]Service{
		"smtp":        {TLS: "starttls"},
		"submission":  {TLS: "starttls", RequireTLS: true, Auth: true, RequireAuth: true, Submission: true},
		"submissions": {TLS: "implicit", RequireTLS: true, Auth: true, RequireAuth: true, Submission: true},
		"lmtp":        {TLS: "none"},
		"submit":      {TLS: "none", Submission: true},
		"submit.int":  {TLS: "none"},
	}
}

// complete fills in what depends on the host, where the file left it open.
func (c *Config) complete(h host) {
	if c.Hostname == "" {
		c.Hostname = h.fqdn()
	}
	if c.Origin == "" {
		c.Origin = h.origin()
	}
	if c.Origin == "" {
		c.Origin = c.Hostname
	}
}

// fqdn is the host's name, completed from the hosts file if it has no domain. It asks no DNS server: a mail server's
// name must not depend on who answers when it starts.
func (h host) fqdn() string {
	name, err := h.name()
	if err != nil || name == "" {
		return "localhost"
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if strings.Contains(name, ".") {
		return name
	}
	f, err := os.Open(h.hosts)
	if err != nil {
		return name
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(strings.ToLower(lines.Text()), "#")
		if full := qualified(strings.Fields(line), name); full != "" {
			return full
		}
	}
	return name
}

// qualified is the name with a domain that a line of hosts(5) gives to the host name.
func qualified(fields []string, name string) string {
	for i, field := range fields {
		if i > 0 && strings.HasPrefix(field, name+".") {
			return field
		}
	}
	return ""
}

// origin is the first line of the mailname file, "" without one.
func (h host) origin() string {
	f, err := os.Open(h.mailname)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Scan()
	return strings.ToLower(strings.TrimSpace(lines.Text()))
}
