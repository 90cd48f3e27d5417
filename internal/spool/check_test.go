package spool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/envelope"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.accept(envelopeFor(envelope.Local, envelope.Remote), body)
	bad := "0123456789bcdfgh"
	r.put("remote/new/"+bad, bad, envelopeFor(envelope.Remote), func(b []byte) []byte { b[len(b)-2] ^= 1; return b })
	m, err := r.stage.Create(envelopeFor(envelope.Local), false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Abort()
	good := 0
	var wrong []string
	if err := Check(r.root, func(path string, err error) {
		if err == nil {
			good++
		} else {
			wrong = append(wrong, filepath.Base(path))
		}
	}); err != nil {
		t.Fatal(err)
	}
	if good != 2 || len(wrong) != 1 || wrong[0] != bad {
		t.Errorf("%d good, %v wrong", good, wrong)
	}
}

func TestRequeue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, from, to string
		unsent         int
	}{
		{"message edited", "world", "World", 1},
		{"recipient edited", "<r1@", "<somebody@", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			i := r.pickup(r.accept(envelopeFor(envelope.Local, envelope.Local, envelope.Local, envelope.Remote), body))
			r.local.Record(i, Result{Lines: []int{3, 4}, Status: Sent})
			if _, err := Requeue(r.stage, filepath.Join(r.root, "local/cur", curPath(i.Name))); err == nil {
				t.Error("a file in cur/ was requeued")
			}
			if err := r.local.Hold(i); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(r.root, "local/hold", i.Name.String())
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			os.WriteFile(path, []byte(strings.Replace(strings.ReplaceAll(string(b), "world\r\n", "world\n"), c.from, c.to, 1)), 0o640)
			id, err := Requeue(r.stage, path)
			if err != nil {
				t.Fatal(err)
			}
			n := r.pickup(id)
			defer n.Close()
			if n.Envelope.Parent != i.Name.ID || len(n.Pending()) != c.unsent || n.Envelope.Has(envelope.Remote) {
				t.Errorf("%+v", n.Envelope)
			}
			if n.Size != int64(len(body)) {
				t.Errorf("%d octets, want the line ends repaired: %d", n.Size, len(body))
			}
			if got := r.names("local/hold"); len(got) != 0 {
				t.Errorf("the old file stays: %v", got)
			}
		})
	}
}
