package mailq

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"postrider/internal/control"
	"postrider/internal/envelope"
	"postrider/internal/usertest"
)

// states are those of all messages of the local channel.
func states(t *testing.T, root string) map[string]control.State {
	t.Helper()
	found := make(map[string]control.State)
	for id, e := range scan(t, root, envelope.Local) {
		found[id] = e.State
	}
	return found
}

// do parses and runs a command line.
func do(t *testing.T, root, runDir, line string) (status int, stdout, stderr string) {
	t.Helper()
	c, err := parse(strings.Fields(line))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	c.SpoolDir, c.RunDir = root, runDir
	return call(t, &c.Request)
}

// TestSteer runs commands on the same messages by the files and through a daemon.
func TestSteer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line   string // names stand for ids
		status int
		stdout string
		stderr string // of which any is enough
		want   string // states of new, deferred, other, hold afterwards
	}{
		{"hold new deferred", 0, "2 messages put on hold\n", "", "hold hold deferred hold"},
		{"hold -v new", 0, "new: put on hold\n1 message put on hold\n", "", "hold deferred deferred hold"},
		{"hold ALL", 0, "3 messages put on hold\n", "", "hold hold hold hold"},
		{"hold --user 4242", 0, "1 message put on hold\n", "", "incoming deferred hold hold"},
		{"hold --older 1h", 1, "", "no such message", "incoming deferred deferred hold"},
		{"hold --sender @example.org --state=deferred", 0, "2 messages put on hold\n", "", "incoming hold hold hold"},
		{"hold deferred other --user 4242", 0, "1 message put on hold\n", "", "incoming deferred hold hold"},
		{"release ALL", 0, "1 message released\n", "", "incoming deferred deferred incoming"},
		{"release hold new", 1, "1 message released\n", "new: not on hold", "incoming deferred deferred incoming"},
		{"delete hold ../x b8bby5wdt90bpmfm", 1, "1 message deleted\n", "../x: no such message", "incoming deferred deferred -"},
		{"delete b8bby5wdt90bpmfm", 1, "", "b8bby5wdt90bpmfm: no such message", "incoming deferred deferred hold"},
		{"delete --recipient bob@example.org --state=deferred,hold", 0, "3 messages deleted\n", "", "incoming - - -"},
		{"delete ALL", 0, "4 messages deleted\n", "", "- - - -"},
		{"retry hold", 1, "", "hold: on hold: release it first", "incoming deferred deferred hold"},
		{"retry ALL --files", 0, "3 messages to be tried now\n", "", "incoming incoming incoming hold"},
		{"flush --files", 0, "2 messages to be tried now\n", "", "incoming incoming incoming hold"},
		{"flush --files deferred", 0, "1 message to be tried now\n", "", "incoming incoming deferred hold"},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			for _, way := range []string{"files", "daemon"} {
				root, id := spoolOf(t)
				line, stdout, stderr := " "+c.line+" ", c.stdout, c.stderr
				for name, x := range id {
					if name != "other" && strings.HasPrefix(c.line, name) { // an action of that name
						line = " " + name + strings.ReplaceAll(line[len(name)+1:], " "+name+" ", " "+x+" ")
					} else {
						line = strings.ReplaceAll(line, " "+name+" ", " "+x+" ")
					}
					stdout, stderr = strings.ReplaceAll("\n"+stdout, "\n"+name+":", "\n"+x+":")[1:], replacePrefix(stderr, name, x)
				}
				runDir := t.TempDir()
				if way == "daemon" {
					runDir = serve(t, root, func(uint32) control.Rights { return control.Rights{Steer: true} })
				}
				status, out, errs := do(t, root, runDir, line)
				if status != c.status || out != stdout || !strings.Contains(errs, stderr) || (errs == "") != (stderr == "") {
					t.Errorf("by %s: %d, %q, %q", way, status, out, errs)
				}
				after := states(t, root)
				var got []string
				for _, name := range []string{"new", "deferred", "other", "hold"} {
					s := string(after[id[name]])
					if s == "" {
						s = "-"
					}
					got = append(got, s)
				}
				if strings.Join(got, " ") != c.want {
					t.Errorf("by %s: %v, not %s", way, got, c.want)
				}
			}
		})
	}
}

func replacePrefix(s, name, id string) string {
	if rest, ok := strings.CutPrefix(s, name+": "); ok {
		return id + ": " + rest
	}
	return s
}

// TestDryRun shows exactly what the action then is about, and does nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"hold", "release", "retry", "delete"} {
		root, id := spoolOf(t)
		before := fmt.Sprint(states(t, root))
		_, listing, _ := do(t, root, t.TempDir(), action+" -nj ALL")
		if after := fmt.Sprint(states(t, root)); after != before {
			t.Errorf("%s -n did something: %s, %s", action, before, after)
		}
		status, done, _ := do(t, root, t.TempDir(), action+" -v ALL")
		if status != exitOK {
			t.Errorf("%s: %d", action, status)
		}
		for name, x := range id {
			if strings.Contains(listing, x) != strings.Contains(done, x+": ") {
				t.Errorf("%s: %s in one only:\n%s\n%s", action, name, listing, done)
			}
		}
		if status, stdout, _ := do(t, root, t.TempDir(), action+" -n --older 5d"); status != exitNone || stdout != "" {
			t.Errorf("%s of nothing: %d, %q", action, status, stdout)
		}
	}
}

