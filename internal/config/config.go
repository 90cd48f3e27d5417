// Package config is the one configuration of all programs of the suite: a TOML file with a table per daemon,
// defaults that are right for a single host, and every error reported at once as file:line. The file is trusted (it
// belongs to root); what it names (tables, certificates) is checked when it is used.
package config

import (
	"net/netip"

	"postrider/internal/problem"
)

// DefaultPath is where the configuration lies unless -c says otherwise. The linker may set another (make SYSCONFDIR=…).
var DefaultPath = "/etc/postrider/postrider.toml"

// Config is the whole file after defaults. A daemon keeps one value and replaces it whole on SIGHUP.
type Config struct {
	Version            int      `toml:"version"`             // syntax version, 1
	Hostname           string   `toml:"hostname"`            // our name in greeting, EHLO, Received; default: the host's FQDN
	Origin             string   `toml:"origin"`              // completes unqualified addresses; default: /etc/mailname, else Hostname
	SpoolDir           string   `toml:"spool_dir"`           // one filesystem: stage/, remote/, local/
	RunDir             string   `toml:"run_dir"`             // where clients find the sockets
	StateDir           string   `toml:"state_dir"`           // what daemons remember
	SingleUID          bool     `toml:"single_uid"`          // everything under one uid: tests, make run, a container
	FirstValidUID      uint32   `toml:"first_valid_uid"`     // no mail is delivered and no session run below it
	MailboxUser        string   `toml:"mailbox_user"`        // uid of virtual users that name none
	MailRoot           string   `toml:"mail_root"`           // homes of virtual users that name none: MailRoot/domain/local
	Admins             []string `toml:"admins"`              // users who may steer the whole queue; root always
	MailqUsers         string   `toml:"mailq_users"`         // what others see of the queue: own (default), any
	RecipientDelimiter string   `toml:"recipient_delimiter"` // user+extension; each character counts
	MessageSize        Size     `toml:"message_size"`        // largest message accepted, bytes
	Resolver           string   `toml:"resolver"`            // DNS server, address:port; "" = the system's
	LogFormat          string   `toml:"log_format"`          // text (default), syslog (text with time and host), json
	AllowRemoteSpool   bool     `toml:"allow_remote_spool"`  // spool on NFS or FUSE, whose renames and locks are unproven
	MailstoreID        string   `toml:"mailstore_id"`        // what mail_root says it is in .mailstore-id, if it is a mount; "" = it need not
	IndexDir           string   `toml:"index_dir"`           // where indexes and caches of folders lie, a directory for each uid; "" = with the mail
	RemoteMail         bool     `toml:"remote_mail"`         // mailboxes on NFS or the like, where other hosts write too: sessions poll

	Tables       Tables       `toml:"tables"`
	TLS          TLS          `toml:"tls"`
	SMTPD        SMTPD        `toml:"smtpd"`
	LocalDeliver LocalDeliver `toml:"localdeliver"`
	Relayd       Relayd       `toml:"relayd"`
	Authd        Authd        `toml:"authd"`
	IMAPD        Front        `toml:"imapd"`
	POP3D        Front        `toml:"pop3d"`
	Folders      Folders      `toml:"folders"`

	Path     string   `toml:"-"` // the file that was loaded
	Warnings Problems `toml:"-"` // what Load found worth saying; the daemons log it
}

// Problems is what Load returns as its error: every error of the file, each `file:line: message`.
type Problems = problem.List

// Tables are plain text files that are reread when they change. A missing one is empty.
type Tables struct {
	Aliases   []string `toml:"aliases"`    // aliases(5); default /etc/aliases
	Users     string   `toml:"users"`      // name:uid:gid:home:quota:options
	Passwords string   `toml:"passwords"`  // name:label:services:secrets, authd's alone
	Domains   string   `toml:"domains"`    // domain kind
	Virtual   string   `toml:"virtual"`    // address-or-@domain targets
	Passwd    string   `toml:"passwd"`     // system users; default /etc/passwd, "" = none
	Transport string   `toml:"transport"`  // where mail for other hosts goes, if not by MX
	TLSPolicy string   `toml:"tls_policy"` // what relayd demands of a hop's TLS
	RelayAuth string   `toml:"relay_auth"` // relayd's names and passwords at other hosts, 0640 root:pr-relay
}

