package auth

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"postrider/internal/xtext"
)

// MaxLine is the longest line on the socket in octets, with its LF. It holds a password of the longest kind, both channel
// bindings and an address with room to spare.
const MaxLine = 16 << 10

// maxAttributes bounds the key=value pairs of one line.
const maxAttributes = 32

// ErrSyntax is wrapped by every error about a line that does not follow the grammar. The connection it came from is of no
// further use.
var ErrSyntax = errors.New("auth protocol syntax")

// Verb begins a line.
type Verb string

// The verbs of the auth socket, and check, which is spoken on the checkpassword socket only. Begin goes on from authd to the
// user's session process, with other pairs.
const (
	Who        Verb = "who"        // who ADDRESS
	Auth       Verb = "auth"       // auth SERVICE MECHANISM rip=… lip=… tls=… cb=TYPE:BASE64 ir=BASE64
	Mechanisms Verb = "mechanisms" // mechanisms
	Check      Verb = "check"      // check SERVICE RIP USER PASSWORD
	Cont       Verb = "cont"       // cont BASE64, in both directions
	Abort      Verb = "abort"      // the client gives up the exchange; the answer is no
	OK         Verb = "ok"         // ok name=… uid=… gid=… home=… maildir=… quota=…
	No         Verb = "no"         // unknown, or refused
	Later      Verb = "later"      // later REASON
	Begin      Verb = "session"    // session id=… tag=…, with the descriptor of a connection
)

// The verbs that are spoken only between authd and a session process.
const (
	Hello Verb = "hello" // hello version=… host=… root=… …
	End   Verb = "end"   // end id=…
)

// form is how a value is written.
type form int

const (
	text    form = iota // xtext; an empty word is "="
	binary              // base64; an empty word is "="
	binding             // TYPE:base64, a channel binding
)

// grammar lists the words that follow each verb. Pairs may follow the words.
var grammar = map[Verb][]form{
	Who:        {text},
	Auth:       {text, text},
	Mechanisms: {},
	Check:      {text, text, text, text},
	Cont:       {binary},
	Abort:      {},
	OK:         {},
	No:         {},
	Later:      {text},
	Begin:      {},
	Hello:      {},
	End:        {},
}

// pairForm gives the form of the pairs that are not xtext.
var pairForm = map[string]form{"ir": binary, "cb": binding}

// Pair is one key=value.
type Pair struct {
	Key, Value string
}

// Line is one line of the protocol with its values decoded: binary values hold their bytes.
type Line struct {
	Verb  Verb
	Words []string
	Pairs []Pair
}

// NewLine returns a line. It has to have as many words as its verb asks for.
func NewLine(verb Verb, words ...string) Line { return Line{Verb: verb, Words: words} }

// With returns the line with one more pair.
func (l Line) With(key, value string) Line {
	l.Pairs = append(l.Pairs[:len(l.Pairs):len(l.Pairs)], Pair{key, value})
	return l
}