// TestOwn: through a daemon everybody steers his own, but what an administrator holds.
func TestOwn(t *testing.T) {
	t.Parallel()
	if !usertest.Run(t) {
		return
	}
	root, id := spoolOf(t)
	dir := serve(t, root, func(uint32) control.Rights { return control.Rights{List: true} })
	blind := forbidden(t)
	if _, stdout, _ := do(t, blind, dir, "list -j"); strings.Count(stdout, "\n") != 4 {
		t.Errorf("list: %s", stdout)
	}
	if _, stdout, _ := do(t, blind, dir, "delete -nj ALL"); strings.Count(stdout, "\n") != 3 || strings.Contains(stdout, id["other"]) {
		t.Errorf("dry run: %s", stdout)
	}
	if status, _, stderr := do(t, blind, dir, "delete "+id["other"]); status != exitNone || !strings.Contains(stderr, "no such message") {
		t.Errorf("another's: %d, %s", status, stderr)
	}
	if status, _, stderr := do(t, blind, dir, "cat "+id["other"]); status != exitNone || !strings.Contains(stderr, "no such message") {
		t.Errorf("cat of another's: %d, %s", status, stderr)
	}
	if status, stdout, _ := do(t, blind, dir, "cat "+id["new"]); status != exitOK || !strings.HasSuffix(stdout, "hello\r\n") {
		t.Errorf("cat: %d, %s", status, stdout)
	}
	held := "mailq: " + id["hold"] + ": on hold by the administrator\n"
	if status, stdout, stderr := do(t, blind, dir, "delete ALL"); status != exitNone || stdout != "2 messages deleted\n" || stderr != held {
		t.Errorf("delete: %d, %q, %q", status, stdout, stderr)
	}
	if left := states(t, root); len(left) != 2 || left[id["other"]] == "" || left[id["hold"]] == "" {
		t.Errorf("left: %v", left)
	}
	if status, stdout, _ := do(t, blind, dir, "flush"); status != exitOK || stdout != "7 messages to be tried now\n" {
		t.Errorf("flush: %d, %q", status, stdout)
	}
}

// TestDamagedStays: what is damaged is deleted only if it is meant.
func TestDamagedStays(t *testing.T) {
	t.Parallel()
	root := newSpool(t)
	consumer(t, root, envelope.Local)
	bad := root + "/local/bad/" + newID(1)
	for _, c := range []struct {
		line string
		gone bool
	}{{"delete --smaller 1M", false}, {"delete --smaller 1M --state corrupt", true}, {"delete ALL", true}, {"delete " + newID(1), true}} {
		if err := os.WriteFile(bad, []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
		do(t, root, t.TempDir(), c.line)
		if _, err := os.Lstat(bad); (err != nil) != c.gone {
			t.Errorf("%s: %v", c.line, err)
		}
	}
}

func TestCat(t *testing.T) {
	t.Parallel()
	root, id := spoolOf(t)
	status, stdout, stderr := do(t, root, t.TempDir(), "cat "+id["hold"]+" "+id["new"])
	if status != exitOK || strings.Count(stdout, envelope.Magic) != 2 || strings.Count(stdout, "hello\r\n") != 2 || stderr != "" {
		t.Errorf("%d, %q, %q", status, stdout, stderr)
	}
	status, stdout, stderr = do(t, root, t.TempDir(), "cat "+newID(5)+" "+id["new"])
	if status != exitNone || strings.Count(stdout, envelope.Magic) != 1 || !strings.Contains(stderr, newID(5)+": no such message") {
		t.Errorf("%d, %q, %q", status, stdout, stderr)
	}
	c, _ := parse([]string{"cat", id["new"]})
	c.SpoolDir = root
	if status := c.Run(t.Context(), fullDisk{}, io.Discard); status != exitIO {
		t.Errorf("output fails: %d", status)
	}
}

// TestSelected: a list of nothing that was asked for is a failure, an empty queue is none.
func TestSelected(t *testing.T) {
	t.Parallel()
	root := newSpool(t)
	if status, stdout, _ := do(t, root, t.TempDir(), ""); status != exitOK || stdout != "Mail queue is empty\n" {
		t.Errorf("%d, %q", status, stdout)
	}
	for _, line := range []string{newID(1), "list --sender x@y", "-j --state hold"} {
		if status, stdout, stderr := do(t, root, t.TempDir(), line); status != exitNone || stdout != "" || stderr != "mailq: no such message\n" {
			t.Errorf("%s: %d, %q, %q", line, status, stdout, stderr)
		}
	}
}

func TestHarmless(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\tb\r\nc\n": "a\tb\nc\n", "\x1b[2J\x07\x00": "?[2J??", "\u009b31m\u007f": "?31m?", "\xff\xc3": "??", "müller €": "müller €", "over\rwritten": "overwritten",
	} {
		if got := string(scrub([]byte(in))); got != want {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
	}
}

func FuzzHarmless(f *testing.F) {
	f.Add([]byte("a\u009bb\r\nmüller €\xff\xe2\x82"), uint8(3))
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		var b bytes.Buffer
		h := &harmless{w: &b}
		for piece := range slices.Chunk(text, int(size)+1) {
			if n, err := h.Write(piece); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
		}
		if len(h.rest) >= utf8.UTFMax {
			t.Fatalf("%q is kept", h.rest)
		}
		whole := scrub(text[:len(text)-len(h.rest)])
		if !bytes.Equal(b.Bytes(), whole) {
			t.Fatalf("%q in pieces, %q at once", b.Bytes(), whole)
		}
		for _, r := range b.String() {
			if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
				t.Fatalf("%q", b.Bytes())
			}
		}
		if e := escapeControls(text); utf8.Valid(text) && bytes.ContainsFunc(e, func(r rune) bool { return r >= 0x7f && r < 0xa0 }) {
			t.Fatalf("%q", e)
		}
	})
}
