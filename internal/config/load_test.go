package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var testHost = host{name: func() (string, error) { return "mail.example.test", nil }, hosts: "/nonexistent", mailname: "/nonexistent"}

func load(t *testing.T, text string) (*Config, error) {
	t.Helper()
	return parse("f", text, testHost)
}

func TestEmptyFileIsDefaults(t *testing.T) {
	t.Parallel()
	c, err := load(t, "version = 1\n")
	if err != nil {
		t.Fatal(err)
	}
	want := constants()
	want.complete(testHost)
	want.Path = "f"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
	if c.Hostname != "mail.example.test" || c.Origin != c.Hostname || c.MessageSize != 50<<20 || !c.SMTPD.Service["submission"].RequireAuth {
		t.Errorf("unexpected defaults %+v", c)
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	c, err := load(t, `version = 1
hostname = "mx.example.org"
message_size = "10M"
[smtpd]
relay_networks = ["192.0.2.0/24", "2001:db8::/32"]
command_timeout = "90s"
[smtpd.service.smtp]
max_per_client = 7
[smtpd.service."submit.int"]
submission = true
[localdeliver]
queue_lifetime = "1d12h"
dsn_header_size = 4096
[tables]
aliases = []
passwd = ""
`)
	if err != nil {
		t.Fatal(err)
	}
	if c.Origin != "mx.example.org" || c.MessageSize != 10<<20 || c.LocalDeliver.DSNHeaderSize != 4096 {
		t.Errorf("got %+v", c)
	}
	if n := c.SMTPD.RelayNetworks; len(n) != 2 || n[1] != netip.MustParsePrefix("2001:db8::/32") {
		t.Errorf("relay_networks = %v", n)
	}
	if s := c.SMTPD.Service["smtp"]; s.MaxPerClient != 7 || s.TLS != "starttls" {
		t.Errorf("smtp = %+v: a service begins with its default policy", s)
	}
	if !c.SMTPD.Service["submit.int"].Submission || c.LocalDeliver.QueueLifetime.D() != 36*time.Hour || len(c.Tables.Aliases) != 0 || c.Tables.Passwd != "" {
		t.Errorf("got %+v", c)
	}
}

// TestProblems gives whole files and everything that must be said of them.
func TestProblems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"all at once": {
			"version = 1\nhostnam = \"x\"\n[smtpd]\nmax_error = 3\nmax_hops = 0\ncommand_timeout = 5\n[smtpd.service.smpt]\ntls = \"none\"\n" +
				"[smtpd.service.smtp]\ntls = \"off\"\nauht = true\n[nothing]\nx = 1\n",
			"f:2: unknown key hostnam; did you mean hostname?\n" +
				"f:4: unknown key smtpd.max_error; did you mean smtpd.max_errors?\n" +
				"f:5: smtpd.max_hops: 0 is not between 1 and 1000\n" +
				"f:6: smtpd.command_timeout: \"5\" is not a duration such as \"300ms\", \"5m\", \"1h30m\" or \"5d\"\n" +
				"f:7: unknown key smtpd.service.smpt; did you mean smtpd.service.smtp?\n" +
				"f:10: smtpd.service.smtp.tls: \"off\" is none of none, starttls, implicit\n" +
				"f:11: unknown key smtpd.service.smtp.auht; did you mean smtpd.service.smtp.auth?\n" +
				"f:12: unknown key nothing",
		},
		"types": {
			"version = 1\nhostname = 3\nsingle_uid = \"yes\"\nfirst_valid_uid = -1\nadmins = \"root\"\nsmtpd = 4\nmessage_size = \"5X\"\n[[tls]]\n[tables]\nusers = [\"a\"]\naliases = [3]\n",
			"f:2: hostname: expected a string, \"…\"\n" +
				"f:3: single_uid: expected true or false\n" +
				"f:4: first_valid_uid: -1 is out of range for uint32\n" +
				"f:5: admins: expected a list of strings, [\"…\", \"…\"]\n" +
				"f:6: smtpd is a table: write [smtpd]\n" +
				"f:7: message_size: \"5X\" is not a size such as 65536, 64K or 50M\n" +
				"f:8: tls is a table: write [tls]\n" +
				"f:10: tables.users: expected a string, \"…\"\n" +
				"f:11: tables.aliases: expected a list of strings, [\"…\", \"…\"]",
		},
		"several syntax errors, and the rest is still checked": {
			"version = 1\nhostname = mail\nmessage_size = 3 M\n[tls]\nkey = \"/k\"\nfoo = 1\n",
			"f:2: expected value but found \"mail\" instead\n" +
				"f:3: expected a top-level item to end with a newline, comment, or EOF, but got 'M' instead\n" +
				"f:5: tls.key: needs tls.certificate\n" +
				"f:6: unknown key tls.foo",
		},
		"broken header": {"version = 1\n[tls\nkey = 1\nx = y\n", "f:2: expected '.' or ']' to end table name, but got '\\n' instead"},
		"duplicate":     {"version = 1\nversion = 1\nfoo = 2", "f:2: Key 'version' has already been defined.\nf:3: unknown key foo"},
		"newer":         {"version = 2\n", "f:1: version: 2 is newer than this program, which knows version 1"},
		"max_recipients": {
			"version = 1\n[smtpd]\nmax_recipients = 10001\n", "f:3: smtpd.max_recipients: 10001 is not between 1 and 10000",
		},
		"fronts and folders": {
			"version = 1\n[imapd]\nmax_per_user = 0\nidle_timeout = \"1m\"\nproxy_networks = [\"192.0.2.1/24\"]\n[pop3d]\ndrain_timeout = \"0s\"\n" +
				"[folders]\nsent = \"inbox\"\njunk = \"a..b\"\ntrash = \"Archive\"\ndrafts = \"\"\n",
			"f:3: imapd.max_per_user: 0 is not between 1 and 1000000\n" +
				"f:7: pop3d.drain_timeout: 0s is not above 0s and at most 1d\n" +
				"f:9: folders.sent: \"inbox\" cannot be a folder\n" +
				"f:10: folders.junk: \"a..b\" cannot be a folder\n" +
				"f:11: folders.trash: \"Archive\" is named twice",
		},
		"mailq_users": {"version = 1\nmailq_users = \"all\"\n", "f:2: mailq_users: \"all\" is none of own, any"},
		"implicit table": {
			"version = 1\n\n[a.b]\nc = 1\n", "f:3: unknown key a",
		},
		"values": {
			"version = 1\nhostname = \"Mail.Example.test\"\norigin = \"-x\"\nspool_dir = \"spool\"\nfirst_valid_uid = 0\nrecipient_delimiter = \"+a\"\nlog_format = \"xml\"\nadmins = [\"\"]\nmailbox_user = \"a b\"\nresolver = \"localhost\"\n" +
				"[tls]\ncertificate = \"c.pem\"\nmin_version = \"1.1\"\n[localdeliver]\nmin_backoff = \"2h\"\ncatch_all = \"a b\"\nworker_idle = \"0s\"\n" +
				"[smtpd]\nrelay_networks = [\"0.0.0.0/0\"]\n[smtpd.service.lmtp]\nauth = true\n[smtpd.service.submit]\nrequire_auth = true\ntls = \"implicit\"\n" +
				"[authd]\nmax_delay = \"1ms\"\nhash_memory = 1\n",
			"f:2: hostname: write \"Mail.Example.test\" as \"mail.example.test\"\n" +
				"f:3: origin: \"-x\" is not a domain name\n" +
				"f:4: spool_dir: \"spool\" is not an absolute path\n" +
				"f:5: first_valid_uid: must be at least 1: nothing is ever delivered as root\n" +
				"f:6: recipient_delimiter: 'a' cannot delimit an extension\n" +
				"f:7: log_format: \"xml\" is none of text, syslog, json\n" +
				"f:8: admins: \"\" is not a user name\n" +
				"f:9: mailbox_user: \"a b\" is not a user name\n" +
				"f:10: resolver: \"localhost\" is not an address with a port such as 127.0.0.1:53\n" +
				"f:12: tls.certificate: \"c.pem\" is not an absolute path\n" +
				"f:12: tls.certificate: needs tls.key\n" +
				"f:13: tls.min_version: \"1.1\" is none of 1.2, 1.3\n" +
				"f:15: localdeliver.min_backoff: 2h is more than localdeliver.max_backoff = 1h\n" +
				"f:16: localdeliver.catch_all: \"a b\" is not an address: address syntax: unexpected \" b\" after the address\n" +
				"f:17: localdeliver.worker_idle: 0s is not above 0s and at most 1d\n" +
				"f:19: smtpd.relay_networks: 0.0.0.0/0 is the whole internet\n" +
				"f:21: smtpd.service.lmtp.auth: AUTH is offered under TLS only, this service has none\n" +
				"f:23: smtpd.service.submit.require_auth: nobody can authenticate while auth = false\n" +
				"f:24: smtpd.service.submit.tls: is a Unix socket, which has no TLS\n" +
				"f:26: authd.max_delay: 1ms is less than authd.failure_delay = 1s\n" +
				"f:27: authd.hash_memory: 1 is not between 8M and 256M",
		},
		"relayd": {
			"version = 1\nhostname = \"mail.example.org\"\n[relayd]\nrelayhost = \"192.0.2.1\"\nhello = \"-\"\nport = 0\naddresses = \"ipv5\"\nbind_ipv4 = \"2001:db8::1\"\nbind_ipv6 = \"fe80::1%eth0\"\n" +
				"tls = \"maybe\"\ntls_authorities = \"x\"\nmax_recipients = 0\ninitial_window = 9\nmax_window = 8\nconnect_timeout = \"0s\"\nmin_backoff = \"1ms\"\ndelay_warning = \"-1s\"\n" +
				"[tables]\ntransport = \"x\"\ntls_policy = \"y\"\nrelay_auth = \"z\"\n",
			"f:4: relayd.relayhost: write the address 192.0.2.1 in brackets\n" +
				"f:5: relayd.hello: \"-\" is not a domain name\n" +
				"f:6: relayd.port: 0 is not between 1 and 65535\n" +
				"f:7: relayd.addresses: \"ipv5\" is none of any, ipv4, ipv6\n" +
				"f:8: relayd.bind_ipv4: \"2001:db8::1\" is not an address of this host\n" +
				"f:9: relayd.bind_ipv6: \"fe80::1%eth0\" is not an address of this host\n" +
				"f:10: relayd.tls: \"maybe\" is none of none, may, encrypt, verify, verify-mx\n" +
				"f:11: relayd.tls_authorities: \"x\" is not an absolute path\n" +
				"f:12: relayd.max_recipients: 0 is not between 1 and 1000\n" +
				"f:13: relayd.initial_window: 9 is more than relayd.max_window = 8\n" +
				"f:15: relayd.connect_timeout: 0s is not above 0s and at most 10m\n" +
				"f:16: relayd.min_backoff: 1ms is less than 1s\n" +
				"f:17: relayd.delay_warning: \"-1s\" is not a duration such as \"300ms\", \"5m\", \"1h30m\" or \"5d\"\n" +
				"f:19: tables.transport: \"x\" is not an absolute path\n" +
				"f:20: tables.tls_policy: \"y\" is not an absolute path\n" +
				"f:21: tables.relay_auth: \"z\" is not an absolute path",
		},
		"relayhost that loses mail": {
			"version = 1\nhostname = \"mail.example.org\"\n[relayd]\nrelayhost = \"discard:\"\n",
			"f:4: relayd.relayhost: discard: would lose all mail for other hosts",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, c.text)
			if err == nil {
				t.Fatal("no error")
			}
			got, want := strings.Split(err.Error(), "\n"), strings.Split(c.want, "\n")
			for i := range max(len(got), len(want)) {
				g, w := "", ""
				if i < len(got) {
					g = got[i]
				}
				if i < len(want) {
					w = want[i]
				}
				if g != w {
					t.Errorf("problem %d:\n got %s\nwant %s", i, g, w)
				}
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	c, err := load(t, "hostname = \"mail\"\n[smtpd]\nrelay_networks = [\"192.0.2.1/24\"]\nmax_recipients = 50\n")
	if err != nil {
		t.Fatal(err)
	}
	got := c.Warnings.Error()
	for _, want := range []string{"f: warning: no version", "f:1: warning: hostname: \"mail\" has no domain", "f:3: warning: smtpd.relay_networks: 192.0.2.1/24 means 192.0.2.0/24", "f:4: warning: smtpd.max_recipients"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

func TestLoadFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none")); err == nil || !strings.HasSuffix(err.Error(), "none: no such file or directory") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("directory: %v", err)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(big); err == nil || !strings.Contains(err.Error(), "larger than 1M") {
		t.Errorf("large file: %v", err)
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	named := func(name string) func() (string, error) { return func() (string, error) { return name, nil } }
	hosts := file("hosts", "127.0.0.1 localhost\n# 127.0.1.1 box.wrong.example box\n127.0.1.1 Box.example.org box\n")
	mailname := file("mailname", "Example.ORG\n")
	for _, c := range []struct {
		host             host
		hostname, origin string
	}{
		{host{named("Box"), hosts, mailname}, "box.example.org", "example.org"},
		{host{named("box"), "/nonexistent", "/nonexistent"}, "box", "box"},
		{host{named("mx.example.net"), hosts, "/nonexistent"}, "mx.example.net", "mx.example.net"},
		{host{named(""), hosts, "/nonexistent"}, "localhost", "localhost"},
	} {
		var got Config
		if got.complete(c.host); got.Hostname != c.hostname || got.Origin != c.origin {
			t.Errorf("got %q, %q; want %q, %q", got.Hostname, got.Origin, c.hostname, c.origin)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"version = 1", "[smtpd]\nmax_errors = 3\n[smtpd.service.smtp]\ntls = \"none\"", "hostname = mail\nx = 3 M\n", "a.b.c = 1\n[a]\n", "message_size = \"1T\"\n", "'' = 1", "\x01", "[[smtpd]]\n[[smtpd]]\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parse("f", text, testHost)
		if (c == nil) == (err == nil) {
			t.Fatalf("configuration %v with error %v", c, err)
		}
		if err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Fatal("an error that says nothing")
		}
	})
}
