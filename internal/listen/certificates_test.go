package listen

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writePair makes a self-signed certificate and writes it and its key into dir.
func writePair(t *testing.T, dir, name string, key crypto.Signer) (certFile, keyFile string) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func ecdsaKey(t *testing.T, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// handshake returns both ends' views of a connection.
func handshake(t *testing.T, server, client *tls.Config) (atServer, atClient tls.ConnectionState) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	a.SetDeadline(time.Now().Add(patience))
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() { done <- c.Handshake() }()
	if err := s.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return s.ConnectionState(), c.ConnectionState()
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := writePair(t, dir, "one.example", ecdsaKey(t, elliptic.P256()))
	c, err := LoadCertificates(certFile, keyFile, TLSOptions{NoTickets: true})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Current().Config.SessionTicketsDisabled || c.Current().Config.MinVersion != tls.VersionTLS12 {
		t.Error("options are not in the configuration")
	}
	shown := func() string {
		_, state := handshake(t, c.Current().Config, &tls.Config{InsecureSkipVerify: true})
		return state.PeerCertificates[0].Subject.CommonName
	}
	if shown() != "one.example" || c.Current().Leaf.Subject.CommonName != "one.example" {
		t.Error("not the first certificate")
	}
	writePair(t, dir, "two.example", ecdsaKey(t, elliptic.P256()))
	if err := c.Reload(); err != nil || shown() != "two.example" {
		t.Errorf("after reload: %s, %v", shown(), err)
	}
	if err := os.WriteFile(keyFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Reload(); err == nil || shown() != "two.example" {
		t.Errorf("after a broken reload: %s, %v", shown(), err)
	}
	if _, err := LoadCertificates(certFile, keyFile, TLSOptions{}); err == nil {
		t.Error("a broken key was loaded")
	}
	if _, err := LoadCertificates(certFile+"missing", keyFile, TLSOptions{}); err == nil {
		t.Error("a missing certificate was loaded")
	}
}

func TestChannelBinding(t *testing.T) {
	t.Parallel()
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		key  crypto.Signer
		hash func([]byte) []byte
	}{
		{ecdsaKey(t, elliptic.P256()), func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }},
		{ecdsaKey(t, elliptic.P384()), func(b []byte) []byte { h := sha512.Sum384(b); return h[:] }},
		{ecdsaKey(t, elliptic.P521()), func(b []byte) []byte { h := sha512.Sum512(b); return h[:] }},
		{edKey, nil},
	}
	for _, test := range tests {
		certFile, keyFile := writePair(t, t.TempDir(), "mail.example", test.key)
		c, err := LoadCertificates(certFile, keyFile, TLSOptions{})
		if err != nil {
			t.Fatal(err)
		}
		leaf := c.Current().Leaf
		got, err := EndPointBinding(leaf)
		if test.hash == nil {
			if err == nil {
				t.Error("a binding for Ed25519")
			}
			continue
		}
		if err != nil || !bytes.Equal(got, test.hash(leaf.Raw)) {
			t.Errorf("%v: %x, %v", leaf.SignatureAlgorithm, got, err)
		}
	}
}

func TestExporter(t *testing.T) {
	t.Parallel()
	certFile, keyFile := writePair(t, t.TempDir(), "mail.example", ecdsaKey(t, elliptic.P256()))
	c, err := LoadCertificates(certFile, keyFile, TLSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client := &tls.Config{InsecureSkipVerify: true, MaxVersion: version}
		a, b := handshake(t, c.Current().Config, client)
		ours, err := Exporter(a)
		theirs, theirErr := Exporter(b)
		if err != nil || theirErr != nil || len(ours) != 32 || !bytes.Equal(ours, theirs) {
			t.Errorf("%s: %x, %v; %x, %v", tls.VersionName(version), ours, err, theirs, theirErr)
		}
	}
	if _, err := Exporter(tls.ConnectionState{}); err == nil {
		t.Error("a binding before the handshake")
	}
}
