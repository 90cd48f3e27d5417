package authd

import (
	"errors"
	"slices"
	"testing"

	"github.com/xdg-go/scram"

	"postrider/internal/auth"
)

var (
	exporter = auth.Binding{Type: "tls-exporter", Data: []byte("exported keying material of 32 o")}
	endPoint = auth.Binding{Type: "tls-server-end-point", Data: []byte("hash of the certificate")}
)

// scramClient is a SCRAM login as a remote client does it.
type scramClient struct {
	service, mechanism string
	name, password     string
	authzid            string
	offered            []auth.Binding      // by the front
	binding            *auth.Binding       // that the client uses
	advertising        bool                // client says "y"
	tamper             func(string) string // with the client's last message
}

func (sc scramClient) run(t *testing.T, client *auth.Client) (auth.User, error) {
	t.Helper()
	c, err := scram.SHA256.NewClient(sc.name, sc.password, sc.authzid)
	if err != nil {
		t.Fatal(err)
	}
	conv := c.NewConversation()
	if sc.advertising {
		conv = c.NewConversationAdvertisingChannelBinding()
	}
	if sc.binding != nil {
		conv = c.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingType(sc.binding.Type), Data: sc.binding.Data})
	}
	first, err := conv.Step("")
	if err != nil {
		t.Fatal(err)
	}
	x := client.Start(t.Context(), auth.Request{Service: sc.service, Mechanism: sc.mechanism, RemoteIP: "192.0.2.1", Bindings: sc.offered, Initial: []byte(first)})
	defer x.Abort()
	challenge, done, u, err := x.Step(nil)
	if done {
		return u, err
	}
	final, err := conv.Step(string(challenge))
	if err != nil {
		t.Fatal(err)
	}
	if sc.tamper != nil {
		final = sc.tamper(final)
	}
	if challenge, done, u, err = x.Step([]byte(final)); done {
		return u, err
	}
	if _, err = conv.Step(string(challenge)); err != nil || !conv.Valid() {
		t.Errorf("%s: the server's signature is wrong: %v", sc.name, err)
	}
	_, done, u, err = x.Step([]byte{})
	if !done {
		t.Errorf("%s: no end", sc.name)
	}
	return u, err
}

func TestSCRAM(t *testing.T) {
	t.Parallel()
	const sha, plus = "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"
	both := []auth.Binding{exporter, endPoint}
	other := auth.Binding{Type: "tls-exporter", Data: []byte("of somebody between")}
	var log recorder
	client, _ := run(t, testSettings(t, &log))
	for _, tt := range []struct {
		scramClient
		user string
	}{
		{scramClient{service: "smtp", mechanism: sha, name: "alice", password: "wonderland"}, "alice"},
		{scramClient{service: "smtp", mechanism: sha, name: "alice@local.test", password: "wonderland", authzid: "alice"}, "alice"},
		{scramClient{service: "smtp", mechanism: sha, name: "alice", password: "wonderland", authzid: "bob"}, ""},
		{scramClient{service: "smtp", mechanism: sha, name: "alice", password: "wrong"}, ""},
		{scramClient{service: "smtp", mechanism: sha, name: "nobody", password: "wonderland"}, ""},
		{scramClient{service: "smtp", mechanism: sha, name: "dave", password: "wonderland"}, ""},
		{scramClient{service: "smtp", mechanism: sha, name: "daemon", password: "evil"}, ""},
		{scramClient{service: "smtp", mechanism: sha, name: "bob", password: "builder"}, "bob"},
		{scramClient{service: "imap", mechanism: sha, name: "bob", password: "ringring"}, "bob"},
		{scramClient{service: "smtp", mechanism: sha, name: "bob", password: "ringring"}, ""},
		{scramClient{service: "smtp", mechanism: sha, name: "bob", password: "othersalt"}, ""}, // only by PLAIN
		{scramClient{service: "pop3", mechanism: sha, name: "carol@example.org", password: "christmas"}, ""},
		{scramClient{service: "imap", mechanism: sha, name: "Carol@Example.org", password: "christmas"}, "carol@example.org"},
		{scramClient{service: "smtp", mechanism: plus, name: "alice", password: "wonderland", offered: both, binding: &exporter}, "alice"},
		{scramClient{service: "smtp", mechanism: plus, name: "alice", password: "wonderland", offered: both, binding: &endPoint}, "alice"},
		{scramClient{service: "smtp", mechanism: plus, name: "alice", password: "wonderland", offered: both, binding: &other}, ""},
		{scramClient{service: "smtp", mechanism: plus, name: "alice", password: "wonderland", binding: &exporter}, ""},
		{scramClient{service: "smtp", mechanism: plus, name: "alice", password: "wonderland", offered: both}, ""},
		{scramClient{service: "smtp", mechanism: sha, name: "alice", password: "wonderland", offered: both, binding: &exporter}, ""},
		{scramClient{service: "smtp", mechanism: sha, name: "alice", password: "wonderland", offered: both}, "alice"},
		{scramClient{service: "smtp", mechanism: sha, name: "alice", password: "wonderland", offered: both, advertising: true}, ""}, // PLUS was hidden from it
		{scramClient{service: "smtp", mechanism: sha, name: "alice", password: "wonderland", advertising: true}, "alice"},
		{scramClient{service: "smtp", mechanism: sha, name: "alice", password: "wonderland", tamper: func(string) string { return "" }}, ""},
		{scramClient{service: "smtp", mechanism: sha, name: "alice", password: "wonderland", tamper: func(s string) string { return s + "," + s }}, ""},
	} {
		u, err := tt.run(t, client)
		if tt.user == "" && !errors.Is(err, auth.ErrRefused) || tt.user != "" && (err != nil || u.Name != tt.user) {
			t.Errorf("%+v: %v, %v", tt.scramClient, u, err)
		}
	}
}