// TLS names the certificate that servers show. Without one, TLS and AUTH are not offered.
type TLS struct {
	Certificate string `toml:"certificate"` // PEM chain
	Key         string `toml:"key"`         // PEM key, 0640 root:pr-tls
	MinVersion  string `toml:"min_version"` // "1.2" (default) or "1.3"
}

// SMTPD is the SMTP server: limits shared by all services, and a policy for each service by its socket's name.
type SMTPD struct {
	RelayNetworks   []netip.Prefix     `toml:"relay_networks"`   // may relay without authentication; default none
	XClientNetworks []netip.Prefix     `toml:"xclient_networks"` // may use XCLIENT
	ProxyNetworks   []netip.Prefix     `toml:"proxy_networks"`   // must begin with a PROXY protocol header
	MaxRecipients   int                `toml:"max_recipients"`   // per transaction
	MaxErrors       int                `toml:"max_errors"`       // rejected commands before 421
	MaxHops         int                `toml:"max_hops"`         // Received lines before 554 5.4.6
	MaxConnections  int                `toml:"max_connections"`  // of all services
	MaxPerClient    int                `toml:"max_per_client"`   // connections of one address (IPv6: /64)
	CommandTimeout  Duration           `toml:"command_timeout"`  // idle time between commands (RFC 5321 §4.5.3.2: 5 min)
	DataTimeout     Duration           `toml:"data_timeout"`     // idle time inside a message
	AllowPercent    bool               `toml:"allow_percent"`    // a%b@c and a!b may be ordinary local parts of local users
	ClientNames     bool               `toml:"client_names"`     // look up the client's name in the DNS; default true
	Service         map[string]Service `toml:"service"`          // smtp, submission, submissions, lmtp, submit, submit.int
}

// Service is the policy of one listening socket of smtpd.
type Service struct {
	TLS          string `toml:"tls"`            // "none", "starttls" or "implicit"
	RequireTLS   bool   `toml:"require_tls"`    // no MAIL before STARTTLS
	Auth         bool   `toml:"auth"`           // offer AUTH (only under TLS)
	RequireAuth  bool   `toml:"require_auth"`   // no MAIL before AUTH
	Submission   bool   `toml:"submission"`     // complete headers and unqualified addresses
	MaxPerClient int    `toml:"max_per_client"` // overrides smtpd.max_per_client; 0 = inherit
}

// LocalDeliver is the delivery to mailboxes of this host.
type LocalDeliver struct {
	BatchSize     int      `toml:"batch_size"`     // messages a worker syncs together, at most
	BatchLinger   Duration `toml:"batch_linger"`   // how long the first of a batch waits for others
	MaxWorkers    int      `toml:"max_workers"`    // worker processes at once
	WorkerIdle    Duration `toml:"worker_idle"`    // an idle worker ends
	WorkerTimeout Duration `toml:"worker_timeout"` // no answer to a delivery: killed, temporary failure
	MinBackoff    Duration `toml:"min_backoff"`    // first retry
	MaxBackoff    Duration `toml:"max_backoff"`
	DelayWarning  Duration `toml:"delay_warning"`   // then the sender is told of the delay; 0 = never
	QueueLifetime Duration `toml:"queue_lifetime"`  // then the sender gets a failure notice
	MaxForwards   int      `toml:"max_forwards"`    // members of one .forward
	CatchAll      string   `toml:"catch_all"`       // mailbox of unknown local recipients; "" = 550 5.1.1
	Postmaster    string   `toml:"postmaster"`      // gets double bounces; default "postmaster"
	DSNHeaderSize Size     `toml:"dsn_header_size"` // returned header, at most
	QuotaFull     string   `toml:"quota_full"`      // mail for a full mailbox: defer (default), bounce
}

// Values of LocalDeliver.QuotaFull.
const (
	Defer  = "defer"
	Bounce = "bounce"
)

