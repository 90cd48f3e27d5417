package xtext

import "testing"

func TestEncode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "abc": "abc", "a b": "a+20b", "a+b=c": "a+2Bb+3Dc", "a\r\nb": "a+0D+0Ab", "ü": "ü", "\xff": "+FF", "\u0085": "+C2+85", "\x7f": "+7F",
	} {
		if got := Encode(in); got != want {
			t.Errorf("Encode(%q) = %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{"a b", "a=b", "+", "+1", "+zz", "+0a", "\x00", "a\n"} {
		if got, err := Decode(in); err == nil {
			t.Errorf("Decode(%q) = %q, want an error", in, got)
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("a b+c=\xff\r\nü")
	f.Fuzz(func(t *testing.T, s string) {
		e := Encode(s)
		for i := range len(e) {
			if c := e[i]; c <= ' ' || c == '=' || c == 0x7f {
				t.Fatalf("Encode(%q) = %q holds %q", s, e, c)
			}
		}
		if got, err := Decode(e); err != nil || got != s {
			t.Fatalf("Decode(Encode(%q)) = %q, %v", s, got, err)
		}
	})
}
