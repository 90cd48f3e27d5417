package suite

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var build struct {
	sync.Once
	dir string
	err error
	out []byte
}

// Build builds every program once for this test program and returns the directory. Tags come from POSTRIDER_TEST_TAGS.
func Build(tb testing.TB) string {
	tb.Helper()
	build.Do(func() { build.dir, build.out, build.err = BuildTags(os.Getenv("POSTRIDER_TEST_TAGS")) })
	if build.err != nil {
		tb.Fatalf("build: %v\n%s", build.err, build.out)
	}
	return build.dir
}

// BuildTags builds every program with the given build tags into a new directory. Cleanup removes it.
func BuildTags(tags string) (dir string, out []byte, err error) {
	if dir, err = os.MkdirTemp("", "prbin"); err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return dir, nil, err
	}
	root, err := moduleRoot()
	if err != nil {
		return dir, nil, err
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-tags", tags, "-o", dir+"/", "./cmd/...", "./test/run/mkrun")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err = cmd.CombinedOutput(); err != nil {
		return dir, out, err
	}
	for _, launcher := range []string{"authd", "localdeliver"} { // as they are installed
		if err := os.Chmod(filepath.Join(dir, launcher), 0o711); err != nil {
			return dir, nil, err
		}
	}
	return dir, out, nil
}

// Cleanup removes what Build built; TestMain calls it.
func Cleanup() {
	if build.dir != "" {
		os.RemoveAll(build.dir)
	}
}

// moduleRoot is the directory of go.mod above the test's.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", os.ErrNotExist
		}
		dir = filepath.Dir(dir)
	}
}
