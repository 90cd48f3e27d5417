package sendmail

import (
	"bytes"
	"io"
	"os"
)

// inMemory is how much of a message is kept in memory.
const inMemory = 256 << 10

// message is a message read to its end. The mail system is asked to take it only then: a program may write its output for
// hours, which is longer than any server waits.
type message struct {
	start []byte
	file  *os.File  // what follows, size octets of it
	size  int64     //
	rest  io.Reader // what could not be stored; nil = nothing
}

// collect reads a message, up to inMemory octets into memory and the rest into a file without a name. Where no such file
// can be made or filled, the rest is left in r: the mail system may have the room that we do not have.
func collect(r io.Reader, temporary func() (*os.File, error)) (*message, error) {
	m := &message{}
	var start bytes.Buffer
	n, err := io.CopyN(&start, r, inMemory)
	m.start = start.Bytes()
	if err == io.EOF {
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	if n == inMemory {
		if m.file, err = temporary(); err != nil {
			m.rest = r
			return m, nil
		}
	}
	if err := m.spill(r); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// spill copies r into the file.
func (m *message) spill(r io.Reader) error {
	block := make([]byte, pieceSize)
	for {
		n, err := r.Read(block)
		written, failed := m.file.Write(block[:n])
		m.size += int64(written)
		if failed != nil {
			m.rest = io.MultiReader(bytes.NewReader(bytes.Clone(block[written:n])), r)
			return nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (m *message) close() {
	if m.file != nil {
		m.file.Close()
	}
}

// length is the length of the message in octets, 0 if it is not known.
func (m *message) length() int64 {
	if m.rest != nil {
		return 0
	}
	return int64(len(m.start)) + m.size
}

// reader reads the message from its start. It can be had again unless there is a rest.
func (m *message) reader() io.Reader {
	parts := []io.Reader{bytes.NewReader(m.start)}
	if m.file != nil {
		parts = append(parts, io.NewSectionReader(m.file, 0, m.size))
	}
	if m.rest != nil {
		parts = append(parts, m.rest)
	}
	return io.MultiReader(parts...)
}

// unnamedFile makes a file in the directory for temporary files and removes its name.
func unnamedFile() (*os.File, error) {
	f, err := os.CreateTemp("", "sendmail")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
