package mailstore

import (
	"bytes"
	_ "embed"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postrider/internal/usertest"
)

// courierFiles are what a session each of Courier 5's IMAP and POP3 servers left, under "-- path --" lines.
//
//go:embed testdata/courier.txt
var courierFiles string

// courierMaildir is a Maildir as Courier left it.
func courierMaildir(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	var f *os.File
	for line := range strings.Lines(courierFiles) {
		if path, ok := strings.CutPrefix(line, "-- "); ok {
			path = filepath.Join(root, strings.TrimSuffix(path, " --\n"))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			var err error
			if f, err = os.Create(path); err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			continue
		}
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func openStore(t testing.TB, root string) *Store {
	t.Helper()
	s, err := Open(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCourier compares with what Courier said of the same files.
func TestCourier(t *testing.T) {
	t.Parallel()
	root := courierMaildir(t)
	s := openStore(t, root)
	wantCourier(t, s)
	b := openBox(t, s, Inbox)
	uidls := map[string]string{"1": "UID2", "3": "UID4", "4": "UID5", "5": "UID6", "6": "UID7"}
	for _, m := range b.Messages() {
		key, _ := m.Key('P')
		if want := uidls[string('0'+rune(m.UID))] + "-1795331989"; key != want {
			t.Errorf("UID %d: %s, want %s", m.UID, key, want)
		}
	}
	if text := read(t, root+"/"+uidlistFile); !strings.HasPrefix(text, "3 V795331992 N7 G") ||
		!strings.Contains(text, "\n1 PUID2-1795331989 :1000002.M2P1.host\n") {
		t.Errorf("%q", text)
	}
	if got := read(t, root+"/subscriptions"); got != "V\t2\n\nEntw&APw-rfe\nA\tB\nINBOX\n" {
		t.Errorf("%q", got)
	}
	names, err := filepath.Glob(root + "/" + courierList)
	if err != nil || len(names) > 0 {
		t.Error("could be taken a second time:", names, err)
	}
	wantCourier(t, openStore(t, root)) // by what was written
}

// wantCourier looks at folders and views.
func wantCourier(t *testing.T, s *Store) {
	t.Helper()
	for _, f := range []struct {
		name, view     string
		validity, next uint32
	}{
		{Inbox, "1:[$Label1] 3:S[Junk] 4:F 5: 6:", 795331992, 7},
		{"A.B", "1:[Work $Label1 Other] 2:[Work $Label1] 3:S[Junk]", 795331993, 4},
		{"Entwürfe", "", 795331994, 1},
	} {
		b := openBox(t, s, f.name)
		wantView(t, b, f.view)
		if b.UIDValidity() != f.validity || b.UIDNext() != f.next {
			t.Errorf("%s: UIDVALIDITY %d, UIDNEXT %d", f.name, b.UIDValidity(), b.UIDNext())
		}
	}
	if names, err := s.Subscriptions(); err != nil || !slices.Equal(names, []string{"Entwürfe", "A.B", "INBOX"}) {
		t.Error(names, err)
	}
}

// TestCourierToDovecot: what was taken over can be given to Dovecot.
func TestCourierToDovecot(t *testing.T) {
	t.Parallel()
	if !usertest.Run(t) {
		return
	}
	root := courierMaildir(t)
	s := openStore(t, root)
	wantCourier(t, s)
	d := startDovecot(t, root)
	for _, folder := range []string{Inbox, "A.B"} {
		b := openBox(t, s, folder)
		view, validity := d.view(folder)
		if want := fmt.Sprint(b.UIDValidity()); view != show(b) || validity != want {
			t.Errorf("%s: Dovecot sees %q, UIDVALIDITY %s, want %q, %s", folder, view, validity, show(b), want)
		}
	}
	if got := d.do(`LIST (SUBSCRIBED) "" *`); !strings.Contains(got, "A.B") || !strings.Contains(got, "Entw&APw-rfe") || !strings.Contains(got, "INBOX") {
		t.Error(got)
	}
}

// TestCourierOnce: what Courier's files say does not count when there is a uidlist, or there was one.
func TestCourierOnce(t *testing.T) {
	t.Parallel()
	root := courierMaildir(t)
	openBox(t, openStore(t, root), Inbox).Close()
	if err := os.Remove(root + "/" + uidlistFile); err != nil {
		t.Fatal(err)
	}
	b := openBox(t, openStore(t, root), Inbox)
	if b.UIDValidity() <= 795331992 {
		t.Error("UIDs are given again:", b.UIDValidity())
	}
	if key, _ := b.Messages()[0].Key('P'); key != "UID2-1795331989" {
		t.Error("UIDL", key)
	}
	write(t, root+"/.A.B/"+uidlistFile, "no list\n")
	if b := openBox(t, openStore(t, root), "A.B"); b.UIDValidity() <= 795331993 {
		t.Error("an unreadable list was passed over:", b.UIDValidity())
	}
}

// TestCourierAgain: an import that was cut short goes on from any of its steps.
func TestCourierAgain(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]func(root string){
		"list renamed": func(root string) {
			os.Rename(root+"/"+courierList, root+"/"+uidlistFile)
		},
		"keywords written": func(root string) {
			os.Rename(root+"/"+courierList, root+"/"+uidlistFile)
			write(t, root+"/"+keywordsFile, "0 Junk\n1 Work\n2 $Label1\n")
		},
		"some letters set": func(root string) {
			os.Rename(root+"/"+courierList, root+"/"+uidlistFile)
			write(t, root+"/"+keywordsFile, "0 Junk\n1 Work\n2 $Label1\n")
			os.Rename(root+"/cur/1000004.M4P1.host:2,S", root+"/cur/1000004.M4P1.host:2,Sa")
		},
		"subscriptions not written": func(root string) { write(t, root+"/subscriptions.lock", "") },
	} {
		root := courierMaildir(t)
		step(root)
		t.Run(name, func(t *testing.T) {
			wantCourier(t, openStore(t, root))
		})
	}
}

// TestCourierHostile: a file that is none, or a link, imports nothing and does not hold anything up.
func TestCourierHostile(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2*maxLine)
	for name, change := range map[string]func(root string){
		"list is a directory":  func(root string) { os.Remove(root + "/" + courierList); os.Mkdir(root+"/"+courierList, 0o700) },
		"list is of version 3": func(root string) { write(t, root+"/"+courierList, "3 V5 N6 Gx\n5 :1000002.M2P1.host\n") },
		"list is nonsense":     func(root string) { write(t, root+"/"+courierList, long) },
		"sizes are a link":     func(root string) { os.Remove(root + "/" + courierPOP3); os.Symlink("/dev/zero", root+"/"+courierPOP3) },
		"sizes are nonsense":   func(root string) { write(t, root+"/"+courierPOP3, "/3 \n"+long+"\n a b c\n 1:2\n") },
		"keywords are a file": func(root string) {
			os.RemoveAll(root + "/" + courierKeywordsDir)
			write(t, root+"/"+courierKeywordsDir, long)
		},
		"keywords without names": func(root string) {
			write(t, root+"/"+courierKeywordsDir+"/:list", "\n1000005.M5P1.host:0 -1 7 x\n"+long)
		},
		"keyword is a directory": func(root string) { os.Mkdir(root+"/"+courierKeywordsDir+"/1000005.M5P1.host", 0o700) },
		"keyword is long":        func(root string) { write(t, root+"/"+courierKeywordsDir+"/1000005.M5P1.host", long) },
	} {
		root := courierMaildir(t)
		change(root)
		t.Run(name, func(t *testing.T) {
			if n := len(openBox(t, openStore(t, root), Inbox).Messages()); n != 5 {
				t.Error(n, "messages")
			}
		})
	}
}

// TestCourierManyKeywords: a folder has room for 26, and the first ones stay.
func TestCourierManyKeywords(t *testing.T) {
	t.Parallel()
	root := courierMaildir(t)
	list := "\\Strange\n"
	for i := range 30 {
		list += "k" + string('A'+rune(i)) + "\n"
	}
	write(t, root+"/"+courierKeywordsDir+"/:list", list+"\n1000006.M6P1.host:0 1 26 27 30\n")
	s := openStore(t, root)
	b := openBox(t, s, Inbox)
	if names := b.KeywordNames(b.Messages()[3].Keywords); !slices.Equal(names, []string{"kA", "kZ"}) {
		t.Error(names)
	}
}

func FuzzSizelist(f *testing.F) {
	f.Add([]byte("/3 8 1795331989\n1000002.M2P1.host:2, 45 2:1795331989:0\na b 45 7:0:1\n"))
	f.Add([]byte("/2 1\nx 1 1:1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		err := parseSizelist(bytes.NewReader(data), func(base, uidl string) {
			if r, ok := parseRecord("1 P"+uidl+" :"+base, 3); !ok || r.base != base || r.keys != "P"+uidl {
				t.Fatalf("%q %q became %+v", base, uidl, r)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzCourierKeywords(f *testing.F) {
	f.Add([]byte("Junk\nWork\n$Label1\n\n1000002.M2P1.host:2 1\n1000004.M4P1.host:0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k := courierKeywords{sets: make(map[string]Keywords)}
		if err := k.parseList(bytes.NewReader(data), validBase); err != nil {
			t.Fatal(err)
		}
		for base, set := range k.sets {
			if len(k.names.names(set)) != bits.OnesCount32(uint32(set)) || !validBase(base) {
				t.Fatalf("%q: %b of %q", base, set, k.names)
			}
		}
	})
}
