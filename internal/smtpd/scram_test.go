package smtpd

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"postrider/internal/auth"
	"postrider/internal/authd"
	"postrider/internal/listen"
	"postrider/internal/logline"
	"postrider/internal/password"
)

// authClient is the real client of authd.
type authClient struct{ *auth.Client }

func (a authClient) Start(ctx context.Context, r auth.Request) Exchange {
	return a.Client.Start(ctx, r)
}

// startAuthd serves alice, whose password is "secret", on a socket.
func startAuthd(t *testing.T) *auth.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	keys, err := password.NewSCRAM("secret", []byte("0123456789abcdef"), 4096)
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig()
	c.Tables.Users, c.Tables.Passwords = filepath.Join(dir, "users"), filepath.Join(dir, "passwords")
	c.Tables.Domains, c.Tables.Passwd = filepath.Join(dir, "domains"), ""
	c.SingleUID, c.Authd.ChannelBinding = true, true
	for path, text := range map[string]string{
		c.Tables.Users: fmt.Sprintf("alice:%d:%d:/home/alice::\n", os.Getuid(), os.Getgid()), c.Tables.Passwords: "alice::*:" + keys.String() + "\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := logline.NewWriter(io.Discard, "authd", logline.Text)
	l, err := net.Listen("unix", filepath.Join(dir, "auth"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	server := authd.New(authd.NewSettings(c, []byte("seed"), log, nil), nil)
	go func() { done <- server.Serve(ctx, log, []net.Listener{l}) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return &auth.Client{Path: filepath.Join(dir, "auth")}
}

// TestSCRAM logs in with channel binding, by the library's client and the suite's authd.
func TestSCRAM(t *testing.T) {
	t.Parallel()
	client := startAuthd(t)
	t.Cleanup(client.Close)
	m := &memory{}
	s := New(testConfig(), tables{}, Deps{Spool: m, Auth: authClient{client}, Log: logline.NewWriter(io.Discard, "smtpd", logline.Text), Identity: testIdentity})
	for _, c := range []struct {
		title, mechanism, binding, password, want string
		version                                   uint16
		tamper                                    bool
	}{
		{"exporter", "SCRAM-SHA-256-PLUS", "tls-exporter", "secret", "235", tls.VersionTLS13, false},
		{"certificate", "SCRAM-SHA-256-PLUS", "tls-server-end-point", "secret", "235", tls.VersionTLS13, false},
		{"TLS 1.2", "SCRAM-SHA-256-PLUS", "tls-server-end-point", "secret", "235", tls.VersionTLS12, false},
		{"plain", "SCRAM-SHA-256", "", "secret", "235", tls.VersionTLS13, false},
		{"wrong password", "SCRAM-SHA-256", "", "wrong", "535", tls.VersionTLS13, false},
		{"another channel", "SCRAM-SHA-256-PLUS", "tls-exporter", "secret", "535", tls.VersionTLS13, true},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			conn, ended := connect(t, s, context.Background(), "submissions", clientIP)
			defer func() { <-ended }()
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(testTimeout))
			tc := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MaxVersion: c.version})
			r := bufio.NewReader(tc)
			if l, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(l, "220 ") {
				t.Fatal(l, err)
			}
			talk(t, tc, r, "EHLO x")
			sc, err := scram.SHA256.NewClient("alice", c.password, "")
			if err != nil {
				t.Fatal(err)
			}
			conv := sc.NewConversation()
			if c.binding != "" {
				conv = sc.NewConversationWithChannelBinding(scram.ChannelBinding{
					Type: scram.ChannelBindingType(c.binding), Data: bindingData(t, tc.ConnectionState(), c.binding, c.tamper)})
			}
			if got := authenticate(t, tc, r, c.mechanism, conv); !strings.HasPrefix(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// bindingData is the channel binding as the client sees it.
func bindingData(t *testing.T, cs tls.ConnectionState, kind string, tamper bool) []byte {
	t.Helper()
	data, err := listen.EndPointBinding(cs.PeerCertificates[0])
	if kind == "tls-exporter" {
		data, err = listen.Exporter(cs)
	}
	if err != nil {
		t.Fatal(err)
	}
	if tamper {
		data[0] ^= 1
	}
	return data
}

// authenticate holds the exchange and returns the reply that ends it.
func authenticate(t *testing.T, c net.Conn, r *bufio.Reader, mechanism string, conv *scram.ClientConversation) string {
	t.Helper()
	first, err := conv.Step("")
	if err != nil {
		t.Fatal(err)
	}
	got := talk(t, c, r, "AUTH "+mechanism+" "+base64.StdEncoding.EncodeToString([]byte(first)))
	for strings.HasPrefix(got, "334 ") {
		challenge, err := base64.StdEncoding.DecodeString(got[4:])
		if err != nil {
			t.Fatal(got, err)
		}
		response, err := conv.Step(string(challenge))
		if err != nil {
			t.Fatal(err)
		}
		got = talk(t, c, r, base64.StdEncoding.EncodeToString([]byte(response)))
	}
	return got
}
