package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes; in the file an integer or a string with K, M, G or T (powers of 1024).
type Size int64

const sizeUnits = "KMGT"

// UnmarshalText reads `1048576`, `1024K` or `1M`.
func (s *Size) UnmarshalText(text []byte) error {
	digits, shift := string(text), 0
	if n := len(digits); n > 0 {
		if i := strings.IndexByte(sizeUnits, digits[n-1]&^0x20); i >= 0 {
			digits, shift = digits[:n-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q is not a size such as 65536, 64K or 50M", text)
	}
	*s = Size(n << shift)
	return nil
}

// String uses the largest unit that loses nothing.
func (s Size) String() string {
	unit := ""
	for i := 0; i < len(sizeUnits) && s != 0 && s%1024 == 0; i++ {
		s, unit = s/1024, sizeUnits[i:i+1]
	}
	return strconv.FormatInt(int64(s), 10) + unit
}

// MarshalText is String, for `postrider show`.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Duration is a time span; in the file a string such as "300ms", "5m", "1h30m" or "5d".
type Duration time.Duration

const day = 24 * time.Hour

var errDuration = errors.New(`not a duration such as "300ms", "5m", "1h30m" or "5d"`)

// UnmarshalText reads Go's durations with days in front.
func (d *Duration) UnmarshalText(text []byte) error {
	rest, total := string(text), time.Duration(0)
	if days, after, found := strings.Cut(rest, "d"); found {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is %w", text, errDuration)
		}
		rest, total = after, time.Duration(n)*day
	}
	if rest != "" || total == 0 {
		more, err := time.ParseDuration(rest)
		if err != nil || more < 0 {
			return fmt.Errorf("%q is %w", text, errDuration)
		}
		total += more
	}
	if total < 0 {
		return fmt.Errorf("%q is %w", text, errDuration)
	}
	*d = Duration(total)
	return nil
}

// String omits units that are zero: "5d", "1m30s".
func (d Duration) String() string {
	days, rest := time.Duration(d)/day, time.Duration(d)%day
	text := rest.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	switch {
	case days == 0:
		return text
	case rest == 0:
		return fmt.Sprintf("%dd", days)
	}
	return fmt.Sprintf("%dd%s", days, text)
}

// MarshalText is String, for `postrider show`.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// D is the standard library's duration.
func (d Duration) D() time.Duration { return time.Duration(d) }
