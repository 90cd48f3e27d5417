package imapd

import (
	"bytes"
	"compress/flate"
	"io"
	"sync"

	"postrider/internal/imap"
	"postrider/internal/imapd/inflate"
)

// compress answers COMPRESS (RFC 4978).
func (s *session) compress(c *imap.Compress) reply {
	switch {
	case c.Algorithm != "DEFLATE":
		return bad("Unknown compression mechanism.")
	case s.compressed:
		return no(imap.CodeCompressionActive, "COMPRESSION already enabled.")
	}
	r := ok("Begin compression.")
	r.then = s.beginCompression
	return r
}

// beginCompression is what follows the answer, which is the last that goes uncompressed. What the client sent behind the
// command is compressed already.
func (s *session) beginCompression() {
	s.w.Flush()
	ahead := bytes.NewReader(s.r.Take())
	s.wire.src = inflate.NewReader(io.MultiReader(ahead, s.stream))
	s.wire.dst = deflater{s.stream}
	s.compressed = true
}

// wire is what Reader and Writer work on: the stream, or what compresses on it.
type wire struct {
	src io.Reader
	dst io.Writer
}

func (w *wire) Read(b []byte) (int, error)  { return w.src.Read(b) }
func (w *wire) Write(b []byte) (int, error) { return w.dst.Write(b) }

// deflater compresses each write by itself and ends it with a sync flush. Those pieces together are one DEFLATE stream,
// none of which refers to another: so the compressor, more than a megabyte, is needed only while something is written.
type deflater struct{ to *stream }

// compressors are those of the process that are not in use.
var compressors = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // fails for unknown levels only
	return w
}}

func (d deflater) Write(b []byte) (int, error) {
	out := bytes.NewBuffer(make([]byte, 0, len(b)/2+64))
	c := compressors.Get().(*flate.Writer)
	c.Reset(out)
	_, err := c.Write(b)
	if err == nil {
		err = c.Flush()
	}
	compressors.Put(c) // others may need it while the client takes its time
	if err != nil {
		return 0, err
	}
	if _, err := d.to.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(b), nil
}
