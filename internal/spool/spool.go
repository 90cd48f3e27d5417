// Package spool is the queue on disk: plain files that are complete before they are promised, that exist under exactly one
// name per channel, and that a person may read, move and remove while the daemons run. docs/spool.md defines the format
// and the order of system calls.
//
// Two sides use it. Stage is smtpd's: it writes a message, makes it durable and hands it to its channels. Channel is the
// consumer's: it trusts nothing in new/, where a compromised smtpd may have put anything, and owns everything else below
// its directory. The directories and the kernel's file permissions are trusted.
package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"postrider/internal/envelope"
)

// castagnoli is the polynomial of the CRC in line 1 and in journals; CPUs compute it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Errors that callers tell apart. All are temporary for the sender of a message.
var (
	ErrFull    = errors.New("spool: too little space or too few inodes left")
	ErrBroken  = errors.New("spool: the disk failed; no mail is taken until a restart")
	ErrRemoved = fmt.Errorf("spool: the administrator removed the message: %w", fs.ErrNotExist)
	ErrLocked  = errors.New("spool: another process works on this channel")
	ErrSkip    = errors.New("spool: not a queue file of ours")
	ErrHeld    = errors.New("spool: held by its envelope")
	ErrBusy    = errors.New("spool: the message is being delivered")
)

// Ids sort by time: 52 bits of microseconds since 1970, which last until 2112, and 27 random bits.
const randomBits = 27

// ids gives out queue ids; no two of one process have the same time.
type ids struct {
	mu   sync.Mutex
	last int64
}

func (g *ids) next(now time.Time) string {
	g.mu.Lock()
	us := max(now.UnixMicro(), g.last+1)
	g.last = us
	g.mu.Unlock()
	return formatID(us, rand.Uint64N(1<<randomBits))
}

func formatID(us int64, random uint64) string {
	hi, lo := uint64(us)>>(64-randomBits), uint64(us)<<randomBits|random
	var b [envelope.IDLength]byte
	const base = uint64(len(envelope.Alphabet))
	for i := len(b) - 1; i >= 0; i-- {
		var digit uint64
		qhi := hi / base
		lo, digit = bits.Div64(hi%base, lo, base)
		hi = qhi
		b[i] = envelope.Alphabet[digit]
	}
	return string(b[:])
}

// IDTime is the moment at which an id was made.
func IDTime(id string) (time.Time, error) {
	if !envelope.ValidID(id) {
		return time.Time{}, fmt.Errorf("%w: %.32q is no queue id", ErrSkip, id)
	}
	var hi, lo uint64
	for i := range len(id) {
		h, l := bits.Mul64(lo, uint64(len(envelope.Alphabet)))
		digit := uint64(strings.IndexByte(envelope.Alphabet, id[i]))
		var carry uint64
		lo, carry = bits.Add64(l, digit, 0)
		hi = hi*uint64(len(envelope.Alphabet)) + h + carry
	}
	return time.UnixMicro(int64(hi<<(64-randomBits) | lo>>randomBits)), nil
}

// Hash is the name of the subdirectory of cur/ and log/ in which an id lies.
func Hash(id string) string {
	const hex = "0123456789abcdef"
	h := byte(crc32.Checksum([]byte(id), castagnoli))
	return string([]byte{hex[h>>4], hex[h&15]})
}

// Name is a queue file's name in cur/, hold/ and bad/: DUE,ID,DEST.
type Name struct {
	Due  int64  // epoch seconds of the next attempt
	ID   string //
	Dest string // routing key, escaped: a hint for people and for restart
}

// String writes the name.
func (n Name) String() string { return fmt.Sprintf("%010d,%s,%s", n.Due, n.ID, n.Dest) }

// holder marks the name of a message in hold/ that its own submitter put there: DEST@UID. '@' is in no escaped DEST.
const holder = "@"

// heldBy takes the mark off a name. uid is envelope.NoUID if the administrator, or the envelope, wants the message held.
func (n Name) heldBy() (Name, int64) {
	dest, text, _ := strings.Cut(n.Dest, holder)
	n.Dest = dest
	uid, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return n, envelope.NoUID
	}
	return n, int64(uid)
}

// Hop is the routing key, escaped.
func (n Name) Hop() string {
	n, _ = n.heldBy()
	return n.Dest
}

// ParseName reads a name of cur/.
func ParseName(s string) (Name, bool) {
	due, rest, ok := strings.Cut(s, ",")
	id, dest, ok2 := strings.Cut(rest, ",")
	t, err := strconv.ParseUint(due, 10, 63)
	if !ok || !ok2 || err != nil || len(due) != 10 || !envelope.ValidID(id) || strings.ContainsAny(dest, ",/") {
		return Name{}, false
	}
	return Name{int64(t), id, dest}, true
}

// againSuffix marks a message that recovery published: an earlier delivery may have happened.
const againSuffix = ",again"

// parseNew reads a name of new/: ID, ID,again, or a name of cur/ that somebody moved back.
func parseNew(s string) (id string, fresh, ok bool) {
	if n, ok := ParseName(s); ok {
		return n.ID, false, true
	}
	id, again := strings.CutSuffix(s, againSuffix)
	return id, !again, envelope.ValidID(id)
}

// maxDest bounds DEST so that names stay below 255 octets.
const maxDest = 180

// EscapeDest makes a routing key fit for a file name: bytes other than letters, digits and .-:[]_* as %XX, and at most 180
// octets, beyond which a hash stands for the rest.
func EscapeDest(s string) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(".-:[]_*", c) >= 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	if len(b) <= maxDest {
		return string(b)
	}
	return fmt.Sprintf("%s~%08x", b[:maxDest-9], crc32.Checksum([]byte(s), castagnoli))
}
