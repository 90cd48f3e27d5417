package imapd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/mime"
)

func TestReadHeader(t *testing.T) {
	t.Parallel()
	field := "X-Field: " + strings.Repeat("x", 90) + "\n"
	long := strings.Repeat(field, 3*firstHeader/len(field))
	for _, c := range []struct{ message, want string }{
		{"", ""},
		{"\nbody", "\n"},
		{"Subject: x\r\n\r\nbody\n\n", "Subject: x\r\n\r\n"},
		{"Subject: x", "Subject: x"},
		{long + "\nbody", long + "\n"},
		{long, long},
		{field + strings.Repeat("x", 2*mime.MaxHeaders), (field + strings.Repeat("x", mime.MaxHeaders))[:mime.MaxHeaders]},
	} {
		path := filepath.Join(t.TempDir(), "message")
		if err := os.WriteFile(path, []byte(c.message), 0o600); err != nil {
			t.Fatal(err)
		}
		var h headers
		for range 2 {
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := h.read(file); string(got) != c.want || err != nil {
				t.Errorf("%d octets, not %d: %v", len(got), len(c.want), err)
			}
			file.Close()
		}
	}
}
