// Package password makes and verifies the secrets of the passwords table: argon2id, bcrypt, SHA-512-crypt and SCRAM keys.
//
// The table belongs to the administrator and is trusted to say who may log in, but not to be free of typing errors: each
// cost parameter is bounded when a secret is parsed, so that no line can make a login take gigabytes or minutes. Passwords
// come from the network and are bounded in length. No error and no String of this package contains a password.
package password

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// MaxPassword is the longest password in octets.
const MaxPassword = 1024

// ErrFormat is wrapped by errors about a secret or a line that cannot be used.
var ErrFormat = errors.New("bad secret")

func badFormat(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// Secret is a stored form of a password.
type Secret interface {
	// Verify says whether the password is the one. It takes a time and memory that depend on the secret alone.
	Verify(password string) bool
	// String is the secret as it stands in the table, with its {SCHEME}.
	String() string
}

// ParseSecret reads `{SCHEME}value`. The schemes are ARGON2ID, BLF-CRYPT, SHA512-CRYPT, SCRAM-SHA-256, and CRYPT for
// either of the crypt(3) forms.
func ParseSecret(s string) (Secret, error) {
	scheme, value, ok := strings.Cut(s, "}")
	if !ok || !strings.HasPrefix(scheme, "{") {
		return nil, badFormat("a secret begins with its {SCHEME}")
	}
	switch scheme = scheme[1:]; scheme {
	case "ARGON2ID":
		return parseArgon2id(value)
	case "BLF-CRYPT":
		return parseBcrypt(value)
	case "SHA512-CRYPT":
		return parseSHA512Crypt(value)
	case "CRYPT":
		if strings.HasPrefix(value, "$6$") {
			return parseSHA512Crypt(value)
		}
		return parseBcrypt(value)
	case "SCRAM-SHA-256":
		return parseSCRAM(value)
	}
	return nil, badFormat("unknown scheme")
}

// Bcrypt is a bcrypt hash of the kinds 2a, 2b and 2y, which differ in nothing that matters to a correct implementation.
// Only the first 72 octets of a password count.
type Bcrypt struct {
	hash string
}

// maxBcryptCost keeps one verification under about ten seconds.
const maxBcryptCost = 16

const bcryptLength = 60

func parseBcrypt(s string) (Bcrypt, error) {
	if len(s) != bcryptLength || s[:2] != "$2" || strings.IndexByte("aby", s[2]) < 0 || s[3] != '$' {
		return Bcrypt{}, badFormat("not a bcrypt hash of kind 2a, 2b or 2y")
	}
	cost, err := bcrypt.Cost([]byte(s))
	if err != nil {
		return Bcrypt{}, badFormat("%v", err)
	}
	if cost > maxBcryptCost {
		return Bcrypt{}, badFormat("bcrypt cost %d is above %d", cost, maxBcryptCost)
	}
	for i := len("$2a$10$"); i < len(s); i++ {
		if strings.IndexByte(cryptAlphabet, s[i]) < 0 {
			return Bcrypt{}, badFormat("stray character in the bcrypt hash")
		}
	}
	return Bcrypt{s}, nil
}

// Verify implements Secret.
func (b Bcrypt) Verify(password string) bool {
	return len(password) <= MaxPassword && bcrypt.CompareHashAndPassword([]byte(b.hash), []byte(password)) == nil
}

// String implements Secret.
func (b Bcrypt) String() string { return "{BLF-CRYPT}" + b.hash }
