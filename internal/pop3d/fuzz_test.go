package pop3d

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

func FuzzCommand(f *testing.F) {
	for _, s := range []string{"RETR 1", "top 2 0", "LIST", "", " ", "DELE 4294967297", "UIDL 00001", "TOP 1  9", "RETR \x00", "RETR 1 ", "X\xff\r"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		verb, args := parseCommand(text)
		if strings.Contains(verb, " ") || args != strings.Trim(args, " ") {
			t.Fatalf("%q: %q, %q", text, verb, args)
		}
		i, err := parseNumber(args, 5)
		if err == nil && (i < 0 || i >= 5 || strings.TrimLeft(args, "0") != string('1'+byte(i))) {
			t.Fatalf("%q is %d", args, i)
		}
		for _, answer := range []string{shown(verb), shown(args)} {
			for _, c := range []byte(answer) {
				if c < ' ' || c > '~' || len(answer) > 450 {
					t.Fatalf("answer %q", answer)
				}
			}
		}
	})
}

// FuzzMultiline checks that a client gets back what the file has, with CRLF, and that nothing in it ends the response.
func FuzzMultiline(f *testing.F) {
	for _, h := range hostile {
		if len(h.file) < 1000 {
			f.Add([]byte(h.file), 7, int64(unlimited))
		}
	}
	f.Add([]byte("A: b\n\n1\n2\n"), 1, int64(1))
	f.Fuzz(func(t *testing.T, file []byte, step int, lines int64) {
		var b bytes.Buffer
		out := bufio.NewWriter(&b)
		m := multiline{out: out, lines: max(lines, unlimited)}
		for p := file; len(p) > 0; {
			n := min(len(p), max(step, 1))
			m.write(p[:n])
			p = p[n:]
		}
		m.end()
		out.Flush()
		var got []byte
		for l := range bytes.Lines(b.Bytes()) {
			text, ok := bytes.CutSuffix(l, []byte("\r\n"))
			if !ok || string(text) == "." {
				t.Fatalf("%q: line %q", file, l)
			}
			got = append(append(got, bytes.TrimPrefix(text, []byte("."))...), '\r', '\n')
		}
		want := wireForm(file, lines)
		if !bytes.Equal(got, want) {
			t.Fatalf("%q, %d lines: %q, want %q", file, lines, got, want)
		}
	})
}

// wireForm is the plain way: whole lines, one after another.
func wireForm(file []byte, lines int64) (out []byte) {
	body := false
	for l := range bytes.Lines(file) {
		if body && lines == 0 {
			break
		}
		text := bytes.TrimSuffix(l, []byte("\n"))
		whole := len(text) < len(l)
		if whole {
			text = bytes.TrimSuffix(text, []byte("\r"))
		}
		out = append(append(out, text...), '\r', '\n')
		if body {
			lines--
		}
		body = body || whole && len(text) == 0
	}
	if len(file) == 0 {
		return []byte("\r\n")
	}
	return out
}
