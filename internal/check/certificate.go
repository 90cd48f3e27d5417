package check

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"time"
)

// expiryWarning is how long before its end a certificate is worth a word; renewal is usually done 30 days before.
const expiryWarning = 14 * 24 * time.Hour

// certificate checks that the key fits the certificate, and the time and the name.
func (w *world) certificate() {
	if w.TLS.Certificate == "" {
		w.warn(w.Path, "tls.certificate is not set: TLS and AUTH are not offered, nobody can submit mail over the network")
		return
	}
	chain, err := os.ReadFile(w.TLS.Certificate)
	if err != nil {
		w.fail(w.TLS.Certificate, "%v", cause(err))
	}
	key, keyErr := os.ReadFile(w.TLS.Key)
	switch {
	case errors.Is(keyErr, fs.ErrPermission) && os.Geteuid() != 0:
		w.warn(w.TLS.Key, "not checked: %v", cause(keyErr))
	case keyErr != nil:
		w.fail(w.TLS.Key, "%v", cause(keyErr))
	default:
		w.secret(w.TLS.Key, "pr-smtpd", "pr-tls")
	}
	if err != nil || keyErr != nil {
		return
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		w.fail(w.TLS.Certificate, "with %s: %v", w.TLS.Key, err)
		return
	}
	w.validity(pair.Leaf)
}

func (w *world) validity(leaf *x509.Certificate) {
	path, end := w.TLS.Certificate, leaf.NotAfter.Format(time.DateOnly)
	switch {
	case w.now.After(leaf.NotAfter):
		w.fail(path, "expired on %s", end)
	case w.now.Before(leaf.NotBefore):
		w.fail(path, "not valid before %s", leaf.NotBefore.Format(time.DateTime))
	case leaf.NotAfter.Sub(w.now) < expiryWarning:
		w.warn(path, "expires on %s", end)
	}
	if err := leaf.VerifyHostname(w.Hostname); err != nil {
		w.warn(path, "does not name %s, which clients connect to: %v", w.Hostname, err)
	}
}
