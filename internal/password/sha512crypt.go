package password

import (
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// cryptAlphabet is the base64 of crypt(3).
const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Bounds of SHA-512-crypt. The scheme's own upper bound of 999,999,999 rounds would take several minutes.
const (
	minRounds     = 1000
	maxRounds     = 1_000_000
	maxCryptSalt  = 16
	sha512CryptLn = 86 // characters of the hash
)

// SHA512Crypt is a hash of crypt(3)'s kind $6$.
type SHA512Crypt struct {
	hash   string
	digest algorithm.Digest
}

// parseSHA512Crypt reads `$6$[rounds=N$]SALT$HASH`.
func parseSHA512Crypt(s string) (SHA512Crypt, error) {
	rest, ok := strings.CutPrefix(s, "$6$")
	if !ok {
		return SHA512Crypt{}, badFormat("not a SHA-512-crypt hash")
	}
	f := strings.Split(rest, "$")
	if len(f) == 3 {
		if _, err := parseCost(f[0], "rounds=", minRounds, maxRounds); err != nil {
			return SHA512Crypt{}, err
		}
		f = f[1:]
	}
	if len(f) != 2 || len(f[0]) > maxCryptSalt || !printable(f[0]) {
		return SHA512Crypt{}, badFormat("SHA-512-crypt salt is not one of up to %d characters", maxCryptSalt)
	}
	if len(f[1]) != sha512CryptLn || strings.Trim(f[1], cryptAlphabet) != "" {
		return SHA512Crypt{}, badFormat("SHA-512-crypt hash is not one of %d characters", sha512CryptLn)
	}
	digest, err := shacrypt.DecodeVariant(shacrypt.VariantSHA512)(s)
	if err != nil {
		return SHA512Crypt{}, badFormat("%v", err)
	}
	return SHA512Crypt{s, digest}, nil
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Verify implements Secret.
func (h SHA512Crypt) Verify(password string) bool {
	return len(password) <= MaxPassword && h.digest.Match(password)
}

// String implements Secret.
func (h SHA512Crypt) String() string { return "{SHA512-CRYPT}" + h.hash }
