package auth

import (
	"crypto/tls"
	"crypto/x509"

	"postrider/internal/listen"
)

// Bindings are the channel bindings of a server's connection (RFC 9266, RFC 5929), of which it showed leaf. There may be none.
func Bindings(state tls.ConnectionState, leaf *x509.Certificate) []Binding {
	var list []Binding
	if b, err := listen.Exporter(state); err == nil {
		list = append(list, Binding{Type: "tls-exporter", Data: b})
	}
	if b, err := listen.EndPointBinding(leaf); err == nil {
		list = append(list, Binding{Type: "tls-server-end-point", Data: b})
	}
	return list
}
