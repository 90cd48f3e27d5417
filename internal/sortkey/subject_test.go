package sortkey

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestBaseSubject(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		base  string
		reply bool
	}{
		"":                                      {"", false},
		"hello":                                 {"hello", false},
		" hello  \t world ":                     {"hello world", false},
		"Re: hello":                             {"hello", true},
		"RE:RE :re: FWD: Fw:hello":              {"hello", true},
		"re[2]: hello":                          {"hello", true},
		"re [2] : hello":                        {"hello", true},
		"re [2 : hello":                         {"re [2 : hello", false},
		"Re hello":                              {"Re hello", false},
		"Regarding: hello":                      {"Regarding: hello", false},
		"[list] hello":                          {"hello", false},
		"[a] [b]re: [c] hello":                  {"hello", true},
		"[a][b] hello":                          {"hello", false},
		"[a]":                                   {"[a]", false},
		"[a] [b]":                               {"[b]", false},
		"[a [b] hello":                          {"[a [b] hello", false},
		"[a] re: [b]":                           {"[b]", true},
		"hello (fwd)":                           {"hello", true},
		"hello (fwd) (FWD)  ":                   {"hello", true},
		"hello(Fwd)":                            {"hello", true},
		"(fwd)":                                 {"", true},
		"re:":                                   {"", true},
		"re: re:":                               {"", true},
		"[fwd: hello]":                          {"hello", true},
		"[Fwd: Re: [list] hello (fwd)]":         {"hello", true},
		"[fwd: [fwd: [fwd: hello]]]":            {"hello", true},
		"[fwd: hello] world":                    {"world", false},
		"[fwd: hello":                           {"[fwd: hello", false},
		"[fwd:]":                                {"", true},
		"re: [fwd: [x] hello] (fwd)":            {"hello", true},
		"[fwd: a[b] c]":                         {"a[b] c", true},
		"Aw: hello":                             {"Aw: hello", false},
		"\xe4 re: \xe4":                         {"\xe4 re: \xe4", false},
		"[" + strings.Repeat("x", 300) + "] hi": {"hi", false},
	} {
		base, reply := baseSubject(packSpace(nil, []byte(in)))
		if string(base) != want.base || reply != want.reply {
			t.Errorf("%q: %q %v, not %q %v", in, base, reply, want.base, want.reply)
		}
	}
}

// TestHostileSubjects has subjects that would take a simple implementation minutes.
func TestHostileSubjects(t *testing.T) {
	t.Parallel()
	start := time.Now()
	for _, s := range []string{"[a]", "[", "re", "re:", "[fwd:", "fwd [", "[a] re [b] ", "(fwd)", "[fwd:re [", " "} {
		long := []byte(strings.Repeat(s, maxBody/len(s)))
		baseSubject(long)
		baseSubject(append(long, bytes.Repeat([]byte("]"), maxBody)...))
	}
	if spent := time.Since(start); spent > 5*time.Second {
		t.Errorf("took %v", spent)
	}
}

// FuzzBaseSubject checks that a base subject is part of the subject and is its own base subject, but for a leader that the
// removal of another made one.
func FuzzBaseSubject(f *testing.F) {
	for _, s := range []string{"Re: [list] hello (fwd)", "[fwd: [a] fw[x] : b]", "[a][b", "re[a]b:", " [fwd:re:] (fwd)"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := packSpace(nil, text)
		base, _ := baseSubject(bytes.Clone(s))
		if !bytes.Contains(s, base) || bytes.HasPrefix(base, []byte(" ")) || bytes.HasSuffix(base, []byte(" ")) {
			t.Fatalf("%q in %q", base, s)
		}
		if again, reply := baseSubject(bytes.Clone(base)); !bytes.Equal(again, base) || reply {
			t.Errorf("%q: %q, of which that is %q", text, base, again)
		}
	})
}
