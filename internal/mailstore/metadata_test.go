package mailstore

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
)

// TestMetadataRace has several write entries of one folder at once: none is lost.
func TestMetadataRace(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			for n := range 5 {
				name := fmt.Sprintf("/private/%d/%d", i, n)
				if err := s.SetMetadata(t.Context(), Inbox, []MetadataEntry{{Name: name, Value: name}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	entries, err := s.Metadata(Inbox)
	if err != nil || len(entries) != 20 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	for name, value := range entries {
		if name != value {
			t.Errorf("%s: %q", name, value)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	for _, s := range []string{"", "postrider-metadata 1\n", "postrider-metadata 1\n/private/a\tb\n/private/a\tc\n", "postrider-metadata 1\n/a\t\x01t\x01n\x01\n\n",
		"postrider-metadata 1\n/private/a", "x\n/private/a\tb\n", "postrider-metadata 1\n/a\t" + strings.Repeat("x", MaxMetadataValue+1) + "\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := parseMetadata(strings.NewReader(text))
		if err != nil {
			return
		}
		if len(entries) > maxMetadataEntries {
			t.Errorf("%d entries", len(entries))
		}
		again, err := parseMetadata(strings.NewReader(formatMetadata(entries)))
		if err != nil || !maps.Equal(again, entries) {
			t.Errorf("%q: written and read %q, %v", entries, again, err)
		}
	})
}
