package inflate

// base and extra bits of a length or distance symbol (RFC 1951 §3.2.5).
type extra struct {
	base uint16
	bits uint8
}

var lengthSymbols = [...]extra{
	{3, 0}, {4, 0}, {5, 0}, {6, 0}, {7, 0}, {8, 0}, {9, 0}, {10, 0}, {11, 1}, {13, 1}, {15, 1}, {17, 1}, {19, 2}, {23, 2},
	{27, 2}, {31, 2}, {35, 3}, {43, 3}, {51, 3}, {59, 3}, {67, 4}, {83, 4}, {99, 4}, {115, 4}, {131, 5}, {163, 5}, {195, 5},
	{227, 5}, {maxMatch, 0},
}

var distanceSymbols = [...]extra{
	{1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 1}, {7, 1}, {9, 2}, {13, 2}, {17, 3}, {25, 3}, {33, 4}, {49, 4}, {65, 5}, {97, 5},
	{129, 6}, {193, 6}, {257, 7}, {385, 7}, {513, 8}, {769, 8}, {1025, 9}, {1537, 9}, {2049, 10}, {3073, 10}, {4097, 11},
	{6145, 11}, {8193, 12}, {12289, 12}, {16385, 13}, {24577, 13},
}

// symbols decodes one literal, one match or the end of the block; nothing of it is taken before all of it is there.
func (z *Reader) symbols() status {
	z.fill()
	symbol, n, st := z.lit.decode(z.bits, z.nbits)
	if st != goesOn {
		return st
	}
	switch {
	case symbol < endOfData:
		z.drop(n)
		z.put(byte(symbol))
		return goesOn
	case symbol == endOfData:
		z.drop(n)
		return z.endBlock()
	case symbol-endOfData > len(lengthSymbols):
		return failed
	}
	length, used, st := z.value(lengthSymbols[symbol-endOfData-1], n)
	if st != goesOn {
		return st
	}
	symbol, n, st = z.dist.decode(z.bits>>used, z.nbits-used)
	if st != goesOn {
		return st
	}
	if symbol >= len(distanceSymbols) {
		return failed
	}
	distance, used, st := z.value(distanceSymbols[symbol], used+n)
	if st != goesOn {
		return st
	}
	z.drop(used)
	if !z.match(length, distance) {
		return failed
	}
	return goesOn
}

// value adds the extra bits that stand behind the first used ones.
func (z *Reader) value(e extra, used uint) (value int, usedNow uint, st status) {
	n := uint(e.bits)
	if used+n > z.nbits {
		return 0, 0, starved
	}
	return int(e.base) + int(z.bits>>used&(1<<n-1)), used + n, goesOn
}

// header is the description of the tables of a dynamic block (RFC 1951 §3.2.7) as far as it has come.
type header struct {
	lit     int // code lengths of the literals
	total   int // code lengths of both tables
	codes   int // code length codes
	n       int // of them or of the code lengths, how many have come
	lengths [litCodes + distCodes]uint8
}

var codeLengthOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func (z *Reader) tableHeader() status {
	if !z.need(14) {
		return starved
	}
	lit, dist, codes := z.pull(5)+257, z.pull(5)+1, z.pull(4)+4
	if lit > 286 || dist > 30 {
		return failed
	}
	z.header = header{lit: lit, total: lit + dist, codes: codes}
	for i := range z.own {
		if z.own[i] == nil {
			z.own[i] = new(huffman)
		}
	}
	z.step = (*Reader).codeLengthCodes
	return goesOn
}

func (z *Reader) codeLengthCodes() status {
	h := &z.header
	if h.n < h.codes {
		if !z.need(3) {
			return starved
		}
		h.lengths[codeLengthOrder[h.n]] = uint8(z.pull(3))
		h.n++
		return goesOn
	}
	if !z.own[0].set(h.lengths[:len(codeLengthOrder)], false) {
		return failed
	}
	h.n = 0
	h.lengths = [len(h.lengths)]uint8{}
	z.step = (*Reader).codeLengths
	return goesOn
}

// codeLengths reads one code length, or one repetition.
func (z *Reader) codeLengths() status {
	h := &z.header
	if h.n == h.total {
		return z.tables()
	}
	z.fill()
	symbol, n, st := z.own[0].decode(z.bits, z.nbits)
	if st != goesOn {
		return st
	}
	if symbol < 16 {
		z.drop(n)
		h.lengths[h.n] = uint8(symbol)
		h.n++
		return goesOn
	}
	repeat, used, st := z.value([...]extra{{3, 2}, {3, 3}, {11, 7}}[symbol-16], n)
	if st != goesOn {
		return st
	}
	z.drop(used)
	length := uint8(0)
	if symbol == 16 {
		if h.n == 0 {
			return failed
		}
		length = h.lengths[h.n-1]
	}
	if h.n+repeat > h.total {
		return failed
	}
	for range repeat {
		h.lengths[h.n] = length
		h.n++
	}
	return goesOn
}

func (z *Reader) tables() status {
	h := &z.header
	lit, dist := h.lengths[:h.lit], h.lengths[h.lit:h.total]
	if lit[endOfData] == 0 || !z.own[0].set(lit, false) || !z.own[1].set(dist, true) {
		return failed
	}
	z.lit, z.dist = z.own[0], z.own[1]
	z.step = (*Reader).symbols
	return goesOn
}
