package auth

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// crier is an Asker.
type crier struct {
	list  []string
	err   error
	asked int
}

func (c *crier) Mechanisms(context.Context) ([]string, error) {
	c.asked++
	return c.list, c.err
}

func TestOffer(t *testing.T) {
	t.Parallel()
	bound := []Binding{{Type: "tls-exporter"}}
	for _, c := range []struct {
		asker      crier
		bindings   []Binding
		list       []string
		has, lacks string
	}{
		{crier{list: []string{"SCRAM-SHA-256", "PLAIN", "X\r\nY", "", "SCRAM-SHA-1-PLUS"}}, nil, []string{"SCRAM-SHA-256", "PLAIN"}, "PLAIN", "LOGIN"},
		{crier{list: []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"}}, bound, []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"}, "SCRAM-SHA-256-PLUS", "CRAM-MD5"},
		{crier{list: []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}}, nil, []string{"SCRAM-SHA-256"}, "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"},
		{crier{err: errors.New("away")}, bound, []string{"PLAIN", "LOGIN"}, "SCRAM-SHA-256-PLUS", "CRAM-MD5"},
	} {
		var o Offer
		ctx := context.Background()
		if list := o.List(ctx, &c.asker, c.bindings); !slices.Equal(list, c.list) {
			t.Errorf("%+v: %v", c.asker, list)
		}
		if !o.Has(ctx, &c.asker, c.bindings, c.has) || o.Has(ctx, &c.asker, c.bindings, c.lacks) {
			t.Errorf("%+v: %s or not %s", c.asker, c.lacks, c.has)
		}
		if c.asker.asked != 1 {
			t.Errorf("asked %d times", c.asker.asked)
		}
	}
}
