package daemon

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/config"
	"postrider/internal/logline"
)

// asDaemon has the test program be a daemon with that configuration.
const asDaemon = "POSTRIDER_TEST_DAEMON"

func TestMain(m *testing.M) {
	if path := os.Getenv(asDaemon); path != "" {
		os.Args = []string{"authd", "-c", path}
		Main("authd", logs)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// logs is a daemon that logs when it is told to and then says that it is still there.
func logs(d *Daemon, _ *config.Config) error {
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return err
	}
	d.Log.Info("a line")
	_, err := fmt.Println("still")
	return err
}

// TestEndOfLog: a daemon outlives its log.
func TestEndOfLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "postrider.toml")
	if err := os.WriteFile(path, []byte("version = 1\nhostname = \"a.example.org\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asDaemon+"="+path)
	log, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = theirs
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start(), theirs.Close(), log.Close()); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() }).Stop()
	in.Write([]byte("x"))
	line, _ := bufio.NewReader(out).ReadString('\n')
	if err := cmd.Wait(); line != "still\n" || err != nil {
		t.Errorf("it says %q, %v", line, err)
	}
}

func TestNeedRestart(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	d := &Daemon{Log: logline.NewWriter(&b, "authd", logline.Text)}
	started, now := config.Default(), config.Default()
	now.Hostname = "other.example.org"
	d.NeedRestart(append(SpawnerKeys(started, now), Keys{{"spool_dir", false}}...))
	if b.Len() > 0 {
		t.Error(b.String())
	}
	now.FirstValidUID, now.MailboxUser, now.SingleUID = 500, "mail", true
	d.NeedRestart(append(SpawnerKeys(started, now), Keys{{"spool_dir", true}}...))
	for _, key := range []string{"first_valid_uid", "mailbox_user", "single_uid", "spool_dir"} {
		if !strings.Contains(b.String(), key+" has changed: that takes a restart\n") {
			t.Errorf("%s is not in the log:\n%s", key, b.String())
		}
	}
}

func TestMailboxUser(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]uint32{"150": 150, "root": 0} {
		if uid, gid, err := mailboxUser(name); uid != want || gid != want || err != nil {
			t.Errorf("%s: %d, %d, %v", name, uid, gid, err)
		}
	}
	for _, name := range []string{"no such user", "-1", "4294967296"} {
		if uid, _, err := mailboxUser(name); err == nil {
			t.Errorf("%s: %d", name, uid)
		}
	}
}

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
