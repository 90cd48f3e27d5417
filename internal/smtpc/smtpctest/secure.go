package smtpctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"postrider/internal/line"
)

// Certificate makes a certificate of that host name, for the server, and the configuration of clients that trust it.
func Certificate(t testing.TB, name string) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool, ServerName: name}
}

func (c *session) secure() bool {
	_, ok := c.conn.(*tls.Conn)
	return ok
}

func (c *session) startTLS(answer string) bool {
	if c.TLS == nil || c.secure() {
		return c.reply("503 5.5.1 no TLS")
	}
	if !c.reply(answer) || answer[0] != '2' {
		return answer[0] != '2' && answer != "close" && !strings.HasPrefix(answer, "421")
	}
	t := tls.Server(c.conn, c.TLS)
	if t.Handshake() != nil {
		return false
	}
	c.conn = t
	c.in = line.NewReader(t, 30*time.Second)
	c.restart()
	return true
}

func (c *session) mechanisms() []string {
	if c.Mechanisms != nil {
		return c.Mechanisms
	}
	list := []string{"LOGIN", "PLAIN", "SCRAM-SHA-256"}
	if c.secure() {
		list = append(list, "SCRAM-SHA-256-PLUS")
	}
	return list
}

// auth is AUTH by the mechanisms that the client knows.
func (c *session) auth(words []string) bool {
	text := strings.Join(words, " ")
	if a := c.answer(text, ""); a != "" {
		return c.reply(a)
	}
	if len(words) < 2 {
		return c.reply("501 5.5.4 which mechanism")
	}
	var user string
	var ok bool
	switch words[1] {
	case "PLAIN":
		user, ok = c.plain(words[2:])
	case "LOGIN":
		user, ok = c.login()
	case "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS":
		user, ok = c.scram(words)
	default:
		return c.reply("504 5.5.4 unknown mechanism")
	}
	if !ok {
		return c.reply("535 5.7.8 authentication failed")
	}
	c.user = user
	return c.reply("235 2.7.0 welcome")
}

// ask sends a challenge and reads the answer.
func (c *session) ask(challenge string) (string, bool) {
	if !c.reply("334 " + base64.StdEncoding.EncodeToString([]byte(challenge))) {
		return "", false
	}
	l, err := c.in.ReadLine(4096)
	if err != nil {
		return "", false
	}
	b, err := base64.StdEncoding.DecodeString(string(l))
	return string(b), err == nil
}

// initial is the initial response, or the answer to an empty challenge.
func (c *session) initial(words []string) (string, bool) {
	if len(words) == 0 {
		return c.ask("")
	}
	b, err := base64.StdEncoding.DecodeString(words[0])
	return string(b), err == nil
}

func (c *session) plain(words []string) (string, bool) {
	text, ok := c.initial(words)
	parts := strings.Split(text, "\x00")
	if !ok || len(parts) != 3 {
		return "", false
	}
	password, known := c.Users[parts[1]]
	return parts[1], known && password == parts[2]
}

func (c *session) login() (string, bool) {
	user, ok := c.ask("User Name\x00")
	if !ok {
		return "", false
	}
	given, ok := c.ask("Password\x00")
	password, known := c.Users[user]
	return user, ok && known && password == given
}

func (c *session) scram(words []string) (string, bool) {
	s, err := scram.SHA256.NewServer(func(user string) (scram.StoredCredentials, error) {
		client, err := scram.SHA256.NewClient(user, c.Users[user], "")
		if err != nil {
			return scram.StoredCredentials{}, err
		}
		return client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789abcdef", Iters: 4096})
	})
	if err != nil {
		return "", false
	}
	conversation := s.NewConversation()
	if strings.HasSuffix(words[1], "-PLUS") {
		conversation = s.NewConversationWithChannelBindingRequired(c.binding())
	} else if slices.Contains(c.mechanisms(), "SCRAM-SHA-256-PLUS") {
		conversation = s.NewConversationWithChannelBinding(c.binding()) // refuses a client that was told of no -PLUS
	}
	text, ok := c.initial(words[2:])
	for ok && !conversation.Done() {
		if text, err = conversation.Step(text); err != nil && text == "" {
			return "", false
		}
		text, ok = c.ask(text)
	}
	_, known := c.Users[conversation.Username()]
	return conversation.Username(), ok && known && conversation.Valid()
}

func (c *session) binding() scram.ChannelBinding {
	t, ok := c.conn.(*tls.Conn)
	if !ok {
		return scram.ChannelBinding{}
	}
	state := t.ConnectionState()
	if state.Version < tls.VersionTLS13 {
		return scram.NewTLSUniqueBinding(state.TLSUnique)
	}
	b, err := scram.NewTLSExporterBinding(&state)
	if err != nil {
		return scram.ChannelBinding{}
	}
	return b
}
