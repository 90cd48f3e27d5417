package mailstore

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
	"testing"

	"postrider/internal/mutf7"
)

// FuzzUidlist: what is read is well formed, and what is written of it is read the same.
func FuzzUidlist(f *testing.F) {
	for _, seed := range []string{
		"3 V1795314351 N1 G6844221dae52026b6a5e000083ecc375\n1 :1795314350.M488785P24170.vm,S=7,W=9\n",
		"3 V5 N9 Gx P%v Z\n1 S7 W9 Pabc :a\n2 :b:2,S\n2 :c\n7 :a\nx\n9 :",
		"1 1234 20\n7 1.a host\n11 1.b\n", "3 V0 N1\n", "3 V1 N4294967295\n4294967295 :a\n4294967294 :b\n", "", "2\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, lines, n, err := parseUidlist(bytes.NewReader(data))
		if err != nil {
			return
		}
		last := uint32(0)
		for _, r := range lines {
			if r.uid <= last || r.uid >= l.next || !validBase(r.base) || strings.Contains(r.base, ":") {
				t.Fatalf("record %+v after %d, next %d", r, last, l.next)
			}
			last = r.uid
		}
		if n > int64(len(data)) || l.lines != len(lines) {
			t.Fatal("read", n, "of which lines", l.lines)
		}
		var b bytes.Buffer
		if err := l.write(bufio.NewWriter(&b), lines); err != nil {
			t.Fatal(err)
		}
		again, more, _, err := parseUidlist(&b)
		if err != nil || again.validity != l.validity || again.next != l.next || again.guid != l.guid ||
			again.fields != l.fields || !slices.Equal(more, lines) {
			t.Fatalf("%v: %+v became %+v", err, l, again)
		}
	})
}

func FuzzKeywords(f *testing.F) {
	f.Add([]byte("0 $Label1\n1 Junk\n25 z\n26 y\nx\n3 a b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := parseKeywords(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseKeywords(strings.NewReader(names.String()))
		if err != nil || again != names {
			t.Fatalf("%v: %q became %q", err, names, again)
		}
	})
}

func FuzzSubscriptions(f *testing.F) {
	f.Add([]byte("V\t2\n\nINBOX\nFoo\tBar\nEntw&APw-rfe\n"))
	f.Add([]byte("INBOX\nA&-B\nEntwürfe\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := parseSubscriptions(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		var good []string
		for _, n := range names {
			if normal, err := normalName(n); err == nil && normal == n {
				good = append(good, n)
			}
		}
		again, err := parseSubscriptions(strings.NewReader(formatSubscriptions(good)))
		if err != nil || !slices.Equal(again, good) {
			t.Fatalf("%v: %q became %q", err, good, again)
		}
	})
}

func FuzzName(f *testing.F) {
	f.Add("Entw&APw-rfe")
	f.Add("A&-B")
	f.Fuzz(func(t *testing.T, s string) {
		if normal, err := normalName(s); err == nil {
			if name, ok := folderName("." + mutf7.Encode(normal)); ok != (normal != Inbox) || ok && name != normal {
				t.Fatalf("%q: folder %q", normal, name)
			}
		}
	})
}
