// Package e2e runs the real programs and talks to them as the world does.
package e2e

import (
	"os"
	"testing"

	"postrider/test/suite"
)

func TestMain(m *testing.M) {
	code := m.Run()
	suite.Cleanup()
	os.Exit(code)
}

// eachWay runs a test with everything under one uid and, as root, with the uids of an installed suite.
func eachWay(t *testing.T, test func(t *testing.T, o suite.Options)) {
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
