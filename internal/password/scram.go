package password

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/stringprep"
)

// SCRAMIterations is the iteration count of new SCRAM keys. RFC 7677 §4 asks for 4096 at least; these keys stand beside an
// argon2id hash of the same password and must not be the easy way to it.
const SCRAMIterations = 32768

// Bounds of SCRAM keys that are read.
const (
	minIterations = 4096
	maxIterations = 1_000_000
	minSCRAMSalt  = 8
	maxSCRAMSalt  = 64
)

// SCRAMSaltSize is the length of new salts in octets.
const SCRAMSaltSize = 16

// SCRAM is what a SCRAM-SHA-256 server keeps of a password (RFC 5802 §3, RFC 7677).
type SCRAM struct {
	Iterations           int
	Salt                 []byte
	StoredKey, ServerKey []byte
}

// NewSCRAMSalt returns a random salt.
func NewSCRAMSalt() ([]byte, error) {
	salt := make([]byte, SCRAMSaltSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, fmt.Errorf("make salt: %w", err)
	}
	return salt, nil
}

// NewSCRAM makes the keys of a password. All SCRAM keys of one user should share salt and iterations: a server has to
// name them before it can know which of the user's passwords the client has.
func NewSCRAM(password string, salt []byte, iterations int) (SCRAM, error) {
	if len(password) > MaxPassword {
		return SCRAM{}, fmt.Errorf("make secret: password longer than %d octets", MaxPassword)
	}
	if iterations < minIterations || iterations > maxIterations {
		return SCRAM{}, fmt.Errorf("make secret: %d iterations", iterations)
	}
	s := SCRAM{Iterations: iterations, Salt: salt}
	var err error
	s.StoredKey, s.ServerKey, err = s.derive(password)
	return s, err
}

func (s SCRAM) derive(password string) (stored, server []byte, err error) {
	salted, err := pbkdf2.Key(sha256.New, prepare(password), s.Salt, s.Iterations, sha256.Size)
	if err != nil {
		return nil, nil, fmt.Errorf("derive SCRAM keys: %w", err)
	}
	sum := sha256.Sum256(mac(salted, "Client Key"))
	return sum[:], mac(salted, "Server Key"), nil
}

// prepare normalises a password (RFC 7677 §3, RFC 4013). One that SASLprep forbids is taken as it is: no client could use
// it with SCRAM, but it stays good for the other mechanisms.
func prepare(password string) string {
	if p, err := stringprep.SASLprep.Prepare(password); err == nil {
		return p
	}
	return password
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// Verify implements Secret.
func (s SCRAM) Verify(password string) bool {
	if len(password) > MaxPassword {
		return false
	}
	stored, _, err := s.derive(password)
	return err == nil && subtle.ConstantTimeCompare(stored, s.StoredKey) == 1
}

// String implements Secret.
func (s SCRAM) String() string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("{SCRAM-SHA-256}%d$%s:%s:%s", s.Iterations, b64(s.Salt), b64(s.StoredKey), b64(s.ServerKey))
}

// parseSCRAM reads `ITERATIONS$SALT:STOREDKEY:SERVERKEY` (after RFC 5803 §2), or the same separated by commas as Dovecot
// writes it.
func parseSCRAM(s string) (SCRAM, error) {
	f := strings.Split(s, ",")
	if len(f) == 1 {
		iterations, rest, _ := strings.Cut(s, "$")
		f = append([]string{iterations}, strings.Split(rest, ":")...)
	}
	if len(f) != 4 {
		return SCRAM{}, badFormat("SCRAM keys are ITERATIONS$SALT:STOREDKEY:SERVERKEY")
	}
	n, err := strconv.Atoi(f[0])
	if err != nil || n < minIterations || n > maxIterations {
		return SCRAM{}, badFormat("SCRAM iterations %.20q: expected %d to %d", f[0], minIterations, maxIterations)
	}
	k := SCRAM{Iterations: n}
	if k.Salt, err = decodeKey(f[1], minSCRAMSalt, maxSCRAMSalt); err != nil {
		return SCRAM{}, err
	}
	if k.StoredKey, err = decodeKey(f[2], sha256.Size, sha256.Size); err != nil {
		return SCRAM{}, err
	}
	if k.ServerKey, err = decodeKey(f[3], sha256.Size, sha256.Size); err != nil {
		return SCRAM{}, err
	}
	return k, nil
}

func decodeKey(s string, low, high int) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < low || len(b) > high {
		return nil, badFormat("SCRAM salt or key is not base64 of %d to %d octets", low, high)
	}
	return b, nil
}
