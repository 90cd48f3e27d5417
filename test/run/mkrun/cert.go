package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const lifetime = 365 * 24 * time.Hour

// certify makes an authority and a certificate that it signs for the names and addresses. The authority's key is
// forgotten at once: nothing else can ever be signed by it.
func certify(dir string, names []string) error {
	if stillGood(dir) {
		return nil
	}
	ca, caKey, err := authority()
	if err != nil {
		return fmt.Errorf("make authority: %w", err)
	}
	leaf, key, err := server(ca, caKey, names)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	for _, file := range []struct {
		name string
		text []byte
	}{
		{"ca.pem", block("CERTIFICATE", ca.Raw)},
		{"cert.pem", append(block("CERTIFICATE", leaf), block("CERTIFICATE", ca.Raw)...)},
		{"key.pem", block("PRIVATE KEY", der)},
	} {
		if err := os.WriteFile(filepath.Join(dir, file.name), file.text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// stillGood says that an earlier run left a certificate that lasts another day.
func stillGood(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		return false
	}
	first, _ := pem.Decode(text)
	if first == nil {
		return false
	}
	leaf, err := x509.ParseCertificate(first.Bytes)
	return err == nil && time.Until(leaf.NotAfter) > 24*time.Hour
}

func authority() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template, err := validity("Postrider trial CA")
	if err != nil {
		return nil, nil, err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	ca, err := x509.ParseCertificate(der)
	return ca, key, err
}

func server(ca *x509.Certificate, caKey *ecdsa.PrivateKey, names []string) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template, err := validity(names[0])
	if err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	return der, key, err
}

// validity is a template with a name, a serial number and a time from an hour ago, for clocks that differ.
func validity(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(lifetime),
	}, nil
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
