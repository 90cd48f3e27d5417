package cache

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"postrider/internal/sortkey"
)

// FuzzFile reads a file that anybody may have written; with fix set the sums are made right, so that what is behind them is
// reached.
func FuzzFile(f *testing.F) {
	dir := f.TempDir()
	add(f, dir, "a")
	add(f, dir, "a", "b")
	good, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, false)
	f.Add(good, true)
	f.Add(good[:len(good)-9], true)
	f.Fuzz(func(t *testing.T, text []byte, fix bool) {
		if fix {
			repair(text)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FileName), text, 0o600); err != nil {
			t.Fatal(err)
		}
		c := Open(in(dir))
		defer c.Close()
		c.Refresh()
		var w, keys Window
		for _, base := range []string{"a", "b"} {
			if key, _, ok := c.Key(&keys, base, -1); ok && len(key) > sortkey.MaxSize {
				t.Fatalf("key of %d octets", len(key))
			}
			r := c.Get(&w, base, -1)
			if r == nil {
				continue
			}
			if r.Base != base || r.Size < 0 || r.Whole() && (r.Wire < r.Size || r.Wire > 2*r.Size) {
				t.Fatalf("%+v", r)
			}
			if p := r.Part(); p != nil && p.Body.End.Off > r.Size {
				t.Fatalf("%+v of %d octets", p, r.Size)
			}
		}
		if err := Open(in(dir)).Tidy(func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
		add(t, dir, "c")
		if got := have(c, "c"); len(got) != 1 {
			t.Fatal("not found after it was appended")
		}
	})
}

// repair makes all sums right, as far as the lengths let it.
func repair(text []byte) {
	for off := len(magic); off+blockHead+blockEnd <= len(text); {
		block := text[off:]
		count, n := int(le.Uint32(block[4:])), int(le.Uint32(block[8:]))
		end := blockHead + count*headSize
		if count <= 0 || count > maxRecords || n < end+blockEnd || n > len(block) {
			return
		}
		key := end
		for i := range count {
			head := block[blockHead+i*headSize:]
			if length := int(le.Uint16(head[62:])); length <= n-key {
				le.PutUint32(head[64:], crc32.Checksum(block[key:key+length], castagnoli))
				key += length
			}
			from, size := int(le.Uint32(head[12:])), int(le.Uint32(head[16:]))
			if from <= n && size <= n-from {
				le.PutUint32(head[20:], crc32.Checksum(block[from:from+size], castagnoli))
			}
		}
		le.PutUint32(block[12:], blockCRC(block[:12], block[blockHead:end]))
		off += n
	}
}

var le = binary.LittleEndian
