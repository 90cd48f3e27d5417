package inflate

import "sync"

const (
	maxCode   = 15
	fastBits  = 9
	litCodes  = 288
	distCodes = 32
	endOfData = 256
)

// huffman decodes one alphabet: codes of up to fastBits bits by a table, longer ones as RFC 1951 §3.2.2 counts them.
type huffman struct {
	fast    [1 << fastBits]uint16 // symbol<<4 | length; 0 = longer, or no code
	count   [maxCode + 1]uint16
	symbols [litCodes]uint16 // in the order of their codes
}

// set makes the tables for the code lengths; false if they are not those of a code. As in zlib, an incomplete code is
// one only if it has a single symbol of one bit, or none where none is allowed.
func (h *huffman) set(lengths []uint8, emptyAllowed bool) bool {
	*h = huffman{}
	for _, n := range lengths {
		h.count[n]++
	}
	h.count[0] = 0
	left := 1
	for n := 1; n <= maxCode; n++ {
		if left = left<<1 - int(h.count[n]); left < 0 {
			return false
		}
	}
	if left > 0 && !h.sparse(emptyAllowed) {
		return false
	}
	var offset, code [maxCode + 2]uint16
	for n := 1; n <= maxCode; n++ {
		offset[n+1] = offset[n] + h.count[n]
		code[n+1] = (code[n] + h.count[n]) << 1
	}
	for symbol, n := range lengths {
		if n == 0 {
			continue
		}
		h.symbols[offset[n]] = uint16(symbol)
		offset[n]++
		if n <= fastBits {
			h.addFast(uint16(symbol), code[n], n)
		}
		code[n]++
	}
	return true
}

func (h *huffman) sparse(emptyAllowed bool) bool {
	total := uint16(0)
	for _, c := range h.count {
		total += c
	}
	return total == 0 && emptyAllowed || total == 1 && h.count[1] == 1
}

// addFast enters a code, whose first bit is the highest, for all that may follow it.
func (h *huffman) addFast(symbol, code uint16, n uint8) {
	reversed := uint16(0)
	for i := range n {
		reversed |= code >> i & 1 << (n - 1 - i)
	}
	for i := int(reversed); i < len(h.fast); i += 1 << n {
		h.fast[i] = symbol<<4 | uint16(n)
	}
}

// decode finds the symbol at the start of bits, of which there are have; n is its length. If n is 0 there is no such code,
// or, with starved, it takes more bits to say.
func (h *huffman) decode(bits uint64, have uint) (symbol int, n uint, st status) {
	if e := h.fast[bits&(1<<fastBits-1)]; e != 0 {
		if n = uint(e & 15); n > have {
			return 0, 0, starved
		}
		return int(e >> 4), n, goesOn
	}
	code, first, index := 0, 0, 0
	for n = 1; n <= maxCode; n++ {
		if n > have {
			return 0, 0, starved
		}
		code |= int(bits & 1)
		bits >>= 1
		count := int(h.count[n])
		if code < first+count {
			return int(h.symbols[index+code-first]), n, goesOn
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return 0, 0, failed
}

// fixedTables are those of RFC 1951 §3.2.6.
var fixedTables = sync.OnceValues(func() (lit, dist *huffman) {
	var lengths [litCodes]uint8
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	lit, dist = new(huffman), new(huffman)
	lit.set(lengths[:], false)
	for i := range distCodes {
		lengths[i] = 5
	}
	dist.set(lengths[:distCodes], false)
	return lit, dist
})
