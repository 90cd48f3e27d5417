package mime

import "testing"

// FuzzPlainAddress compares the short way to an address with the long one.
func FuzzPlainAddress(f *testing.F) {
	for _, s := range []string{
		"a@b", "A b <c.d@e.f>, g", "\"A, b\" <c@d>", "=?utf-8?q?x?= <a@b>", " a.b@c,d", "\"\" <a@b>", "a  b <c@d>", "a. <b@c>", "a@b>", "<a@b>", "x <a@b", "a@b x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		words, address, rest, ok := PlainAddress([]byte(value))
		if !ok {
			return
		}
		list := ParseAddresses([]byte(value), 2)
		if len(list) == 0 || list[0].Domain == nil || *list[0].Mailbox+"@"+*list[0].Domain != string(address) || len(rest) == 0 && len(list) > 1 {
			t.Fatalf("%q: %q before %q", value, address, rest)
		}
		name := ""
		if list[0].Name != nil {
			name = *list[0].Name
		}
		if name != string(words) {
			t.Errorf("%q: %q, not %q", value, words, name)
		}
	})
}
