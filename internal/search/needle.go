package search

import "bytes"

// needle is a text to be found: a Knuth-Morris-Pratt automaton that also knows how far it may skip while nothing of it has
// been seen (as Horspool does). It is found in linear time in text that comes in pieces of any size. Letters of ASCII match
// in either case; all other characters are to be casemapped in text and needle.
type needle struct {
	text []byte
	fail []int32    // fail[n]: the longest proper prefix of text that text[:n+1] ends with
	skip [256]int32 // how far to go on if this octet stands where the last one of the needle would

	noMarks bool // there are no marks in it
}

// newNeedle prepares a text that is not empty.
func newNeedle(text string) *needle {
	n := &needle{text: casemapped(text)}
	n.noMarks = !bytes.ContainsAny(n.text, marks)
	n.fail = make([]int32, len(n.text))
	for i, k := 1, int32(0); i < len(n.text); i++ {
		k = n.step(k, n.text[i])
		n.fail[i] = k
	}
	last := int32(len(n.text)) - 1
	for c := range n.skip {
		n.skip[c] = last + 1
	}
	for i, c := range n.text {
		n.skip[c] = last - int32(i)
		n.skip[lower(c)] = last - int32(i)
	}
	return n
}

// step is how many octets of the needle are seen once c, in upper case, follows the first k of them.
func (n *needle) step(k int32, c byte) int32 {
	for k > 0 && n.text[k] != c {
		k = n.fail[k-1]
	}
	if n.text[k] == c {
		k++
	}
	return k
}

// finder looks for a needle in one text.
type finder struct {
	*needle
	seen int32 // octets of the needle that the text read so far ends with
}

// read takes the next octets of the text and says whether the needle is found with them.
func (f *finder) read(b []byte) bool {
	last, k := len(f.text)-1, f.seen
	for i := 0; i < len(b); i++ {
		if k == 0 {
			for i+last < len(b) {
				d := f.skip[b[i+last]]
				if d == 0 {
					break
				}
				i += int(d)
			}
			if i >= len(b) {
				break
			}
		}
		if k = f.step(k, upper(b[i])); int(k) > last {
			return true
		}
	}
	f.seen = k
	return false
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
