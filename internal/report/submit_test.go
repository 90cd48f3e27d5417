package report

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postrider/internal/envelope"
	"postrider/internal/reply"
	"postrider/internal/smtpc"
	"postrider/internal/smtpc/smtpctest"
)

// TestSocket speaks to a server: what it says of recipients comes back recipient by recipient.
func TestSocket(t *testing.T) {
	t.Parallel()
	server := &smtpctest.Server{Extensions: smtpctest.All, Answer: func(command string) string {
		switch {
		case strings.Contains(command, "<busy@"):
			return "451 4.3.0 later"
		case strings.Contains(command, "<gone@"):
			return "550 5.1.1 no such user"
		case strings.Contains(command, "<banned@"):
			return "550 5.7.1 no"
		}
		return ""
	}}
	server.Start(t)
	for _, test := range []struct {
		from, to string
		refused  []int
		code     int // of the error
	}{
		{"alice@example.org", "bob", nil, 0},
		{"alice@example.org", "bob gone busy gone", []int{1, 3}, 550},
		{"alice@example.org", "busy bob", nil, 451},
		{"alice@example.org", "busy gone", []int{1}, 550},
		{"banned@example.org", "bob", nil, 550},
	} {
		e := &smtpc.Envelope{From: envelope.Sender{Addr: addr(test.from)}, Whole: true, UID: envelope.NoUID}
		for name := range strings.FieldsSeq(test.to) {
			e.To = append(e.To, envelope.Recipient{Addr: addr(name + "@example.net")})
		}
		err := Socket(server.Path).Submit(t.Context(), e, strings.NewReader(text))
		rep, _ := errors.AsType[*reply.Reply](err)
		if test.code == 0 && err != nil || test.code != 0 && (rep == nil || rep.Code != test.code) {
			t.Errorf("%s -> %s: %v", test.from, test.to, err)
		}
		var got []int
		if list, ok := errors.AsType[*RefusedError](err); ok {
			got = list.Recipients
		}
		if !slices.Equal(got, test.refused) || refused(err) != (len(test.refused) > 0) {
			t.Errorf("%s -> %s: refused %v, for good %v", test.from, test.to, got, refused(err))
		}
	}
	if got := server.Messages(); len(got) != 1 || got[0].Body != text {
		t.Errorf("%+v", got)
	}
	err := Socket(filepath.Join(t.TempDir(), "none")).Submit(t.Context(), &smtpc.Envelope{}, strings.NewReader(text))
	if _, answered := errors.AsType[*reply.Reply](err); err == nil || answered {
		t.Errorf("nobody there: %v", err)
	}
}
