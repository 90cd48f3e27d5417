//go:build interop

package interop

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/test/suite"
)

// mailServer is what people's programs read their mail from, and send it by. Its authority has signed the name localhost.
type mailServer struct {
	addr    map[string]string        // host:port by service: imap, imaps, pop3, pop3s, submission
	ca      string                   // file
	domain  string                   // of the users' addresses; the password of each is suite.Password
	owner   int                      // uid and gid of their mail
	mailbox func(user string) string // the Maildir
}

// services are what a mail server listens for. At imap, pop3 and submission TLS begins with a command.
var services = []string{"imap", "imaps", "pop3", "pop3s", "submission"}

func (s *mailServer) port(service string) string {
	_, port, _ := net.SplitHostPort(s.addr[service])
	return port
}

// at is the localhost:port of a service.
func (s *mailServer) at(service string) string { return "localhost:" + s.port(service) }

// postriderServer is the suite.
func postriderServer(t *testing.T, users []string) *mailServer {
	// All come from one address, and some begin with a wrong password.
	o := suite.Options{Daemons: suite.Reading, Extra: "[authd]\nfailure_delay = \"1ms\"\nmax_delay = \"2ms\"\n"}
	if os.Getuid() == 0 {
		o.IDs = suite.Separated()
	}
	s := suite.New(t, o)
	m := &mailServer{addr: s.Addr, ca: s.CA, domain: suite.Domain, owner: s.IDs.Mailbox, mailbox: s.Mailbox}
	table := readFile(t, s.Dir+"/etc/users")
	for _, user := range users {
		if strings.Contains("\n"+table, "\n"+user+":") {
			continue
		}
		table += s.UserLine(user)
		home := filepath.Dir(s.Mailbox(user))
		must(t, os.Mkdir(home, 0o700))
		if os.Getuid() == 0 {
			must(t, os.Chown(home, m.owner, m.owner))
		}
	}
	s.File("etc/users", table)
	for _, user := range users {
		s.AddPassword(user)
	}
	s.StartAll()
	return m
}

const readersDovecot = `log_path = /srv/dovecot.log
auth_verbose = yes
protocols = imap pop3
ssl = yes
ssl_cert = </etc/tls/cert.pem
ssl_key = </etc/tls/key.pem
auth_mechanisms = plain login
auth_username_format = %%n
auth_failure_delay = 0
mail_location = maildir:~/Maildir
mail_max_userip_connections = 100
mail_plugins = zlib
protocol imap {
  mail_plugins = $mail_plugins imap_zlib
}
protocol pop3 {
  pop3_lock_session = yes
}
passdb {
  driver = passwd-file
  args = /etc/dovecot/users
}
userdb {
  driver = static
  args = uid=vmail gid=vmail home=/srv/mail/%%n
}
namespace inbox {
  inbox = yes
  mailbox Drafts {
    auto = subscribe
    special_use = \Drafts
  }
  mailbox Sent {
    auto = subscribe
    special_use = \Sent
  }
  mailbox Junk {
    auto = subscribe
    special_use = \Junk
  }
  mailbox Trash {
    auto = subscribe
    special_use = \Trash
  }
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0666
  }
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  inet_listener imap {
    port = %s
  }
  inet_listener imaps {
    port = %s
  }
}
service pop3-login {
  inet_listener pop3 {
    port = %s
  }
  inet_listener pop3s {
    port = %s
  }
}
`

// dovecotServer is the reference: Dovecot, and Postfix to send by.
func dovecotServer(t *testing.T, users []string) *mailServer {
	p := newPeer(t, "127.0.0.1", "postfix dovecot-core dovecot-imapd dovecot-pop3d",
		"postfix set-permissions >/dev/null 2>&1; postfix check && dovecot && exec postfix start-fg", "localhost")
	s := &mailServer{addr: map[string]string{"submission": p.addr}, ca: p.certificate(), domain: "postfix.test", owner: 61910,
		mailbox: func(user string) string { return filepath.Join(p.maildir(user), "Maildir") }}
	for _, service := range services[:4] {
		s.addr[service] = "127.0.0.1:" + freePort(t, "127.0.0.1")
	}
	for _, user := range users {
		p.files["etc/dovecot/users"] += user + ":{PLAIN}" + suite.Password + "\n"
		p.files["etc/postfix/users"] += user + "@" + s.domain + " " + user + "/Maildir/\n"
		must(t, os.Mkdir(p.maildir(user), 0o700))
		must(t, os.Chown(p.maildir(user), s.owner, s.owner))
	}
	p.files["etc/dovecot/dovecot.conf"] = fmt.Sprintf("listen = 127.0.0.1\n"+readersDovecot, s.port("imap"), s.port("imaps"), s.port("pop3"), s.port("pop3s"))
	p.files["etc/postfix/main.cf"] = fmt.Sprintf(postfixMain, "1", "nobody.test")
	p.files["etc/postfix/master.cf"] = p.addr + " inet n - n - - smtpd -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes" +
		" -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n" + postfixMaster
	p.start()
	return s
}
