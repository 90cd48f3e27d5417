package mailq

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"postrider/internal/envelope"
)

const someID = "b8bby5wdt90bpmfm"

func TestParse(t *testing.T) {
	t.Parallel()
	const standard = "/etc/postrider/postrider.toml"
	for line, want := range map[string]string{
		"":                                       "list " + standard + " [] 0",
		"-j":                                     "list " + standard + " [] 0 j",
		"-Ac -v -C /c " + someID:                 "list /c [" + someID + "] 0 v",
		"-c/c -j list a b":                       "list /c [a b] 0 j",
		"list -- -j":                             "list " + standard + " [-j] 0",
		"-bp":                                    "list " + standard + " [] 0",
		"delete -n --domain example.org":         "delete " + standard + " [] 2 n", // and none that is damaged
		"hold --sender x@y --older 2d":           "hold " + standard + " [] 2",
		"hold --from=x@y --sender z":             "hold " + standard + " [] 1",
		"--younger 1h retry":                     "retry " + standard + " [] 1",
		"release ALL":                            "release " + standard + " [] 0 A",
		"delete ALL --state=corrupt -v":          "delete " + standard + " [] 1 vA",
		"delete --state corrupt":                 "delete " + standard + " [] 1",
		"delete -":                               "delete " + standard + " [] 0 -",
		"cat " + someID + " --":                  "cat " + standard + " [" + someID + "] 0",
		"flush":                                  "flush " + standard + " [] 0",
		"flush --dry-run":                        "flush " + standard + " [] 0 n",
		"retry --files " + someID + " " + someID: "retry " + standard + " [" + someID + "] 0 f",
		"-nj delete ALL":                         "delete " + standard + " [] 0 jnA",
	} {
		c, err := parse(strings.Fields(line))
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		got := fmt.Sprintf("%s %s %v %d ", c.Do, c.config, c.IDs, len(c.Filter))
		for flag, set := range map[string]bool{"j": c.JSON} {
			if set {
				got += flag
			}
		}
		for _, f := range []struct {
			letter string
			set    bool
		}{{"n", c.DryRun}, {"v", c.Verbose}, {"f", c.Files}, {"A", c.All}, {"-", c.stdin}} {
			if f.set {
				got += f.letter
			}
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("%q: got %s, want %s", line, got, want)
		}
	}
}

// TestParseRefuses: above all what would concern everything by mistake.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"-x", "-C", "--json", "remove x", "delete", "hold -n", "release", "retry -v", "cat", "cat ALL", "cat --sender x " + someID, "delete ALL " + someID, "delete --sender=",
		"delete --sender", "delete --older x", "delete -j ALL", "-jn cat " + someID, "delete --files=yes ALL", "cat --files " + someID, "list --state gone", "../x",
	} {
		if c, err := parse(strings.Fields(line)); err == nil {
			t.Errorf("%q: %+v", line, c)
		}
	}
	if _, err := parse([]string{"delete", "--sender", ""}); err == nil {
		t.Error("an empty variable deletes mail")
	}
}

func TestReadIDs(t *testing.T) {
	t.Parallel()
	c, err := parse([]string{"delete", "-"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.readIDs(strings.NewReader("a\n\n b\tx\na\nc")); err != nil || fmt.Sprint(c.IDs) != "[a b c]" {
		t.Errorf("%v, %v", c.IDs, err)
	}
	if c, _ = parse([]string{"delete", "-"}); c.readIDs(strings.NewReader("")) != nil || c.IDs == nil {
		t.Error("no ids are not all")
	}
	if err := c.readIDs(strings.NewReader(strings.Repeat("x", maxInputLine+1))); err == nil {
		t.Error("an endless line")
	}
}

func FuzzCommand(f *testing.F) {
	for _, s := range []string{"delete ALL", "hold --sender x --older 2d -n", "-j -C x", "cat - --", "--state=hold,active x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words := strings.Split(s, " ")
		c, err := parse(words)
		if err != nil {
			return
		}
		if c.Do != List && c.Do != Flush && !c.All && !c.stdin && len(c.IDs) == 0 && len(c.Filter) == 0 {
			t.Fatalf("%q: everything without ALL", s)
		}
		if len(c.IDs) > len(words) {
			t.Fatalf("%q: ids from nowhere: %q", s, c.IDs)
		}
	})
}

// spoolOf is a spool with messages in several states, and their ids.
func spoolOf(t *testing.T) (root string, id map[string]string) {
	t.Helper()
	root = newSpool(t)
	c := consumer(t, root, envelope.Local)
	bob := local(t, "bob@example.org")
	id = map[string]string{"new": put(t, root, int64(os.Getuid()), bob), "deferred": put(t, root, int64(os.Getuid()), bob), "other": put(t, root, 4242, bob), "hold": put(t, root, int64(os.Getuid()), bob)}
	for _, name := range []string{"deferred", "other", "hold"} {
		i, err := c.Pickup(id[name], dest)
		if err != nil {
			t.Fatal(err)
		}
		if name == "hold" {
			err = c.Hold(i)
		} else {
			err = c.Defer(i, time.Now().Add(time.Hour))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root, id
}
