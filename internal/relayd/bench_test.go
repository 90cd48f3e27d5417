package relayd

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"postrider/internal/envelope"
	"postrider/internal/reply"
	"postrider/internal/smtpc"
	"postrider/internal/spool"
)

// taker is a session with a host that takes everything.
type taker struct{}

var takenReply = reply.New(250, 0, 0, "queued")

func (taker) Send(_ context.Context, e *smtpc.Envelope, body io.Reader) (smtpc.Result, error) {
	_, err := io.Copy(io.Discard, body)
	list := make([]*reply.Reply, len(e.To))
	for i := range list {
		list[i] = takenReply
	}
	return smtpc.Result{Recipients: list, Message: takenReply}, err
}

func (taker) Extension(string) (string, bool)               { return "", true }
func (taker) Usable() bool                                  { return true }
func (taker) Quit()                                         {}
func (taker) Dial(context.Context, Target) (Session, error) { return taker{}, nil }

// BenchmarkRound is what a message costs in this process between its being opened and its being removed: hops, lanes, windows,
// sessions.
func BenchmarkRound(b *testing.B) {
	for _, recipients := range []int{1, 50} {
		b.Run(fmt.Sprint(recipients), func(b *testing.B) {
			m, item := benchWorld(b, recipients)
			pending := item.Pending()
			b.ReportAllocs()
			for b.Loop() {
				r := &round{Manager: m, s: m.settings.Load(), item: item, begun: time.Now()}
				r.deliver(pending)
				r.acknowledge()
				if !r.all(spool.Sent) {
					b.Fatalf("%+v", r.outcomes[0])
				}
			}
		})
	}
}

// benchWorld is a manager with an open message.
func benchWorld(b *testing.B, recipients int) (*Manager, *spool.Item) {
	b.Helper()
	w := newWorld(b, b.TempDir())
	channel, err := spool.OpenChannel(w.root, envelope.Remote, spool.ChannelOptions{})
	if err != nil {
		b.Fatal(err)
	}
	var to []string
	for i := range recipients {
		to = append(to, fmt.Sprintf("u%d@example.net", i))
	}
	id := w.queue(nil, to...)
	m := New(channel, 10, nil)
	m.stopping, m.working = b.Context(), b.Context()
	m.Configure(Settings{Config: w.cfg, Router: w, Finder: w, Dialer: taker{}})
	item, err := channel.Pickup(id, m.destination)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		m.runs.Wait()
		m.hosts.close()
		item.Close()
		channel.Close()
	})
	return m, item
}
