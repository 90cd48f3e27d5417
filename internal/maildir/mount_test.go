package maildir

import (
	"errors"
	"os"
	"testing"
)

func TestCheckMount(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := CheckMount(root, ""); err != nil {
		t.Error("nothing was asked for:", err)
	}
	if err := CheckMount(root, "mail1"); !errors.Is(err, ErrNotMounted) {
		t.Error("no file:", err)
	}
	for text, good := range map[string]bool{"mail1\n": true, "mail1": true, "mail1\r\nmore": true, "mail12\n": false, "\nmail1\n": false, "": false} {
		if err := os.WriteFile(root+"/"+MountFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := CheckMount(root, "mail1"); (err == nil) != good || err != nil && !errors.Is(err, ErrNotMounted) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
