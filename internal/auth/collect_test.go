package auth

import (
	"errors"
	"slices"
	"testing"
)

func TestCollect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mechanism string
		initial   []byte
		before    []string // challenges before authd is asked
		first     string   // what authd hears first
		answers   []string // to its challenges
	}{
		{"PLAIN", []byte("message"), nil, "message", []string{"1", "2"}},
		{"PLAIN", []byte{}, nil, "", []string{"1", "2"}},
		{"PLAIN", nil, []string{""}, "1", []string{"2", "3"}},
		{"LOGIN", []byte("name"), []string{"Password:"}, "name", []string{"1", "2"}},
		{"LOGIN", nil, []string{"Username:", "Password:"}, "1", []string{"2", "3"}},
		{"SCRAM-SHA-256", nil, nil, "", []string{"1", "2"}},
	} {
		var asked []string
		n := '0'
		initial, respond, err := Collect(c.mechanism, c.initial, func(challenge []byte) ([]byte, error) {
			asked = append(asked, string(challenge))
			n++
			return []byte(string(n)), nil
		})
		if err != nil || string(initial) != c.first || !slices.Equal(asked, c.before) {
			t.Errorf("%s %q: %q after %q, %v", c.mechanism, c.initial, initial, asked, err)
		}
		for _, want := range c.answers {
			if got, err := respond([]byte("?")); string(got) != want || err != nil {
				t.Errorf("%s %q: %q, %v, want %q", c.mechanism, c.initial, got, err, want)
			}
		}
	}
	cancelled := errors.New("cancelled")
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		if _, _, err := Collect(mechanism, nil, func([]byte) ([]byte, error) { return nil, cancelled }); err != cancelled {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
}
