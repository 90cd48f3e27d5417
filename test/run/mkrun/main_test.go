package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMerge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base, extra := filepath.Join(dir, "base.toml"), filepath.Join(dir, "extra.toml")
	write(t, base, "hostname = \"a\"\nsingle_uid = true\n[tables]\nusers = \"u\"\naliases = [\"x\", \"y\"]\n")
	write(t, extra, "hostname = \"b\"\n[tables]\naliases = [\"z\"]\n[smtpd.service.smtp]\nauth = true\n")
	var out strings.Builder
	if err := merge(&out, base, extra); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`hostname = "b"`, `single_uid = true`, `users = "u"`, `aliases = ["z"]`, `[smtpd.service.smtp]`, `auth = true`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("merged configuration lacks %q:\n%s", want, &out)
		}
	}
	write(t, extra, "hostname = \n")
	if err := merge(&out, base, extra); err == nil || !strings.Contains(err.Error(), extra) {
		t.Errorf("error %v does not name %s", err, extra)
	}
}

func TestCertify(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := certify(dir, []string{"mail.example.test", "127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatalf("ca.pem: %v", err)
	}
	for _, name := range []string{"mail.example.test", "127.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("verify %s: %v", name, err)
		}
	}
	before, _ := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err := certify(dir, []string{"mail.example.test"}); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, "cert.pem")); string(after) != string(before) {
		t.Error("a certificate that is still good was replaced")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