// Relayd sends what is for other hosts.
type Relayd struct {
	Relayhost      string   `toml:"relayhost"`      // hop of mail that the transport table does not name; "" = by MX
	Hello          string   `toml:"hello"`          // our name in EHLO; default: hostname
	Port           int      `toml:"port"`           // of hosts found by MX
	Addresses      string   `toml:"addresses"`      // any (default), ipv4, ipv6
	AllowLoopback  bool     `toml:"allow_loopback"` // hosts found by MX may have addresses of loopback and link
	BindIPv4       string   `toml:"bind_ipv4"`      // source address of connections; "" = the kernel's choice
	BindIPv6       string   `toml:"bind_ipv6"`
	TLS            string   `toml:"tls"`             // none, may (default), encrypt, verify, verify-mx
	TLSAuthorities string   `toml:"tls_authorities"` // PEM file of the authorities that verify believes; "" = the system's
	MaxConnections int      `toml:"max_connections"`
	MaxRecipients  int      `toml:"max_recipients"` // of a transaction
	InitialWindow  int      `toml:"initial_window"` // connections to a host at first
	MaxWindow      int      `toml:"max_window"`     // and at most
	MaxReuse       int      `toml:"max_reuse"`      // messages over one connection
	ConnectTimeout Duration `toml:"connect_timeout"`
	CommandTimeout Duration `toml:"command_timeout"` // greeting and replies to commands
	DataTimeout    Duration `toml:"data_timeout"`    // of each block of a message
	FinalTimeout   Duration `toml:"final_timeout"`   // of the reply to a message
	SoftBounce     bool     `toml:"soft_bounce"`     // what is refused for good is tried again all the same
	MinBackoff     Duration `toml:"min_backoff"`     // first retry, and how long a dead host rests
	MaxBackoff     Duration `toml:"max_backoff"`
	DelayWarning   Duration `toml:"delay_warning"`  // then the sender is told of the delay; 0 = never
	QueueLifetime  Duration `toml:"queue_lifetime"` // then the sender gets a failure notice
}

// Authd checks passwords and knows users.
type Authd struct {
	Checkpassword  string   `toml:"checkpassword"` // Unix socket of the checkpassword program (PAM, NSS); "" = none
	FailureDelay   Duration `toml:"failure_delay"` // of the first failure; doubles up to MaxDelay
	MaxDelay       Duration `toml:"max_delay"`
	HashMemory     Size     `toml:"hash_memory"`     // argon2id working memory of new hashes
	MaxHashes      int      `toml:"max_hashes"`      // verifications at the same time; 0 = number of CPUs
	ChannelBinding bool     `toml:"channel_binding"` // offer SCRAM-SHA-256-PLUS, which some mail programs choose and cannot carry out
	MaxSessions    int      `toml:"max_sessions"`    // session processes at once: one for each uid that is logged in
	SessionIdle    Duration `toml:"session_idle"`    // a session process without a session ends
}

// Front is imapd or pop3d: what serves clients until they have logged in, and carries their octets afterwards.
type Front struct {
	MaxConnections int            `toml:"max_connections"` // of both services
	MaxPerClient   int            `toml:"max_per_client"`  // connections of one address (IPv6: /64) other than loopback
	MaxPerUser     int            `toml:"max_per_user"`    // sessions of one user from one address (IPv6: /64); five times as many in all
	LoginTimeout   Duration       `toml:"login_timeout"`   // from the greeting to the login
	IdleTimeout    Duration       `toml:"idle_timeout"`    // of a session, between commands (RFC 9051 §5.4: 30 min; RFC 1939 §3: 10 min)
	DrainTimeout   Duration       `toml:"drain_timeout"`   // how long sessions may go on when the daemon is to end
	AllowPlaintext bool           `toml:"allow_plaintext"` // passwords without TLS from other hosts, too
	ProxyNetworks  []netip.Prefix `toml:"proxy_networks"`  // must begin with a PROXY protocol header
}

// Folders are made and subscribed at a user's first login, with the attributes of RFC 6154; "" = none.
type Folders struct {
	Drafts  string `toml:"drafts"`
	Sent    string `toml:"sent"`
	Junk    string `toml:"junk"`
	Trash   string `toml:"trash"`
	Archive string `toml:"archive"`
}
