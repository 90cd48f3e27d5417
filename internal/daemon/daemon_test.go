package daemon

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/config"
	"postrider/internal/logline"
)

func TestReport(t *testing.T) {
	t.Parallel()
	const warning, info = `"level":4`, `"level":6`
	for note, level := range map[string]string{
		"files are not confined: landlock: function not implemented":     warning,
		"truncation of files is not confined: kernel before 6.2":         info,
		"not within reach: open /etc/nowhere: no such file or directory": info,
	} {
		var b strings.Builder
		d := &Daemon{Log: logline.NewWriter(&b, "authd", logline.JSON)}
		d.report([]string{note})
		if !strings.Contains(b.String(), note) || !strings.Contains(b.String(), level) {
			t.Errorf("%s: %s", note, b.String())
		}
	}
}

// TestReload: an error in the file, or in what is made of it, is an error of the reload, and apply sees no broken file.
func TestReload(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "postrider.toml")
	d := &Daemon{Path: path, Log: logline.NewWriter(io.Discard, "authd", logline.Text)}
	applied := 0
	apply := func(*config.Config) error { applied++; return nil }
	for _, c := range []struct {
		text    string
		applied int
		ok      bool
	}{{"version = 1\nhostname = \"a.example.org\"\n", 1, true}, {"nonsense = 1\n", 1, false}, {"version = 1\nhostname = \"b.example.org\"\n", 2, true}} {
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := d.reload(apply); (err == nil) != c.ok || applied != c.applied {
			t.Errorf("%q: %v, applied %d times", c.text, err, applied)
		}
	}
	if err := d.reload(func(*config.Config) error { return io.ErrUnexpectedEOF }); err != io.ErrUnexpectedEOF {
		t.Errorf("got %v", err)
	}
}
