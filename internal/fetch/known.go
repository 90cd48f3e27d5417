package fetch

import "postrider/internal/mime"

const (
	maxKept   = 4         // messages of which something is kept
	maxWeight = 256 << 10 // octets of it in all, roughly
)

// known is what is kept of a message between two answers: clients ask for the structure first and then for one part after
// the other, or for a large body in slices.
type known struct {
	uid     uint32
	file    identity
	part    *mime.Part
	level   level
	counted bool      // to the end of the file
	mark    mime.Mark // where reading a slice ended
	binary  *binary   // of the part that was decoded last, or nil
	weight  int
}

// level is how much of the structure is known.
type level uint8

const (
	measured level = iota // the place of the header, and of the body if it is counted
	placed                // the places of all parts
	scanned               // all there is
)

// serves says whether nothing more than k must be known for an answer.
func (k *known) serves(a *answer) bool {
	return k.level == scanned || k.level >= a.level() && !a.envelopeFromFile() && (k.counted || !a.need.end())
}

// find returns what is kept of the message in file, or nil.
func (f *Fetcher) find(uid uint32, file *identity) *known {
	for _, k := range f.kept {
		if k.uid == uid && k.file == *file {
			return k
		}
	}
	return nil
}

// keep keeps k unless it is outsized; what has been kept for longest goes.
func (f *Fetcher) keep(k *known) {
	k.weight = weight(k.part)
	if k.weight > maxWeight {
		return
	}
	kept, total := []*known{k}, k.weight
	for _, old := range f.kept {
		if old.uid == k.uid {
			continue
		}
		if total += old.weight; len(kept) == maxKept || total > maxWeight {
			break
		}
		kept = append(kept, old)
	}
	f.kept = kept
}

// What the elements of a structure weigh in memory, roughly, in octets without their text.
const (
	partWeight    = 600
	paramWeight   = 100
	addressWeight = 200
)

// weight is about the memory that a structure takes.
func weight(p *mime.Part) int {
	n := partWeight + int(min(p.Header.Size(), mime.MaxPartHeader)) +
		paramWeight*(len(p.Params)+len(p.DispositionParams)+len(p.Language))
	if e := p.Envelope; e != nil {
		n += addressWeight * (len(e.From) + len(e.Sender) + len(e.ReplyTo) + len(e.To) + len(e.Cc) + len(e.Bcc))
	}
	for _, c := range p.Parts {
		n += weight(c)
	}
	return n
}