// Get returns the value of the first pair with this key.
func (l Line) Get(key string) (string, bool) {
	for _, p := range l.Pairs {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

// ParseLine reads one line without its LF.
func ParseLine(s string) (Line, error) {
	tokens := strings.Split(s, " ")
	l := Line{Verb: Verb(tokens[0])}
	forms, ok := grammar[l.Verb]
	if !ok {
		return Line{}, fmt.Errorf("%w: unknown verb %.20q", ErrSyntax, tokens[0])
	}
	tokens = tokens[1:]
	if len(tokens) < len(forms) || len(tokens) > len(forms)+maxAttributes {
		return Line{}, fmt.Errorf("%w: %s with %d values", ErrSyntax, l.Verb, len(tokens))
	}
	for i, f := range forms {
		word, err := decodeWord(tokens[i], f)
		if err != nil {
			return Line{}, err
		}
		l.Words = append(l.Words, word)
	}
	for _, t := range tokens[len(forms):] {
		p, err := parsePair(t)
		if err != nil {
			return Line{}, err
		}
		l.Pairs = append(l.Pairs, p)
	}
	return l, nil
}

func parsePair(token string) (Pair, error) {
	key, value, ok := strings.Cut(token, "=")
	if !ok || !validKey(key) {
		return Pair{}, fmt.Errorf("%w: %.20q is no pair", ErrSyntax, key)
	}
	value, err := decode(value, pairForm[key])
	if err != nil {
		return Pair{}, err
	}
	return Pair{key, value}, nil
}

func validKey(key string) bool {
	for i := range len(key) {
		if key[i] < 'a' || key[i] > 'z' {
			return false
		}
	}
	return key != ""
}

func decodeWord(s string, f form) (string, error) {
	switch s {
	case "=":
		return "", nil
	case "":
		return "", fmt.Errorf("%w: empty word", ErrSyntax)
	}
	return decode(s, f)
}

// decode never quotes a value in its errors: it may be a password.
func decode(s string, f form) (string, error) {
	switch f {
	case binary:
		b, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil || strings.ContainsAny(s, "\r\n") {
			return "", fmt.Errorf("%w: bad base64", ErrSyntax)
		}
		return string(b), nil
	case binding:
		kind, data, ok := strings.Cut(s, ":")
		if !ok {
			return "", fmt.Errorf("%w: bad channel binding", ErrSyntax)
		}
		if _, err := xtext.Decode(kind); err != nil || strings.Contains(kind, "+") {
			return "", fmt.Errorf("%w: bad channel binding", ErrSyntax)
		}
		data, err := decode(data, binary)
		return kind + ":" + data, err
	}
	v, err := xtext.Decode(s)
	if err != nil {
		return "", fmt.Errorf("%w: bad xtext", ErrSyntax)
	}
	return v, nil
}

// Append writes the line with its LF onto b.
func (l Line) Append(b []byte) []byte {
	b = append(b, l.Verb...)
	for i, w := range l.Words {
		b = append(b, ' ')
		if w == "" {
			b = append(b, '=')
			continue
		}
		b = encode(b, w, grammar[l.Verb][i])
	}
	for _, p := range l.Pairs {
		b = append(b, ' ')
		b = append(b, p.Key...)
		b = append(b, '=')
		b = encode(b, p.Value, pairForm[p.Key])
	}
	return append(b, '\n')
}

func encode(b []byte, s string, f form) []byte {
	switch f {
	case binary:
		return base64.StdEncoding.AppendEncode(b, []byte(s))
	case binding:
		kind, data, _ := strings.Cut(s, ":")
		b = append(b, kind...)
		b = append(b, ':')
		return base64.StdEncoding.AppendEncode(b, []byte(data))
	}
	return xtext.Append(b, s)
}

// NewReader returns a reader for ReadLine.
func NewReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, MaxLine) }

// ReadLine reads one line. It returns io.EOF only between lines, and an ErrSyntax for one that is longer than MaxLine.
func ReadLine(r *bufio.Reader) (Line, error) {
	b, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return Line{}, fmt.Errorf("%w: line longer than %d octets", ErrSyntax, MaxLine)
	case err == io.EOF && len(b) > 0:
		return Line{}, io.ErrUnexpectedEOF
	case err != nil:
		return Line{}, err
	}
	return ParseLine(string(b[:len(b)-1]))
}

// WriteLine writes one line with a single write. A line that the other side would refuse for its length is not written.
func WriteLine(w io.Writer, l Line) error {
	b, err := l.wire()
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// wire is the line with its LF, if the other side would read it.
func (l Line) wire() ([]byte, error) {
	b := l.Append(nil)
	if len(b) > MaxLine {
		return nil, fmt.Errorf("%w: %s line longer than %d octets", ErrSyntax, l.Verb, MaxLine)
	}
	return b, nil
}
