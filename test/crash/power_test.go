//go:build faults

package crash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/spool"
	"postrider/test/suite"
)

// The disks whose power is cut, with their sizes in MiB. The copies of an xfs have its UUID, and one may still be mounted
// in another mount namespace.
var disks = []struct{ fs, size, options string }{{"ext4", "128", ""}, {"xfs", "320", "nouuid"}, {"btrfs", "256", ""}}

// TestPowerCut runs accept, pick-up and delivery on a filesystem whose power is cut, by the rig that POWERCUT names: it records
// every write of the disk, and gives this test the disk as many cuts would have left it.
func TestPowerCut(t *testing.T) {
	rig := os.Getenv("POWERCUT")
	if rig == "" {
		t.Skip("POWERCUT names no rig")
	}
	cuts := os.Getenv("POWERCUT_CUTS")
	if cuts == "" {
		cuts = "12"
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range disks {
		t.Run(d.fs, func(t *testing.T) {
			again := fmt.Sprintf("'%s' -test.count=1 -test.run '^TestPowerCutHelper$' -test.v", self)
			cmd := exec.Command(rig, "-fs", d.fs, "-o", d.options, "-size", d.size, "-cuts", cuts, "-run", "POWERCUT_MODE=run "+again, "-check", "POWERCUT_MODE=check "+again)
			cmd.Env = append(os.Environ(), "POWERCUT_BIN="+suite.Build(t))
			out, err := cmd.CombinedOutput()
			var kept []string
			for l := range strings.Lines(string(out)) {
				if !strings.HasPrefix(l, "===") && !strings.HasPrefix(l, "PASS") && !strings.HasPrefix(l, "---") {
					kept = append(kept, l)
				}
			}
			t.Logf("%s", strings.Join(kept, ""))
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestPowerCutHelper is what the rig runs: first the load, then for each cut the recovery and the check.
func TestPowerCutHelper(t *testing.T) {
	switch os.Getenv("POWERCUT_MODE") {
	case "run":
		powerRun(t, os.Getenv("POWERCUT_MNT"))
	case "check":
		powerCheck(t, os.Getenv("POWERCUT_MNT"))
	default:
		t.Skip("the rig runs it")
	}
}

func powerSuite(t *testing.T, mnt string, keep bool) *suite.Suite {
	if err := os.Chmod(filepath.Dir(mnt), 0o711); err != nil { // the daemons are not root
		t.Fatal(err)
	}
	return suite.New(t, suite.Options{IDs: suite.Single(), Bin: os.Getenv("POWERCUT_BIN"), Spool: mnt + "/spool", Mail: mnt + "/mail", Keep: keep,
		Daemons: suite.Incoming, Extra: "message_size = \"1M\"\n" + relaying})
}

// powerRun promises each id on POWERCUT_ACK after its 250.
func powerRun(t *testing.T, mnt string) {
	s := powerSuite(t, mnt, false)
	exec.Command("sync").Run() // the empty layout is there before the test begins
	s.StartAll()
	ack, err := os.OpenFile(os.Getenv("POWERCUT_ACK"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ack.Close()
	for range 3 { // a kill between them, so that cuts fall into recovery, too
		l := &load{addr: s.Addr["smtp"], stop: make(chan struct{}), acked: func(id string, users []string, remote bool) {
			fmt.Fprintf(ack, "%s %s %v\n", id, strings.Join(users, ","), remote)
		}}
		done := make(chan struct{})
		go func() { defer close(done); l.run(8) }()
		time.Sleep(time.Second)
		s.Kill()
		close(l.stop)
		<-done
		s.StartAll()
	}
	s.Kill()
}

// powerCheck lets the suite recover on the disk that is left, and looks for every promise.
func powerCheck(t *testing.T, mnt string) {
	acked, err := os.ReadFile(os.Getenv("POWERCUT_ACKED"))
	if err != nil {
		t.Fatal(err)
	}
	var all []promise
	for l := range strings.Lines(string(acked)) {
		f := strings.Fields(l)
		all = append(all, promise{f[0], strings.Split(f[1], ","), f[2] == "true"})
	}
	if len(all) == 0 {
		return // cut before the first promise, perhaps before the layout was on disk
	}
	s := powerSuite(t, mnt, true)
	before := mailboxes(s)
	s.StartAll()
	drain(t, s)
	s.Stop("localdeliver")
	any := map[string]bool{}
	for _, p := range all {
		any[p.id] = true // a power cut may repeat what was not yet durable
	}
	twice := verify(t, s, all, any)
	bad := 0
	if err := spool.Check(s.Spool, func(path string, err error) {
		if err != nil && !strings.Contains(path, "/bad/") {
			t.Errorf("%s: %v", path, err)
		}
	}); err != nil {
		t.Error(err)
	}
	torn, _ := filepath.Glob(s.Spool + "/stage/bad/*")
	bad += len(torn)
	fmt.Printf("cut: %d promised, %d in Maildirs before recovery, %d after; %d twice; %d torn and never promised\n", len(all), before, mailboxes(s), twice, bad)
}

func mailboxes(s *suite.Suite) (n int) {
	for _, u := range suite.Users {
		n += len(suite.Maildir(s.Mailbox(u)))
	}
	return n
}
