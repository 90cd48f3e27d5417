package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Bounds on the parameters of an argon2id secret.
const (
	minArgonMemory  = 64                 // KiB, of secrets that are read
	maxArgonMemory  = 256 << 10          // KiB
	maxArgonWork    = 4 * maxArgonMemory // KiB × passes
	maxArgonThreads = 16
	minArgonSalt    = 8
	maxArgonSalt    = 64
	minArgonKey     = 16
	maxArgonKey     = 64
)

// Parameters of new secrets (RFC 9106 §4: the second recommended option, but with one lane, since verifications of
// several users run beside each other anyway).
const (
	argonPasses    = 3
	argonThreads   = 1
	argonSaltSize  = 16
	argonKeySize   = 32
	defaultMemory  = 64 << 20
	smallestMemory = 8 << 20
)

// Argon2id is an argon2id hash, version 0x13 (RFC 9106).
type Argon2id struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
	salt    []byte
	key     []byte
}

// NewArgon2id makes a secret whose verification takes memory octets; 0 is 64 MiB. What is too little or too much is
// brought to the nearest allowed value (8 MiB, 256 MiB).
func NewArgon2id(password string, memory int64) (Argon2id, error) {
	if len(password) > MaxPassword {
		return Argon2id{}, fmt.Errorf("make secret: password longer than %d octets", MaxPassword)
	}
	a := newArgonParameters(memory)
	a.salt = make([]byte, argonSaltSize)
	if _, err := rand.Read(a.salt); err != nil {
		return Argon2id{}, fmt.Errorf("make salt: %w", err)
	}
	a.key = a.derive(password, argonKeySize)
	return a, nil
}

// Decoy returns a secret of the same cost as NewArgon2id's that no password matches: verifying it takes as long as
// verifying a real one.
func Decoy(memory int64) Argon2id {
	a := newArgonParameters(memory)
	a.salt, a.key = make([]byte, argonSaltSize), make([]byte, argonKeySize)
	return a
}

func newArgonParameters(memory int64) Argon2id {
	if memory == 0 {
		memory = defaultMemory
	}
	memory = min(max(memory, smallestMemory), maxArgonMemory<<10)
	return Argon2id{memory: uint32(memory >> 10), passes: argonPasses, threads: argonThreads}
}

func (a Argon2id) derive(password string, size int) []byte {
	return argon2.IDKey([]byte(password), a.salt, a.passes, a.memory, a.threads, uint32(size))
}

// Verify implements Secret.
func (a Argon2id) Verify(password string) bool {
	if len(password) > MaxPassword {
		return false
	}
	return subtle.ConstantTimeCompare(a.derive(password, len(a.key)), a.key) == 1
}

// String implements Secret. The form is that of the reference implementation.
func (a Argon2id) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("{ARGON2ID}$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, a.memory, a.passes, a.threads,
		b64.EncodeToString(a.salt), b64.EncodeToString(a.key))
}

// parseArgon2id reads `$argon2id$v=19$m=65536,t=3,p=1$SALT$KEY`.
func parseArgon2id(s string) (Argon2id, error) {
	f := strings.Split(s, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" {
		return Argon2id{}, badFormat("not an argon2id hash")
	}
	if f[2] != "v="+strconv.Itoa(argon2.Version) {
		return Argon2id{}, badFormat("argon2id version %.10q", f[2])
	}
	a, err := parseArgonCost(f[3])
	if err != nil {
		return Argon2id{}, err
	}
	b64 := base64.RawStdEncoding.Strict()
	if a.salt, err = b64.DecodeString(f[4]); err != nil || len(a.salt) < minArgonSalt || len(a.salt) > maxArgonSalt {
		return Argon2id{}, badFormat("argon2id salt is not base64 of %d to %d octets", minArgonSalt, maxArgonSalt)
	}
	if a.key, err = b64.DecodeString(f[5]); err != nil || len(a.key) < minArgonKey || len(a.key) > maxArgonKey {
		return Argon2id{}, badFormat("argon2id hash is not base64 of %d to %d octets", minArgonKey, maxArgonKey)
	}
	return a, nil
}

func parseArgonCost(s string) (Argon2id, error) {
	f := strings.Split(s, ",")
	if len(f) != 3 {
		return Argon2id{}, badFormat("argon2id parameters are m=…,t=…,p=…")
	}
	m, err := parseCost(f[0], "m=", minArgonMemory, maxArgonMemory)
	if err != nil {
		return Argon2id{}, err
	}
	t, err := parseCost(f[1], "t=", 1, maxArgonWork/m)
	if err != nil {
		return Argon2id{}, err
	}
	p, err := parseCost(f[2], "p=", 1, min(maxArgonThreads, m/8))
	if err != nil {
		return Argon2id{}, err
	}
	return Argon2id{memory: uint32(m), passes: uint32(t), threads: uint8(p)}, nil
}

// parseCost reads a decimal number after its prefix.
func parseCost(s, prefix string, low, high uint64) (uint64, error) {
	digits, ok := strings.CutPrefix(s, prefix)
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || n < low || n > high {
		return 0, badFormat("cost %.20q: expected %s%d to %s%d", s, prefix, low, prefix, high)
	}
	return n, nil
}
