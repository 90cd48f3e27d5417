package indexdir

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestOwn(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	own, err := Own(base)
	if err != nil || string(own) != filepath.Join(base, strconv.Itoa(os.Geteuid())) {
		t.Fatal(own, err)
	}
	if again, err := Own(base); again != own || err != nil {
		t.Error("a second time:", again, err)
	}
	if info, err := os.Lstat(string(own)); err != nil || info.Mode() != os.ModeDir|0o700 {
		t.Error(info.Mode(), err)
	}
	if _, err := Own(base + "/none"); err == nil {
		t.Error("made where there is no base")
	}
}

// TestNotOwn has something else in the directory's place.
func TestNotOwn(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(path string) error{
		"of others too": func(path string) error {
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
			return os.Chmod(path, 0o750)
		},
		"link": func(path string) error { return os.Symlink(filepath.Dir(path), path) },
		"file": func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			if err := put(filepath.Join(base, strconv.Itoa(os.Geteuid()))); err != nil {
				t.Fatal(err)
			}
			if own, err := Own(base); err == nil {
				t.Errorf("%q is used", own)
			}
		})
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if got := Dir("").Path(folder, "f", 1, 2); got != folder+"/f" {
		t.Error(got)
	}
	before, err := Dir("/x").Find(folder, "f")
	if err != nil || filepath.Dir(before) != "/x" {
		t.Fatal(before, err)
	}
	if err := os.Rename(folder, folder+"2"); err != nil {
		t.Fatal(err)
	}
	if after, err := Dir("/x").Find(folder+"2", "f"); after != before || err != nil {
		t.Errorf("%q, then %q, %v", before, after, err)
	}
	if _, err := Dir("/x").Find(folder, "f"); err == nil {
		t.Error("a folder that is not there has a place")
	}
}
