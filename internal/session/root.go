package session

import "os"

// root is a directory of the mail as it was when the process was confined. What the kernel lets the process into is that directory,
// not its name: one that is put there or mounted over it later stays out of reach.
type root struct {
	path string
	was  os.FileInfo // nil: out of reach
}

// look returns a root, also with an error, which says why it is out of reach.
func look(path string) (root, error) {
	if d, err := os.Open(path); err == nil { // which mounts it, if it is to be mounted on demand
		d.Close()
	}
	info, err := os.Stat(path)
	if err != nil {
		return root{path: path}, err
	}
	return root{path, info}, nil
}

// replaced says whether the process would be let into something else, were it confined now.
func (r root) replaced() bool {
	now, err := os.Stat(r.path)
	return err != nil || r.was == nil || !os.SameFile(r.was, now)
}
