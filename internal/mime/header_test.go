package mime

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFields(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"":                             nil,
		"\nA: b\n":                     nil,
		"A: b":                         {"A=b"},
		"A: b\r\n":                     {"A=b"},
		"A:  b \nB:c\n\nC: d\n":        {"A= b ", "B=c"},
		"A : b\r\n c\r\n\td\r\n\r\nx:": {"A=b c d"},
		"no field\n of\nA:\n\n":        {"A="},
		"A:\n b\n":                     {"A= b"},
		" : x\n: y\n":                  {"=x", "=y"},
		"A: b\n \n":                    {"A=b "},
	} {
		var got []string
		for name, body := range Fields([]byte(in)) {
			got = append(got, string(name)+"="+string(Unfold(nil, body)))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
	}
	for range Fields([]byte("A: b\nB: c\n")) {
		break
	}
}

func TestHeaderLen(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{
		"": -1, "\n": 1, "\r\nx": 2, "\rx": -1, "a: b": -1, "a: b\n": -1, "a: b\n\nx\n\n": 6, "a: b\r\n\r\nx": 8, "a\n\r\nx\n\n": 4,
		"a\n\nx\r\n\r\n": 3, "a\n\r": -1,
	} {
		if got := HeaderLen([]byte(in)); got != want {
			t.Errorf("%q: %d, not %d", in, got, want)
		}
	}
}

// FuzzFields checks that fields are parts of the header, in order, and on one line when unfolded.
func FuzzFields(f *testing.F) {
	f.Add([]byte("A: b\r\n c\nB:\n\nC: d"))
	f.Add([]byte(" a\n:\n\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		rest, named := header, make(map[string][]string)
		for name, body := range Fields(header) {
			i := bytes.Index(rest, name)
			j := bytes.Index(rest[max(i, 0):], body)
			if i < 0 || j < 0 {
				t.Fatalf("%q: %q in %q", name, body, rest)
			}
			rest = rest[i+len(name):]
			if line := string(name); ascii(line) && !bytes.ContainsAny(name, " \t\r\n") {
				named[strings.ToLower(line)] = append(named[strings.ToLower(line)], string(body))
			}
			if line := Unfold(nil, body); bytes.IndexByte(line, '\n') >= 0 || len(line) > len(body) {
				t.Errorf("%q unfolds to %q", body, line)
			}
		}
		for name, want := range named {
			var got []string
			for body := range FieldsNamed(header, strings.ToUpper(name)) {
				got = append(got, string(body))
			}
			if name != "" && !slices.Equal(got, want) {
				t.Errorf("%q: %q, not %q", name, got, want)
			}
		}
	})
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

func TestFieldsNamed(t *testing.T) {
	t.Parallel()
	const header = "A: b\r\n a: fold\r\nAb: c\nno field\na : d\n:e\n\na: body\n"
	for name, want := range map[string][]string{
		"a": {"b\r\n a: fold", "d"}, "AB": {"c"}, "": nil, "x": nil, " a": nil, "a ": nil, "no": nil, "a:": nil,
	} {
		var got []string
		for body := range FieldsNamed([]byte(header), name) {
			got = append(got, string(body))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, not %q", name, got, want)
		}
	}
}

func TestParseDate(t *testing.T) {
	t.Parallel()
	const day = 24 * 60 * 60
	const march12 = 18333 * day
	for in, want := range map[string]struct {
		written int64
		zone    int
		ok      bool
	}{
		"Thu, 12 Mar 2020 10:00:00 +0100":             {march12 + 36000, 3600, true},
		"12 Mar 2020 23:59:59 -1230":                  {march12 + day - 1, -45000, true},
		"12 Mar 2020 23:59:60 -0000 (x)":              {march12 + day, 0, true},
		"12 Mar 2020 1:02 EST":                        {march12 + 3720, -5 * 3600, true},
		"12 Mar 2020 01.02.03 PDT":                    {march12 + 3723, -7 * 3600, true},
		"12 Mar 20 01:02:03 Z":                        {march12 + 3723, 0, true},
		"12 Mar 2020 01:02:03 0100":                   {march12 + 3723, 0, true},
		"12 Mar 2020 01:02:03 +01:00":                 {march12 + 3723, 0, true},
		"12 Mar 2020 01:02:03 +0175":                  {march12 + 3723, 0, true},
		"12 Mar 2020 01:02 (c) +0200":                 {march12 + 3720, 7200, true},
		"12 Mar 2020 24:00:00 +0100":                  {march12, 0, true},
		"12 Mar 2020 10:60 +0100":                     {march12, 0, true},
		"12 Mar 2020 10:00:61 +0100":                  {march12, 0, true},
		"12 Mar 2020 noon":                            {march12, 0, true},
		"12 Mar 2020 10":                              {march12, 0, true},
		"Thursday, 12 March 2020":                     {march12, 0, true},
		"12-Mar-2020":                                 {march12, 0, true},
		"(a (b) \\) c) Thu (,) ,12 Mar (2019) 2020 x": {march12, 0, true},
		"1 jan 69 00:00 GMT":                          {36160 * day, 0, true},
		"1 Jan 70 00:00 GMT":                          {0, 0, true},
		"":                                            {},
		"yesterday":                                   {},
		"32 Mar 2020 00:00":                           {},
		"0 Mar 2020 00:00":                            {},
		"1 Mrz 2020":                                  {},
		"1 Mar 120":                                   {},
		"1 Mar 1899":                                  {},
		"Mon Mar  5 12:00 ":                           {},
		"1 Mar 20200000000000":                        {},
	} {
		written, zone, ok := ParseDate([]byte(in))
		if written != want.written || zone != want.zone || ok != want.ok {
			t.Errorf("%q: %d %d %v, not %v", in, written, zone, ok, want)
		}
	}
}

// FuzzParseDate checks the bounds of a date.
func FuzzParseDate(f *testing.F) {
	f.Add("Thu, 12 Mar 2020 10:00:00 +0100")
	f.Add("1-jan.69 (x\\)) 1.2 PDT")
	f.Fuzz(func(t *testing.T, in string) {
		written, zone, ok := ParseDate([]byte(in))
		if written < -2208988800 || written > 253402300800+31*24*60*60 || zone < -360000 || zone > 360000 || !ok && written != 0 {
			t.Errorf("%q: %d %d", in, written, zone)
		}
		if again, _, _ := ParseDate([]byte(strings.ToUpper(in))); again != written {
			t.Errorf("%q: %d, in upper case %d", in, written, again)
		}
	})
}
