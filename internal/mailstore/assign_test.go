package mailstore

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSortByArrival(t *testing.T) {
	t.Parallel()
	for _, want := range [][]string{
		{"999999999.M1P2.h", "1000000000.M1P1.h"},
		{"1795322951.M5P9.h", "1795322951.M347P1.h", "1795322951.M000999P1.h", "1795322951.M1000P1.h", "1795322951.M989544P1.h", "1795322952.M1P1.h"},
		{"1795322951.77_1.h", "1795322951.77_2.h", "1795322951.77_10.h", "1795322951.100_1.h"},
		{"1795322951.", "1795322951.a", "1795322951.b"},
		{"a", "a1", "a01x", "b"},
		{"", "x"},
		{"7", "18446744073709551616", "18446744073709551617.a", "x"},
	} {
		got := slices.Clone(want)
		rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
		sortByArrival(got)
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if byArrival(want[0], want[0]) != 0 {
			t.Errorf("%q is not itself", want[0])
		}
	}
}
