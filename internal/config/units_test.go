package config

import (
	"math"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, out string
		want    Size
	}{
		{"0", "0", 0}, {"1000", "1000", 1000}, {"1024", "1K", 1024}, {"50M", "50M", 50 << 20}, {"2g", "2G", 2 << 30}, {"1536K", "1536K", 1536 << 10},
		{"9223372036854775807", "9223372036854775807", math.MaxInt64}, {"2048T", "2048T", 2048 << 40},
	} {
		var s Size
		if err := s.UnmarshalText([]byte(c.in)); err != nil || s != c.want || s.String() != c.out {
			t.Errorf("%q = %d (%v), %v", c.in, s, s, err)
		}
	}
	for _, in := range []string{"", "M", "-1", "1.5M", "5X", "5MM", "9223372036854775808", "9999999999T", "0x10", "1_000"} {
		var s Size
		if err := s.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q = %v, want an error", in, s)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, out string
		want    time.Duration
	}{
		{"5d", "5d", 5 * day}, {"1d12h", "1d12h", 36 * time.Hour}, {"90s", "1m30s", 90 * time.Second}, {"10ms", "10ms", 10 * time.Millisecond}, {"60m", "1h", time.Hour},
		{"1h30m", "1h30m", 90 * time.Minute}, {"0s", "0s", 0}, {"0", "0s", 0}, {"1h5s", "1h0m5s", time.Hour + 5*time.Second},
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(c.in)); err != nil || d.D() != c.want || d.String() != c.out {
			t.Errorf("%q = %d (%v), %v", c.in, d, d, err)
		}
	}
	for _, in := range []string{"", "5", "d", "-1s", "-1d", "1d-1h", "1.5d", "1d2d", "5 m", "99999d9999999h", "65535d2500000h"} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q = %v, want an error", in, d)
		}
	}
}
