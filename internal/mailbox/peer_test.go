package mailbox

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/dovecottest"
	"postrider/internal/imapd"
	"postrider/internal/mailstore"
	"postrider/internal/sockettest"
	"postrider/internal/usertest"
)

// peer is a server on loopback, of which account alice has the password secret.
type peer struct {
	testing.TB
	addr     string
	ca       string // path of its certificate
	startTLS bool
	backend  func(conn *net.UnixConn) // serves a session; its first line is taken for the greeting if greets is set
	greets   bool
	cut      func() int64 // how many octets the next connection carries before it is lost
}

// newPeer serves the Maildir at root.
func newPeer(t testing.TB, root string, backend func(p *peer, root string)) *peer {
	t.Helper()
	p := &peer{TB: t, ca: filepath.Join(t.TempDir(), "ca.pem"), cut: func() int64 { return 1 << 40 }}
	backend(p, root)
	if err := os.WriteFile(p.ca, identity().pem, 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	var sessions sync.WaitGroup
	t.Cleanup(func() { l.Close(); sessions.Wait() })
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() {
				defer conn.Close()
				p.serve(conn)
			})
		}
	})
	return p
}

// ours is our own server.
func ours(p *peer, root string) {
	store, err := mailstore.Open(root, mailstore.Options{LockTimeout: 20 * time.Second})
	if err != nil {
		p.Fatal(err)
	}
	p.backend = func(conn *net.UnixConn) {
		imapd.Serve(context.Background(), conn, &imapd.Options{Store: store})
	}
}

// dovecots is Debian's, with another separator than the one on disk, and folders with a special use.
func dovecots(p *peer, root string) {
	dovecottest.Need(p, dovecottest.IMAP)
	conf := filepath.Join(root, "dovecot.conf")
	text := fmt.Sprintf(`protocols = imap
base_dir = %s/run
mail_location = maildir:~
log_path = /dev/null
ssl = no
namespace inbox {
  inbox = yes
  separator = /
  mailbox "Sent Items" {
    special_use = \Sent
  }
}
`, root)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		p.Fatal(err)
	}
	usertest.Give(p, root)
	p.greets = true
	p.backend = func(conn *net.UnixConn) {
		file, err := conn.File()
		if err != nil {
			p.Error(err)
			return
		}
		defer file.Close()
		cmd := dovecottest.Command(p, dovecottest.IMAP, conf, root)
		cmd.Stdin, cmd.Stdout = file, file
		if err := cmd.Start(); err != nil {
			p.Error(err)
			return
		}
		conn.Close()
		cmd.Wait()
	}
}

// serve is one connection: the part before the login is ours, then octets are carried.
func (p *peer) serve(conn net.Conn) {
	left := p.cut()
	in := bufio.NewReader(conn)
	if p.startTLS {
		io.WriteString(conn, "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n")
		line, err := in.ReadString('\n')
		tag, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if err != nil || rest != "STARTTLS" {
			p.Errorf("%q in clear", line)
			return
		}
		io.WriteString(conn, tag+" OK begin\r\n")
	}
	secure := tls.Server(conn, identity().config)
	in = bufio.NewReader(secure)
	if !p.startTLS {
		io.WriteString(secure, "* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ AUTH=PLAIN] ready\r\n")
	}
	if !login(secure, in) {
		return
	}
	near, far := sockettest.Pair(p)
	defer near.Close()
	go p.backend(far)
	out := bufio.NewReader(near)
	if p.greets {
		if _, err := out.ReadString('\n'); err != nil {
			return
		}
	}
	go func() {
		io.Copy(near, in)
		near.CloseWrite()
	}()
	io.CopyN(secure, out, left)
}

// login answers commands until the right password comes.
func login(conn net.Conn, in *bufio.Reader) bool {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return false
		}
		tag, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case rest == "CAPABILITY":
			io.WriteString(conn, "* CAPABILITY IMAP4rev1 SASL-IR LITERAL+ AUTH=PLAIN\r\n"+tag+" OK done\r\n")
		case strings.Contains(rest, "alice") && strings.Contains(rest, "secret"):
			io.WriteString(conn, tag+" OK in\r\n")
			return true
		default:
			io.WriteString(conn, tag+" NO [AUTHENTICATIONFAILED] no\r\n")
		}
	}
}

type certificate struct {
	config *tls.Config
	pem    []byte
}

// identity is the certificate of all peers: for 127.0.0.1.
var identity = sync.OnceValue(func() certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return certificate{&tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
})
