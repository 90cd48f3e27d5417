package imapd

import (
	"bufio"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postrider/internal/imap/support"
)

// TestSupportTable keeps docs/imap-support.txt true: what is announced after the login is what the table calls whole.
func TestSupportTable(t *testing.T) {
	t.Parallel()
	var announced []string
	for _, line := range newServer(t).connect().ok("CAPABILITY") {
		list, _ := strings.CutPrefix(line, "* CAPABILITY ")
		announced = append(announced, strings.Fields(list)...)
	}
	for _, problem := range support.Compare(support.Load(t), announced, false) {
		t.Error(problem)
	}
}

// TestSupportTests: every test that the table names is there.
func TestSupportTests(t *testing.T) {
	t.Parallel()
	tests := testsBelow(t, "..")
	for _, row := range support.Load(t) {
		for _, name := range row.Tests {
			if !tests[name] {
				t.Errorf("line %d: there is no test %s", row.Line, name)
			}
		}
	}
}

var testFunc = regexp.MustCompile(`^func ((?:Test|Fuzz)\w+)\(`)

// testsBelow finds the tests of all packages in a directory: "imapd.TestLogin".
func testsBelow(t *testing.T, root string) map[string]bool {
	t.Helper()
	tests := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		pkg, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if m := testFunc.FindStringSubmatch(lines.Text()); m != nil {
				tests[pkg+"."+m[1]] = true
			}
		}
		return lines.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}
