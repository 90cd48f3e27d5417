package listen

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
)

// TLSOptions are what services differ in.
type TLSOptions struct {
	MinVersion uint16 // 0 = TLS 1.2
	NoTickets  bool   // no session tickets: some MTAs that connect to port 25 stumble over them
	Bulk       bool   // full records from the start: fewer system calls for much, later first octets on slow lines
}

// Certificates is a certificate chain and its key in two PEM files, read again on Reload.
type Certificates struct {
	certFile, keyFile string
	options           TLSOptions
	current           atomic.Pointer[Identity]
}

// Identity is what a server shows in a handshake. A session that binds its login to the channel keeps the one that it
// began with, as Reload may replace it meanwhile.
type Identity struct {
	Config *tls.Config // to be used as it is
	Leaf   *x509.Certificate
}

// LoadCertificates reads the pair. The key must belong to the first certificate.
func LoadCertificates(certFile, keyFile string, options TLSOptions) (*Certificates, error) {
	c := &Certificates{certFile: certFile, keyFile: keyFile, options: options}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the files again. On an error the pair stays as it was.
func (c *Certificates) Reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("load certificate %s: %w", c.certFile, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return fmt.Errorf("load certificate %s: %w", c.certFile, err)
		}
	}
	version := c.options.MinVersion
	if version == 0 {
		version = tls.VersionTLS12
	}
	c.current.Store(&Identity{
		Leaf: pair.Leaf,
		Config: &tls.Config{
			Certificates:           []tls.Certificate{pair},
			MinVersion:             version,
			SessionTicketsDisabled: c.options.NoTickets,

			DynamicRecordSizingDisabled: c.options.Bulk,
		},
	})
	return nil
}

// Current is the pair as last read.
func (c *Certificates) Current() *Identity { return c.current.Load() }

// EndPointBinding is the channel binding tls-server-end-point: a hash of the server's certificate (RFC 5929 §4.1). There
// is none for signatures without a hash of their own, such as Ed25519.
func EndPointBinding(leaf *x509.Certificate) ([]byte, error) {
	var hash crypto.Hash
	switch leaf.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256, x509.DSAWithSHA256:
		hash = crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	default:
		return nil, fmt.Errorf("channel binding: none for signature algorithm %v", leaf.SignatureAlgorithm)
	}
	h := hash.New()
	h.Write(leaf.Raw)
	return h.Sum(nil), nil
}

// Exporter is the channel binding tls-exporter: 32 bytes of keying material (RFC 9266 §2). There is none before the
// handshake, nor in TLS 1.2 without the extended master secret.
func Exporter(state tls.ConnectionState) ([]byte, error) {
	if !state.HandshakeComplete {
		return nil, errors.New("channel binding: no handshake yet")
	}
	material, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	if err != nil {
		return nil, fmt.Errorf("channel binding: %w", err)
	}
	return material, nil
}
