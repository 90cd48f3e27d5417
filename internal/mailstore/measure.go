package mailstore

import (
	"bytes"
	"io"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/maildir"
)

// measure reads a message's file for what its name may not say. Thousands are measured in a row: a descriptor does without what an os.File
// has for files that are to be waited for.
func measure(path string) (Info, error) {
	failed := func(op string, err error) (Info, error) { return Info{}, &fs.PathError{Op: op, Path: path, Err: err} }
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := retry(func() (int, error) { return unix.Open(path, flags|unix.O_NOATIME, 0) })
	if err == unix.EPERM { // another's file
		fd, err = retry(func() (int, error) { return unix.Open(path, flags, 0) })
	}
	if err != nil {
		return failed("open", err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return failed("stat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return failed("open", maildir.ErrNotRegular)
	}
	wire, err := wireSize(descriptor(fd))
	if err != nil {
		return failed("read", err)
	}
	return Info{Size: st.Size, Wire: wire, Date: time.Unix(st.Mtim.Unix())}, nil
}

// retry does a system call until no signal interrupts it.
func retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}

// descriptor is an open file.
type descriptor int

func (d descriptor) Read(b []byte) (int, error) {
	n, err := retry(func() (int, error) { return unix.Read(int(d), b) })
	switch {
	case err != nil:
		return 0, err
	case n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// counters are the buffers of those who count sizes.
var counters = sync.Pool{New: func() any { return new([counterSize]byte) }}

const counterSize = 128 << 10 // most messages at once

// wireSize counts octets with CRLF for every line end.
func wireSize(r io.Reader) (n int64, err error) {
	buf := counters.Get().(*[counterSize]byte)
	defer counters.Put(buf)
	last := byte(0)
	for {
		k, err := r.Read(buf[:])
		if text := buf[:k]; k > 0 {
			n += int64(k + bytes.Count(text, []byte{'\n'}))
			if last == '\r' && text[0] == '\n' {
				n--
			}
			if bytes.IndexByte(text, '\r') >= 0 {
				n -= int64(bytes.Count(text, []byte("\r\n")))
			}
			last = text[k-1]
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
