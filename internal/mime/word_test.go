package mime

import (
	"mime"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                                     "plain",
		"=?utf-8?q?a_b=C3=A9?=":                     "a bé",
		"=?UTF-8?B?w6k=?= =?utf-8?Q?=C3=A9?=":       "éé",
		"x =?utf-8?q?y?= z":                         "x y z",
		"=?utf-8?q?a?=b=?utf-8?q?c?=":               "abc",
		"=?iso-8859-1?q?=E9?=":                      "é",
		"=?x-none?q?abc=41?=":                       "abcA",
		"=?utf-8*en?q?a?=":                          "a",
		"=?utf-8?x?a?= =?utf-8?q?b":                 "=?utf-8?x?a?= =?utf-8?q?b",
		"=?=?utf-8?q?a?=":                           "=?a",
		"=?utf-8?q?a b?=":                           "a b",
		"=?utf-8?b?aGVsbG8?=":                       "hello",
		"=?utf-8?q?=4?= =?":                         "=4 =?",
		"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=":        "日本",
		"=?utf-8?q??=x":                             "x",
		"a =?utf-8?Q?b?=  =?utf-8?Q?c?=\t d":        "a bc\t d",
		strings.Repeat("=?", 1000) + "utf-8?q?a?= ": strings.Repeat("=?", 999) + "a ",
	} {
		if got := string(DecodeWords(nil, []byte(in))); got != want {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
	}
}

// FuzzWords decodes what the standard library encodes, and anything else to no more than it can be.
func FuzzWords(f *testing.F) {
	f.Add("Grüße", []byte("=?utf-8?q?a?= =?iso-8859-1?b?6Q==?= =?x"))
	f.Add("日本語", []byte("=?utf-16?q?=D8?==?iso-2022-jp?B?GyRC?="))
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		if got := DecodeWords(nil, raw); len(got) > 16*len(raw) {
			t.Errorf("%q became %d octets", raw, len(got))
		}
		text = strings.ToValidUTF8(text, "")
		for _, encoder := range []mime.WordEncoder{mime.QEncoding, mime.BEncoding} {
			word := encoder.Encode("utf-8", text)
			if !strings.HasPrefix(word, "=?") {
				continue // it needs no encoding
			}
			if got := DecodeWords(nil, []byte(word)); string(got) != text {
				t.Errorf("%q: %q, not %q", word, got, text)
			}
		}
	})
}
