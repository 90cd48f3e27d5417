// Package e2e runs the real programs and talks to them as the world does.
package e2e

import (
	"flag"
	"os"
	"strings"
	"testing"

	"postrider/test/suite"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		f.Value.Set("8") // the tests wait more than they compute
	}
	code := m.Run()
	suite.Cleanup()
	os.Exit(code)
}

// eachWay runs a test with everything under one uid and, as root, with the uids of an installed suite.
func eachWay(t *testing.T, test func(t *testing.T, o suite.Options)) {
	t.Helper()
	t.Parallel()
	t.Run("one-uid", func(t *testing.T) {
		t.Parallel()
		test(t, suite.Options{IDs: suite.Single()})
	})
	t.Run("separate-uids", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("needs root: gives each daemon its own uid")
		}
		t.Parallel()
		test(t, suite.Options{IDs: suite.Separated()})
	})
}

// contains reports every text that is not in s.
func contains(t *testing.T, s string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(s, text) {
			t.Errorf("no %q in\n%s", text, s)
		}
	}
}

// containsNot reports every text that is in s.
func containsNot(t *testing.T, s string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(s, text) {
			t.Errorf("%q in\n%s", text, s)
		}
	}
}

// local is an address of the suite's domain.
func local(user string) string { return user + "@" + suite.Domain }

// hello connects to a service and says EHLO.
func hello(s *suite.Suite, service string) *suite.Client {
	c := s.Dial(service)
	c.Cmd(250, "EHLO client.example")
	return c
}

// must stops the test at an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// patient is a configuration whose deferred mail stays deferred until it is flushed.
const patient = "[localdeliver]\nmin_backoff = \"1h\"\n"

// eager is one whose deferred mail is tried again soon.
const eager = "[localdeliver]\nmin_backoff = \"1s\"\nmax_backoff = \"1s\"\n"
