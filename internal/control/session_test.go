package control

import (
	"bytes"
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"postrider/internal/listen"
	"postrider/internal/logline"
)

// visitors are Sessions in memory.
type visitors []Session

func (v visitors) Who(s Selection) (list []Session) {
	for _, one := range v {
		if (s.ID == "" || s.ID == one.ID || s.ID == one.User) && s.May(int64(one.UID)) {
			list = append(list, one)
		}
	}
	return list
}

func (v visitors) Kick(s Selection) []Session { return v.Who(s) }

var guests = visitors{
	{ID: "A", Service: "imap", User: "alice", UID: 1000, Address: "2001:db8::1", TLS: true, Since: time.Unix(1760000000, 0), PID: 4711},
	{ID: "B", Service: "pop3", User: "bob@example.org", UID: 1001, Since: time.Unix(1760000001, 0), PID: 1},
}

// ask connects a client of a uid.
func ask(t *testing.T, s *Server, uid uint32, r Rights) *Client {
	t.Helper()
	s.Rights = func(uint32) Rights { return r }
	s.peer = func(net.Conn) (listen.Cred, error) { return listen.Cred{UID: uid}, nil }
	server, client := net.Pipe()
	t.Cleanup(func() { client.Close() })
	go s.session(context.Background(), server)
	return NewClient(client)
}

func who(t *testing.T, c *Client, name string) ([]Session, error) {
	t.Helper()
	var got []Session
	err := c.Who(context.Background(), name, func(s Session) error {
		got = append(got, s)
		return nil
	})
	return got, err
}

func TestSessions(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := ask(t, &Server{Sessions: guests, Log: logline.NewWriter(&log, "imapd", logline.Text)}, 7, Rights{Steer: true})
	if got, err := who(t, c, ""); err != nil || !reflect.DeepEqual(got, []Session(guests)) {
		t.Errorf("who: %+v, %v", got, err)
	}
	if got, err := who(t, c, "B"); err != nil || !reflect.DeepEqual(got, []Session(guests[1:])) {
		t.Errorf("who B: %+v, %v", got, err)
	}
	if n, err := c.Kick(context.Background(), "alice"); n != 1 || err != nil {
		t.Errorf("kick: %d, %v", n, err)
	}
	if _, err := c.Kick(context.Background(), ""); !errors.Is(err, ErrRefused) {
		t.Errorf("kick without a name: %v", err)
	}
	if !strings.Contains(log.String(), "session A of alice ended by uid 7\n") {
		t.Error(log.String())
	}
	if _, err := c.Flush(context.Background(), ""); !errors.Is(err, ErrRefused) {
		t.Errorf("flush of a daemon without a queue: %v", err)
	}
}

// Only who may steer sees other uids' sessions; a right to list the queue is not one to list people.
func TestSessionRights(t *testing.T) {
	t.Parallel()
	for _, r := range []Rights{{}, {List: true}} {
		s := &Server{Sessions: guests, Log: logline.NewWriter(&bytes.Buffer{}, "imapd", logline.Text)}
		if got, err := who(t, ask(t, s, 1001, r), ""); err != nil || len(got) != 1 || got[0].ID != "B" {
			t.Errorf("%+v: who: %+v, %v", r, got, err)
		}
		s = &Server{Sessions: guests, Log: s.Log}
		if n, err := ask(t, s, 1001, r).Kick(context.Background(), "alice"); n != 0 || err != nil {
			t.Errorf("%+v: kick: %d, %v", r, n, err)
		}
	}
	queues := &Server{Queue: &queue{}}
	if _, err := who(t, ask(t, queues, 7, Rights{Steer: true}), ""); !errors.Is(err, ErrRefused) {
		t.Errorf("who of a daemon without sessions: %v", err)
	}
}
