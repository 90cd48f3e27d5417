package spool

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/logline"
)

const body = "Subject: hello\r\n\r\nworld\r\n"

func envelopeFor(vias ...envelope.Via) *envelope.Envelope {
	e := &envelope.Envelope{From: envelope.Sender{Addr: address.Address{Local: "alice", Domain: "example.org"}}, Origin: envelope.OriginMX,
		UID: envelope.NoUID, Client: envelope.Client{Name: "unknown", IP: netip.MustParseAddr("192.0.2.1")}, Time: time.Now()}
	for i, v := range vias {
		e.To = append(e.To, envelope.Recipient{Addr: address.Address{Local: fmt.Sprint("r", i), Domain: "example.net"}, Via: v})
	}
	return e
}

// rig is a spool with both its sides.
type rig struct {
	t     *testing.T
	root  string
	log   bytes.Buffer
	mu    sync.Mutex
	stage *Stage
	local *Channel
}

func (r *rig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *rig) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, root: filepath.Join(t.TempDir(), "spool")}
	if err := Init(r.root); err != nil {
		t.Fatal(err)
	}
	r.open()
	t.Cleanup(func() { r.stage.Close(); r.local.Close() })
	return r
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	log := logline.NewWriter(r, "test", logline.Text)
	if r.stage, err = OpenStage(r.root, StageOptions{MessageSize: 1 << 20, Log: log}); err != nil {
		r.t.Fatal(err)
	}
	if r.local, err = OpenChannel(r.root, envelope.Local, ChannelOptions{Log: log}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) accept(e *envelope.Envelope, text string) string {
	r.t.Helper()
	m, err := r.stage.Create(e, false)
	if err != nil {
		r.t.Fatal(err)
	}
	io.WriteString(m, text)
	if err := m.Commit(); err != nil {
		r.t.Fatal(err)
	}
	return m.ID()
}

func dest(e *envelope.Envelope) string { return e.To[0].Addr.Domain }

func (r *rig) pickup(name string) *Item {
	r.t.Helper()
	i, err := r.local.Pickup(name, dest)
	if err != nil {
		r.t.Fatalf("pick up %s: %v", name, err)
	}
	return i
}

func (r *rig) names(dir string) []string {
	r.t.Helper()
	var names []string
	if err := eachName(filepath.Join(r.root, dir), func(s string) error { names = append(names, s); return nil }); err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// put writes a queue file by hand.
func (r *rig) put(path, id string, e *envelope.Envelope, spoil func([]byte) []byte) {
	r.t.Helper()
	b := envelope.Blank()
	b = e.Append(b)
	env := int64(len(b))
	b = append(b, body...)
	copy(b, envelope.Line1{ID: id, Size: int64(len(body)), Env: env, CRC: crcOf(b)}.Append(nil))
	if spoil != nil {
		b = spoil(b)
	}
	if err := os.WriteFile(filepath.Join(r.root, path), b, 0o640); err != nil {
		r.t.Fatal(err)
	}
}