// Where the -PLUS forms are not offered, nobody gets them, and a client that could use a channel binding may log in without.
func TestNoChannelBinding(t *testing.T) {
	t.Parallel()
	var log recorder
	s := testSettings(t, &log)
	s.ChannelBinding = false
	client, _ := run(t, s)
	list, err := client.Mechanisms(t.Context())
	if err != nil || slices.Contains(list, "SCRAM-SHA-256-PLUS") {
		t.Errorf("%v, %v", list, err)
	}
	both := []auth.Binding{exporter, endPoint}
	u, err := scramClient{service: "smtp", mechanism: "SCRAM-SHA-256", name: "alice", password: "wonderland", offered: both, advertising: true}.run(t, client)
	if err != nil || u.Name != "alice" {
		t.Errorf("%v, %v", u, err)
	}
	_, done, _, err := client.Start(t.Context(), auth.Request{Service: "smtp", Mechanism: "SCRAM-SHA-256-PLUS", Bindings: both,
		Initial: []byte("p=tls-exporter,,n=alice,r=nonce")}).Step(nil)
	if !done || !errors.Is(err, auth.ErrRefused) {
		t.Errorf("%v, %v", done, err)
	}
}

// firstAnswer is the server's salt and iterations for a name.
func firstAnswer(t *testing.T, client *auth.Client, name string) string {
	t.Helper()
	x := client.Start(t.Context(), auth.Request{Service: "smtp", Mechanism: "SCRAM-SHA-256", Initial: []byte("n,,n=" + name + ",r=nonce")})
	defer x.Abort()
	challenge, done, _, err := x.Step(nil)
	if done || err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for i, c := range challenge {
		if c == ',' {
			return string(challenge[i:])
		}
	}
	t.Fatalf("%s: %q", name, challenge)
	return ""
}

func TestSaltOfUnknownUsers(t *testing.T) {
	t.Parallel()
	var log recorder
	s := testSettings(t, &log)
	client, server := run(t, s)
	nobody := firstAnswer(t, client, "nobody")
	if firstAnswer(t, client, "alice") == nobody || firstAnswer(t, client, "nobody2") == nobody {
		t.Error("one salt for all")
	}
	for _, same := range []string{"nobody", "Nobody", "nobody@local.test"} {
		if got := firstAnswer(t, client, same); got != nobody {
			t.Errorf("%s has another salt than nobody", same)
		}
	}
	server.Configure(s) // as a restart with the same seed
	if got := firstAnswer(t, client, "nobody"); got != nobody {
		t.Error("another salt after a restart")
	}
	s.Seed = []byte("other")
	server.Configure(s)
	if got := firstAnswer(t, client, "nobody"); got == nobody {
		t.Error("the salt does not depend on the secret")
	}
}

func TestSCRAMMessages(t *testing.T) {
	t.Parallel()
	var log recorder
	client, _ := run(t, testSettings(t, &log))
	long := make([]byte, maxSCRAMMessage+1)
	for _, m := range []string{"", "n", "n,,", "n,,n=alice", "x,,n=alice,r=x", "n,,m=x,n=alice,r=x", "p=,,n=alice,r=x", "p=tls-exporter,,n=alice,r=x", "n,,n==,r=x", string(long)} {
		x := client.Start(t.Context(), auth.Request{Service: "smtp", Mechanism: "SCRAM-SHA-256", Initial: []byte(m)})
		if _, done, _, err := x.Step(nil); !done || !errors.Is(err, auth.ErrRefused) {
			t.Errorf("%.20q: %v, %v", m, done, err)
			x.Abort()
		}
	}
	x := client.Start(t.Context(), auth.Request{Service: "smtp", Mechanism: "SCRAM-SHA-256"})
	if challenge, done, _, err := x.Step(nil); done || len(challenge) != 0 || err != nil {
		t.Errorf("no initial response: %q, %v", challenge, err)
	}
	x.Abort()
}
