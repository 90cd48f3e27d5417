package spool

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/internal/config"
	"postrider/internal/envelope"
	"postrider/internal/logline"
)

const usage = `usage: postrider spool [-c config] check
       postrider spool [-c config] requeue file...
       postrider spool [-c config] init
`

// Main is `postrider spool`: the strict reader, and the way back for edited files.
func Main(args []string) int {
	fl := flag.NewFlagSet("postrider spool", flag.ContinueOnError)
	fl.Usage = func() { io.WriteString(os.Stderr, usage) }
	path := fl.String("c", config.DefaultPath, "configuration `file`")
	if err := fl.Parse(args); err != nil {
		return 2
	}
	cfg, err := config.Load(*path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	switch verb := fl.Arg(0); {
	case verb == "check" && fl.NArg() == 1:
		return checkMain(cfg)
	case verb == "requeue" && fl.NArg() > 1:
		return requeueMain(cfg, fl.Args()[1:])
	case verb == "init" && fl.NArg() == 1:
		if err := Init(cfg.SpoolDir); err != nil {
			fmt.Fprintln(os.Stderr, "postrider:", err)
			return 1
		}
		return 0
	}
	fl.Usage()
	return 2
}

func checkMain(cfg *config.Config) int {
	bad, good := 0, 0
	err := Check(cfg.SpoolDir, func(path string, err error) {
		if err == nil {
			good++
			return
		}
		bad++
		fmt.Printf("%s: %v\n", path, err)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "postrider:", err)
		return 1
	}
	fmt.Printf("%d files good, %d not\n", good, bad)
	if bad > 0 {
		return 1
	}
	return 0
}

// Check reads every file of a spool strictly and calls report for each; nil = good. A file that goes away meanwhile is
// passed over. A message that is being accepted has a blank line 1 and is not reported.
func Check(root string, report func(path string, err error)) error {
	if err := checkStage(root, report); err != nil {
		return err
	}
	for _, via := range []envelope.Via{envelope.Remote, envelope.Local} {
		if err := List(root, via, func(e Entry) error {
			if err := e.check(); !errors.Is(err, fs.ErrNotExist) {
				report(e.Path, err)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func checkStage(root string, report func(string, error)) error {
	dir := filepath.Join(root, "stage")
	return eachName(dir, func(s string) error {
		if s == "bad" {
			return nil
		}
		id, via, _ := strings.Cut(s, ".")
		path := filepath.Join(dir, s)
		c, err := verifyPath(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, envelope.ErrBlank):
			return nil
		case err == nil && (c.line1.ID != id || !c.env.Has(envelope.Via(via))):
			err = fmt.Errorf("%w: name does not fit line 1 and recipients", errContent)
		}
		report(path, err)
		return nil
	})
}

func (e Entry) check() error {
	c, err := verifyPath(e.Path)
	if err != nil {
		return err
	}
	if c.line1.ID != e.Name.ID {
		return fmt.Errorf("%w: line 1 says id=%s", errContent, c.line1.ID)
	}
	if !c.env.Has(e.Via) {
		return fmt.Errorf("%w: no recipient for this channel", errContent)
	}
	_, err = e.Read()
	return err
}

func verifyPath(path string) (contents, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return contents{}, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return contents{}, fmt.Errorf("%w: not a regular file", errContent)
	}
	return verify(f)
}

func requeueMain(cfg *config.Config, paths []string) int {
	log := logline.New("postrider", logline.Text)
	s, err := OpenStage(cfg.SpoolDir, StageOptions{MessageSize: int64(cfg.MessageSize), Log: log})
	if err != nil {
		fmt.Fprintln(os.Stderr, "postrider:", err)
		return 1
	}
	defer s.Close()
	status := 0
	for _, p := range paths {
		id, err := Requeue(s, p)
		if err != nil {
			fmt.Fprintf(os.Stderr, "postrider: requeue %s: %v\n", p, err)
			status = 1
			continue
		}
		fmt.Println(id)
	}
	return status
}

// Requeue writes a file of hold/ or bad/, perhaps edited, as a new message: new id, parent= the old one, its unsent recipients
// only. Then it removes the old file. A file in cur/ may be in flight and is refused.
func Requeue(s *Stage, path string) (string, error) {
	via, err := requeueable(path)
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	e, err := readEdited(f)
	if err != nil {
		return "", err
	}
	env := e.env
	if env.To = e.unsent(via, path); len(env.To) == 0 {
		return "", errors.New("no unsent recipient in this channel")
	}
	env.Parent, env.Hold = env.ID, ""
	m, err := s.Create(env, true)
	if err != nil {
		return "", err
	}
	defer m.Abort()
	if _, err := f.Seek(e.offset, io.SeekStart); err != nil {
		return "", err
	}
	if _, err := io.Copy(wireForm{m, new(byte)}, f); err != nil {
		return "", err
	}
	if err := m.Commit(); err != nil {
		return "", err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m.ID(), fmt.Errorf("queued anew as %s, but the old file stays: %w", m.ID(), err)
	}
	return m.ID(), nil
}

func requeueable(path string) (envelope.Via, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(abs)
	via := envelope.Via(filepath.Base(filepath.Dir(dir)))
	if b := filepath.Base(dir); b != string(Held) && b != string(Damaged) || via != envelope.Local && via != envelope.Remote {
		return "", errors.New("only files in hold/ or bad/ are requeued; move it to hold/ first")
	}
	return via, nil
}

// edited is a queue file whose sizes and CRC may no longer be true.
type edited struct {
	env    *envelope.Envelope
	offset int64 // of the message
	line1  envelope.Line1
	intact bool // the envelope is as long as line 1 says: its lines are those of the journal
}

func readEdited(f *os.File) (edited, error) {
	var e edited
	b, err := io.ReadAll(io.LimitReader(f, envelope.MaxSize))
	if err != nil {
		return e, err
	}
	if e.line1, err = envelope.ParseLine1(b); err != nil {
		return e, err
	}
	end := bytes.Index(b, []byte("\n\n"))
	if end < envelope.Line1Size {
		return e, fmt.Errorf("%w: no envelope", errContent)
	}
	e.offset = int64(end) + 2
	e.intact = e.offset == e.line1.Env
	e.env, err = envelope.Parse(e.line1.ID, b[envelope.Line1Size:e.offset])
	return e, err
}

// unsent are the recipients of the channel that the journal does not say to be done. If the envelope was edited, its lines are
// not those that the journal names, and all count as unsent: twice is better than never.
func (e *edited) unsent(via envelope.Via, path string) []envelope.Recipient {
	var j journal
	if e.intact {
		entry := Entry{Via: via, State: State(filepath.Base(filepath.Dir(path))), Name: Name{ID: e.env.ID}, Path: path}
		if known, err := readJournal(entry.journalPath(), e.env.ID, e.line1.CRC); err == nil {
			j = known
		}
	}
	return j.pending(e.env, via)
}

// wireForm turns bare line feeds, which editors write, into CRLF.
type wireForm struct {
	w    io.Writer
	last *byte
}

func (c wireForm) Write(p []byte) (int, error) {
	var out []byte
	for _, b := range p {
		if b == '\n' && *c.last != '\r' {
			out = append(out, '\r')
		}
		out = append(out, b)
		*c.last = b
	}
	if _, err := c.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
