package imap

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll reads every command of input, each message accepted where accept says so, and returns what came.
func readAll(t *testing.T, src io.Reader, accept bool) (got []*Request, last error) {
	t.Helper()
	r := NewReader(src, &console{})
	r.State, r.Limits.Discard = anyState, 1<<20
	for {
		req, err := r.Next()
		var refused *CommandError
		switch {
		case errors.As(err, &refused):
			if refused.Tag == "" || refused.Status != BAD && refused.Status != NO {
				t.Fatalf("%+v", refused)
			}
			continue
		case err != nil:
			return got, err
		}
		if in := incomingOf(req); in != nil {
			var parts []string
			if accept {
				parts, _ = readIncoming(in)
			} else if err := in.End(); err != nil {
				return got, err
			}
			req.Command = parts
		}
		got = append(got, req)
	}
}

// FuzzCommand checks that commands end, and that how the input is cut into reads changes nothing.
func FuzzCommand(f *testing.F) {
	f.Add("a1 LOGIN {3}\r\njoe {4+}\r\npass\r\na2 NOOP\r\n", true)
	f.Add("a APPEND x (\\Seen) \" 7-Feb-1994 21:52:25 -0800\" {5+}\r\nhello\r\nb NOOP\r\n", false)
	f.Add("a STORE 1:*,7 +FLAGS.SILENT (\\Deleted $x)\r\nb LIST (SUBSCRIBED) \"\" (a %) RETURN (STATUS (UNSEEN))\r\n", true)
	f.Add("a SELECT x (QRESYNC (1 2 3:4 (1 2)))\r\nb ID (\"a\" NIL)\r\nc FOO {3+}\r\n\r\n\r\n", true)
	f.Add("a NOTIFY SET STATUS (selected (MessageNew (uid body.peek[1]) MessageExpunge)) (subtree (a b) (MailboxName))\r\n", true)
	f.Add("a GETMETADATA (DEPTH 1 MAXSIZE 9) \"\" (/shared/a)\r\nb SETMETADATA a (/private/x ~{1+}\r\n\x00 /private/y NIL)\r\nc GETQUOTA \"\"\r\n", true)
	f.Add("a AUTHENTICATE PLAIN =\r\nb ENABLE A B\r\nc CREATE x (USE (\\Sent))\r\nd UID MOVE 1 &AGE-\r\n", false)
	f.Add("a APPEND x {2+}\r\nab (\\Seen) ~{1+}\r\n\x00 CATENATE (URL {2+}\r\n/x TEXT {1+}\r\na UTF8 (~{1+}\r\nb))\r\nb NOOP\r\n", true)
	f.Add("a REPLACE 1 x UTF8 (~{1+}\r\na)\r\nb UID REPLACE * x {1+}\r\na {1+}\r\nb\r\n", true)
	f.Fuzz(func(t *testing.T, input string, accept bool) {
		whole, err1 := readAll(t, strings.NewReader(input), accept)
		bytewise, err2 := readAll(t, iotest.OneByteReader(strings.NewReader(input)), accept)
		if errors.Is(err1, ErrImpatient) || errors.Is(err2, ErrImpatient) || errors.Is(err1, ErrEndless) || errors.Is(err2, ErrEndless) {
			return // what was sent without waiting is seen only if it is there
		}
		if len(whole) != len(bytewise) {
			t.Fatalf("%d commands at once, %d bytewise; %v, %v", len(whole), len(bytewise), err1, err2)
		}
		for i := range whole {
			if !reflect.DeepEqual(whole[i], bytewise[i]) {
				t.Fatalf("%+v at once, %+v bytewise", whole[i], bytewise[i])
			}
		}
	})
}

