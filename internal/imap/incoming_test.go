package imap

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func incomingOf(req *Request) *Incoming {
	if req == nil {
		return nil
	}
	switch c := req.Command.(type) {
	case *Append:
		return c.Messages
	case *Replace:
		return c.By
	}
	return nil
}

// readIncoming reads all messages: for each a line with flags and date, then one for each part.
func readIncoming(in *Incoming) (lines []string, err error) {
	for {
		m, err := in.Next()
		if err == io.EOF {
			return lines, nil
		} else if err != nil {
			return lines, err
		}
		date := ""
		if !m.Date.IsZero() {
			date = m.Date.UTC().Format(" 2006-01-02 15:04:05")
		}
		lines = append(lines, fmt.Sprintf("%v%s", m.Flags, date))
		if lines, err = readParts(m, lines); err != nil {
			return lines, err
		}
	}
}

func readParts(m *Message, lines []string) ([]string, error) {
	for {
		part, err := m.Next()
		switch {
		case err == io.EOF:
			return lines, nil
		case err != nil:
			return lines, err
		case part.URL != "":
			lines = append(lines, "URL "+part.URL)
			continue
		}
		if err := part.Accept(); err != nil {
			return lines, err
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return lines, err
		}
		line := fmt.Sprintf("%q", text)
		if part.Binary {
			line = "~" + line
		}
		lines = append(lines, line)
	}
}

// TestAppend has the forms of APPEND and REPLACE.
func TestAppend(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{
		"APPEND x {5+}\r\nhello": `[]|"hello"`,
		"append x (\\SEEN $x) \" 7-Feb-1994 21:52:25 -0800\" {1}\r\na": `[\Seen $x] 1994-02-08 05:52:25|"a"`,
		"APPEND x () ~{3+}\r\na\x00b":                                  `[]|~"a\x00b"`,
		"APPEND x {0+}\r\n":                                            `[]|""`,
		// RFC 3502
		"APPEND x (\\Seen) {1+}\r\na (\\Seen) \" 7-Feb-1994 22:43:04 -0800\" {1}\r\nb {2+}\r\ncd": `[\Seen]|"a"|[\Seen] 1994-02-08 06:43:04|"b"|[]|"cd"`,
		// RFC 4469
		"APPEND x (\\Draft) CATENATE (URL \"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER\" TEXT {4+}\r\n\r\n-- URL a)": `[\Draft]|URL /Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER|"\r\n--"|URL a`,
		"APPEND x CATENATE (TEXT ~{1}\r\n\x00 URL {2+}\r\n/a UTF8 (~{1+}\r\nb) )":                                               `[]|~"\x00"|URL /a|~"b"`,
		"APPEND x CATENATE (URL a) (\\Seen) CATENATE (URL b) {1+}\r\nc":                                                         `[]|URL a|[\Seen]|URL b|[]|"c"`,
		// RFC 6855
		"APPEND x (\\Seen) UTF8 (~{3+}\r\na\x00b)":   `[\Seen]|~"a\x00b"`,
		"APPEND x UTF8 (~{1}\r\na) UTF8 (~{1}\r\nb)": `[]|~"a"|[]|~"b"`,
		// RFC 8508
		"REPLACE 4 x (\\Seen) {1+}\r\na":                  `[\Seen]|"a"`,
		"UID REPLACE * x CATENATE (URL a TEXT {1+}\r\nb)": `[]|URL a|"b"`,
	} {
		r, out := newTestReader("a " + command + "\r\n\r\nb NOOP\r\n")
		req, err := r.Next()
		if err != nil {
			t.Errorf("%q: %v", command, err)
			continue
		}
		lines, err := readIncoming(incomingOf(req))
		if got := strings.Join(lines, "|"); got != want || err != nil {
			t.Errorf("%q:\n got %s\nwant %s, %v", command, got, want, err)
		}
		if asked := strings.Count(out.said.String(), "+ OK\r\n"); asked != strings.Count(command, "}")-strings.Count(command, "+}") {
			t.Errorf("%q: said %q", command, out.said.String())
		}
		if req, err := r.Next(); err != nil || req.Tag != "b" {
			t.Errorf("%q: behind it %+v, %v", command, req, err)
		}
	}
}

