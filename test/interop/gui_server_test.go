//go:build interop

package interop

import (
	"encoding/base64"
	"fmt"
	"mime"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/test/suite"
)

// guiServers are what people's windows show. The first says what is to be expected of the other.
var guiServers = []struct {
	name  string
	start func(t *testing.T, users []string) *mailServer
}{
	{"Dovecot", dovecotReads},
	{"postrider", postriderServer},
}

const guiDovecot = `log_path = /srv/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = required
ssl_cert = </etc/tls/suite-cert.pem
ssl_key = </etc/tls/suite-key.pem
auth_mechanisms = plain login
mail_location = maildir:~/Maildir
mail_max_userip_connections = 100
mail_plugins = zlib
protocol imap {
  mail_plugins = $mail_plugins imap_zlib
}
passdb {
  driver = passwd-file
  args = /etc/dovecot/users
}
userdb {
  driver = static
  args = uid=%[1]d gid=%[1]d home=/srv/mail/%%n
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
service imap-login {
  inet_listener imap {
    port = %[2]s
  }
  inet_listener imaps {
    port = %[3]d
  }
}
`

// dovecotReads is a suite that takes and delivers the mail of its users, with Dovecot to serve it.
func dovecotReads(t *testing.T, users []string) *mailServer {
	p := newPeer(t, "127.0.0.1", "postfix dovecot-core dovecot-imapd dovecot-pop3d", "exec dovecot -F", "dovecot.test")
	s := suite.New(t, suite.Options{IDs: suite.Separated(), Mail: p.dir + "/srv/mail", Daemons: suite.Incoming})
	m := &mailServer{addr: map[string]string{"imaps": p.addr, "imap": "127.0.0.1:" + freePort(t, "127.0.0.1"), "submission": s.Addr["submission"]},
		ca: s.CA, domain: suite.Domain, owner: s.IDs.Mailbox, mailbox: s.Mailbox}
	for _, user := range users {
		s.AddPassword(user)
		p.files["etc/dovecot/users"] += user + ":{PLAIN}" + suite.Password + "\n"
	}
	p.files["etc/dovecot/dovecot.conf"] = fmt.Sprintf(guiDovecot, m.owner, m.port("imap"), p.port())
	p.files["etc/tls/suite-cert.pem"] = readFile(t, s.Dir+"/tls/cert.pem")
	p.files["etc/tls/suite-key.pem"] = readFile(t, s.Dir+"/tls/key.pem")
	s.StartAll()
	p.start()
	return m
}

// letter is a message as a person's program writes it. Its body ends in its subject.
func (a *account) letter(from, subject string) string {
	return fmt.Sprintf("From: %s <%s@%s>\nTo: %s\nSubject: %s\nDate: %s\nMessage-ID: <%d@%s>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\nGrüße!\nThis is %s\n",
		strings.ToUpper(from[:1])+from[1:], from, a.domain, a.address(), mime.QEncoding.Encode("utf-8", subject), time.Now().Format(time.RFC1123Z), time.Now().UnixNano(), a.domain, subject)
}

// parcel is a letter in plain text and HTML, with a file.
func (a *account) parcel(from, subject, name string, octets []byte) string {
	encoded := base64.StdEncoding.EncodeToString(octets)
	var lines strings.Builder
	for len(encoded) > 76 {
		lines.WriteString(encoded[:76] + "\n")
		encoded = encoded[76:]
	}
	header, body, _ := strings.Cut(a.letter(from, subject), "Content-Type: ")
	return header + "Content-Type: multipart/mixed; boundary=\"=_1\"\n\n" +
		"--=_1\nContent-Type: multipart/alternative; boundary=\"=_2\"\n\n" +
		"--=_2\nContent-Type: " + body +
		"--=_2\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\n<p>Gr&uuml;&szlig;e!<p><b>This</b> is " + subject + "\n--=_2--\n" +
		"--=_1\nContent-Type: application/octet-stream\nContent-Disposition: attachment; filename*=UTF-8''" + url.PathEscape(name) + "\nContent-Transfer-Encoding: base64\n\n" +
		lines.String() + encoded + "\n--=_1--\n"
}

// tagged waits until a folder has one message that ends in a text and has these flags and keywords.
func (a *account) tagged(folder, text, flags string, keywords ...string) {
	a.t.Helper()
	a.wait(fmt.Sprintf("one %.80q with flags %q and keywords %q in %q", text, flags, keywords, folder), func() bool {
		mails := a.find(folder, text)
		if len(mails) != 1 {
			return false
		}
		upper := strings.TrimRight(mails[0].flags, "abcdefghijklmnopqrstuvwxyz")
		var names []string
		for _, letter := range mails[0].flags[len(upper):] {
			names = append(names, a.keyword(folder, letter))
		}
		return upper == flags && slices.Equal(names, keywords)
	})
}

// keyword is what a letter in the names of a folder's messages stands for, in lower case.
func (a *account) keyword(folder string, letter rune) string {
	b, _ := os.ReadFile(filepath.Join(a.dir(folder), "dovecot-keywords"))
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, fmt.Sprint(letter-'a', " ")); ok {
			return strings.ToLower(strings.TrimSpace(name))
		}
	}
	return ""
}

// picture keeps what a program showed, where `go test -artifacts -outputdir` says.
func picture(t *testing.T, name string, png []byte) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(t.ArtifactDir(), name+".png"), png, 0o644))
}
