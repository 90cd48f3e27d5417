//go:build interop

package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/png"
	"os"
	"testing"
)

// screen is what an Xvfb shows, from the file that it keeps in the format of xwd(1), as PNG.
func screen(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	img, err := decodeXWD(b)
	must(t, err)
	var out bytes.Buffer
	must(t, png.Encode(&out, img))
	return out.Bytes()
}

// decodeXWD reads a dump of a screen whose pixels have four octets: blue, green, red, none.
func decodeXWD(b []byte) (image.Image, error) {
	const words = 25 // of the header
	if len(b) < 4*words {
		return nil, fmt.Errorf("xwd: %d octets", len(b))
	}
	word := func(i int) int { return int(binary.BigEndian.Uint32(b[4*i:])) }
	size, version, width, height, bits, stride, colours := word(0), word(1), word(4), word(5), word(11), word(12), word(19)
	pixels := size + 12*colours
	if version != 7 || bits != 32 || pixels+height*stride > len(b) {
		return nil, fmt.Errorf("xwd: version %d with %d bits a pixel, %d octets", version, bits, len(b))
	}
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		line := b[pixels+y*stride:]
		for x := range width {
			p := img.Pix[img.PixOffset(x, y):]
			p[0], p[1], p[2], p[3] = line[4*x+2], line[4*x+1], line[4*x], 0xff
		}
	}
	return img, nil
}