func TestAppendArguments(t *testing.T) {
	t.Parallel()
	body := "From: a\r\n\r\n" + strings.Repeat("x\x00y DELETE x\r\n", 3000)
	r, _ := newTestReader(fmt.Sprintf("a append \"Sent\" (\\SEEN $x) \" 7-Feb-1994 21:52:25 -0800\" ~{%d+}\r\n%s\r\nb UID REPLACE 7 x {1+}\r\na\r\n", len(body), body))
	req, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	m, err := req.Command.(*Append).Messages.Next()
	if want := time.Date(1994, 2, 8, 5, 52, 25, 0, time.UTC); err != nil || req.Command.(*Append).Mailbox != "Sent" || len(m.Flags) != 2 || !m.Date.Equal(want) {
		t.Errorf("%+v, %v", m, err)
	}
	part, err := m.Next()
	if err != nil || part.Size != int64(len(body)) || !part.Binary {
		t.Fatalf("%+v, %v", part, err)
	}
	if err := part.Accept(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(part); err != nil || string(got) != body {
		t.Errorf("read %d octets, %v", len(got), err)
	}
	req, err = r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := req.Command.(*Replace); !ok || !c.UID || c.Message != 7 || c.Mailbox != "x" {
		t.Errorf("%+v", req)
	}
}

// TestAppendRefused: whatever is wrong and wherever the session stops, the next command is read.
func TestAppendRefused(t *testing.T) {
	t.Parallel()
	for _, command := range []string{
		"APPEND x {1+}\r\na b", "APPEND x {1+}\r\na{1+}\r\nb", "APPEND x {1+}\r\na (\\Recent) {1+}\r\nb", "APPEND x {1+}\r\na ()",
		"APPEND x CATENATE ()", "APPEND x CATENATE (TEXT {1+}\r\na", "APPEND x CATENATE (TEXT {1+}\r\naURL b)", "APPEND x CATENATE (FILE x)",
		"APPEND x CATENATE (URL \"\")", "APPEND x CATENATE (URL a TEXT {1+}\r\nb) x", "APPEND x UTF8 ({1+}\r\na", "APPEND x UTF8 (~{1+}\r\na x)",
		"APPEND x UTF8 ~{1+}\r\na", "APPEND x TEXT {1+}\r\na", "APPEND x {1+}\r\na CATENATE (URL {2000000+}\r\n",
		"REPLACE 1 x {1+}\r\na {1+}\r\nb", "REPLACE 0 x {1+}\r\na", "REPLACE 1:2 x {1+}\r\na", "APPEND x CATENATE (URL a TEXT {9\r\n",
	} {
		if strings.Contains(command, "2000000") {
			command += strings.Repeat("x", 2000000)
		}
		for _, accept := range []bool{true, false} {
			r, _ := newTestReader("a " + command + "\r\nb NOOP\r\n")
			req, err := r.Next()
			if in := incomingOf(req); in != nil && accept {
				_, err = readIncoming(in)
			} else if in != nil {
				err = &CommandError{Tag: "a"} // and the Reader skips it
			}
			if refused := (*CommandError)(nil); !errors.As(err, &refused) || refused.Tag != "a" {
				t.Errorf("%.60q: %v", command, err)
			}
			if req, err = r.Next(); err != nil || req.Tag != "b" {
				t.Errorf("%.60q: behind it %+v, %v", command, req, err)
			}
		}
	}
}

// TestAppendCutOff: nothing of a command that did not come whole counts as read.
func TestAppendCutOff(t *testing.T) {
	t.Parallel()
	const command = "a APPEND x {5+}\r\nhello (\\Seen) CATENATE (URL a TEXT {2+}\r\nbc UTF8 (~{1+}\r\nd)) {1+}\r\ne\r\n"
	for end := range len(command) {
		r, _ := newTestReader(command[:end])
		req, err := r.Next()
		if err == nil {
			_, err = readIncoming(incomingOf(req))
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) && end > 0 {
			t.Errorf("%q: %v", command[:end], err)
		}
		if _, again := r.Next(); end > 0 && again == nil {
			t.Errorf("%q: another command", command[:end])
		}
	}
}

// TestAppendNotRead: a session need not read what it accepted, nor ask for all parts.
func TestAppendNotRead(t *testing.T) {
	t.Parallel()
	const command = "a APPEND x CATENATE (TEXT {2+}\r\nab TEXT {2+}\r\ncd) {2+}\r\nef\r\nb NOOP\r\n"
	for steps := range 6 {
		r, _ := newTestReader(command)
		req, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		in := incomingOf(req)
		var m *Message
		for step := range steps {
			if step%2 == 0 {
				m, err = in.Next()
			} else {
				var part *Part
				if part, err = m.Next(); err == nil {
					err = part.Accept()
				}
			}
			if err != nil && err != io.EOF {
				t.Fatal(steps, err)
			}
		}
		if steps%2 == 0 {
			if err := in.End(); err != nil {
				t.Error(steps, err)
			}
		}
		if req, err := r.Next(); err != nil || req.Tag != "b" {
			t.Errorf("%d steps: behind it %+v, %v", steps, req, err)
		}
	}
}

// TestSynchronizing: a peer that waits to be asked is refused by the answer; one that does not wait is cut off.
func TestSynchronizing(t *testing.T) {
	t.Parallel()
	for after, want := range map[string]error{"": io.EOF, "hello": ErrImpatient} {
		r, out := newTestReader("a APPEND x {1+}\r\na {5}\r\n" + after)
		req, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		m, err := incomingOf(req).Next()
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = m.Next()
		}
		if m, err = incomingOf(req).Next(); err != nil {
			t.Fatal(err)
		}
		if part, err := m.Next(); err != nil || part.Size != 5 {
			t.Fatal(part, err)
		}
		if _, err := r.Next(); !errors.Is(err, want) || out.said.Len() > 0 {
			t.Errorf("%q behind the literal: %v, said %q", after, err, out.said.String())
		}
	}
}

func TestTooManyMessages(t *testing.T) {
	t.Parallel()
	r, _ := newTestReader("a APPEND x" + strings.Repeat(" {1+}\r\na", maxMessages+1) + "\r\nb APPEND x" + strings.Repeat(" {1+}\r\na", maxMessages) + "\r\n")
	req, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	_, err = readIncoming(incomingOf(req))
	if refused := (*CommandError)(nil); !errors.As(err, &refused) || refused.Code != CodeLimit || refused.Status != NO {
		t.Errorf("%v", err)
	}
	if req, err = r.Next(); err != nil {
		t.Fatal(err)
	}
	if lines, err := readIncoming(incomingOf(req)); err != nil || len(lines) != 2*maxMessages || !slices.Contains(lines, `"a"`) {
		t.Errorf("%d lines, %v", len(lines), err)
	}
}