// FuzzLiteral puts a literal where a client may put one, and more where it may not, under any limit: the command behind it
// must be the next.
func FuzzLiteral(f *testing.F) {
	f.Add("LOGIN a ", "x DELETE y\r\n", uint16(900), true)
	f.Add("FOO (", "\r\nx CREATE y {3+}\r\n", uint16(900), false)
	f.Add("APPEND x ", "{900+}\r\n", uint16(16), true)
	f.Add("APPEND x {0+}\r\n UTF8 (~", ")\r\n", uint16(900), true)
	f.Add("SEARCH CHARSET \"", "\x00{5+}", uint16(900), false)
	f.Fuzz(func(t *testing.T, before, literal string, limit uint16, accept bool) {
		if strings.ContainsAny(before, "\r\n") {
			return
		}
		first := "a " + before + "{" + string(appendUint(nil, uint64(len(literal)))) + "+}\r\n" + literal + "\r\n"
		r := NewReader(io.MultiReader(strings.NewReader(first), strings.NewReader("last NOOP\r\n")), &console{})
		r.State, r.Limits = anyState, Limits{Line: int(limit), Literals: 100, Discard: 1 << 20}
		req, err := r.Next()
		var refused *CommandError
		if err != nil && !errors.As(err, &refused) || req != nil && req.Tag != "a" {
			t.Fatalf("%q: %+v, %v", first, req, err)
		}
		if in := incomingOf(req); in != nil && accept {
			if _, err := readIncoming(in); err != nil && !errors.As(err, &refused) {
				t.Fatal(err)
			}
		}
		r.Limits.Line = 100
		if req, err = r.Next(); err != nil || req.Tag != "last" {
			t.Fatalf("%q: behind it %+v, %v", first, req, err)
		}
	})
}

// FuzzFetch checks that what is answered for an item asks for the same item.
func FuzzFetch(f *testing.F) {
	for _, seed := range []string{"ALL", "FLAGS", "(UID BODY.PEEK[1.2.HEADER.FIELDS (A \"b c\")]<0.5>)", "BODY[1.MIME]",
		"(RFC822.HEADER RFC822.TEXT BODY) (CHANGEDSINCE 3 VANISHED)", "BODY[HEADER.FIELDS.NOT ({1+}\r\na)]", "(BINARY.PEEK[1.2]<0.5> BINARY.SIZE[])",
		"(PREVIEW (LAZY) UID PREVIEW)", "PREVIEW (LAZY) (CHANGEDSINCE 1)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, items string) {
		fetch := fetchOf(items)
		if fetch == nil {
			return
		}
		for _, item := range fetch.Items {
			item.Peek, item.Lazy = item.Attr == FetchRFC822Header, false
			if item.Partial != nil {
				item.Partial = nil
			}
			name := string(item.appendName(nil))
			again := fetchOf("(" + name + ")")
			if again == nil || len(again.Items) != 1 || !reflect.DeepEqual(again.Items[0], item) {
				t.Fatalf("%q: %+v is answered as %q, which is %+v", items, item, name, again)
			}
		}
	})
}

func fetchOf(items string) *Fetch {
	r, _ := newTestReader("a FETCH 1 " + items + "\r\n")
	req, err := r.Next()
	if err != nil || req.Name != "FETCH" {
		return nil
	}
	return req.Command.(*Fetch)
}

// FuzzSearch checks the bounds of the tree.
func FuzzSearch(f *testing.F) {
	for _, seed := range []string{"ALL", "OR (SEEN NEW) NOT 1:*", "CHARSET UTF-8 SUBJECT {2+}\r\nab UID 5", "RETURN (MIN) BEFORE 1-Feb-1994",
		"HEADER X \"\" LARGER 5 KEYWORD $x", "MODSEQ \"/flags/x\" all 5", strings.Repeat("(", 300) + "ALL"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, keys string) {
		r, _ := newTestReader("a SEARCH " + keys + "\r\n")
		req, err := r.Next()
		if err != nil {
			return
		}
		if search, ok := req.Command.(*Search); ok {
			nodes := 0
			checkKey(t, &search.Key, 0, &nodes)
		}
	})
}

func checkKey(t *testing.T, k *Key, depth int, nodes *int) {
	*nodes++
	children := map[KeyOp]int{KeyOr: 2, KeyNot: 1}[k.Op]
	switch {
	case depth > maxDepth+1 || *nodes > 3*maxItems+1:
		t.Fatalf("depth %d, %d keys", depth, *nodes)
	case k.Op == 0 || k.Op > KeyModSeq:
		t.Fatalf("%+v", k)
	case k.Op != KeyAnd && len(k.Keys) != children || k.Op == KeyAnd && len(k.Keys) == 0:
		t.Fatalf("%+v", k)
	}
	for i := range k.Keys {
		checkKey(t, &k.Keys[i], depth+1, nodes)
	}
}
