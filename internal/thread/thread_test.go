package thread

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/imap"
	"postrider/internal/sortkey"
)

// mailbox makes messages of lines "id subject references", sent one minute after the other unless one begins with a number
// of minutes.
func mailbox(lines string) (messages []Message) {
	maker := sortkey.NewMaker()
	for i, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		fields := strings.Fields(line)
		minute := i
		if first, found := strings.CutSuffix(fields[0], ":"); found {
			minute, _ = strconv.Atoi(first)
			fields = fields[1:]
		}
		header := ""
		if fields[0] != "-" {
			header += "Message-ID: <" + fields[0] + "@x>\n"
		}
		header += "Subject: " + strings.ReplaceAll(fields[1], "_", " ") + "\nReferences:"
		for _, ref := range fields[2:] {
			header += "\n <" + ref + "@x>"
		}
		key, _ := maker.Append(nil, []byte(header+"\n\n"))
		messages = append(messages, Message{Key: sortkey.Key(key), Date: int64(60 * minute)})
	}
	return messages
}

// wire gives threads as a client gets them, with numbers from 1.
func wire(nodes []Node) string {
	var b strings.Builder
	w := imap.NewWriter(&b)
	w.Thread(func(yield func(uint32, int) bool) {
		for _, n := range nodes {
			if !yield(uint32(n.Message+1), int(n.Answers)) {
				return
			}
		}
	})
	w.Flush()
	return strings.TrimSuffix(strings.TrimPrefix(b.String(), "* THREAD"), "\r\n")
}

func TestThreads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, mail, references, refs, subject string }{
		{"chain", "a s\nb re:_s a\nc re:_s a b\nd t", " (1 2 3)(4)", " (1 2 3)(4)", " (1 (2)(3))(4)"},
		{"fork", "a s\nb re:_s a\nc re:_s a", " (1 (2)(3))", " (1 (2)(3))", " (1 (2)(3))"},
		{"out of order", "9: c x a b\n1: a s\n5: b re:_s a", " (2 3 1)", " (2 3 1)", " (2 3)(1)"},
		{"absent parent, two answers", "b s a\nc t a", " ((1)(2))", " ((1)(2))", " (1)(2)"},
		{"absent parent, one answer", "b s a\nc t", " (1)(2)", " (1)(2)", " (1)(2)"},
		{"absent in the middle", "a s\nc t a b\nd u a b", " (1 (2)(3))", " (1 (2)(3))", " (1)(2)(3)"},
		{"absent above absent", "c s a b\nd t a x\ne u a b", " ((1)(2)(3))", " ((1)(2)(3))", " (1)(2)(3)"},
		{"absent above absent above one", "c s a b x\nd t", " (1)(2)", " (1)(2)", " (1)(2)"},
		{"subject joins a reply", "a s\nb re:_s", " (1 2)", " (1)(2)", " (1 2)"},
		{"a reply that came before", "b re:_s\na s", " (2 1)", " (1)(2)", " (1 2)"},
		{"subject joins two that are no replies", "a s\nb s\nc t", " ((1)(2))(3)", " (1)(2)(3)", " (1 2)(3)"},
		{"subject joins three", "a s\nb s\nc s", " ((1)(2)(3))", " (1)(2)(3)", " (1 (2)(3))"},
		{"two replies, one original", "a re:_s\nb re:_s\nc s", " (3 (1)(2))", " (1)(2)(3)", " (1 (2)(3))"},
		{"two replies", "a re:_s\nb re:_s", " ((1)(2))", " (1)(2)", " (1 2)"},
		{"subject joins an absent one", "b s a\nc s a\nd s", " ((1)(2)(3))", " ((1)(2))(3)", " (1 (2)(3))"},
		{"subject joins two absent ones", "b s a\nc t a\ne s d\nf u d", " ((1)(2)(3)(4))", " ((1)(2))((3)(4))", " (1 3)(2)(4)"},
		{"absent ones of one subject after another", "a s\nc s x\nd u x", " ((1)(2)(3))", " (1)((2)(3))", " (1 2)(3)"},
		{"no subject joins nothing", "a re:\nb re:", " (1)(2)", " (1)(2)", " (1 2)"},
		{"an identifier twice", "a s\na t\nb u a", " (1 3)(2)", " (2)(1 3)", " (1)(2)(3)"},
		{"no identifier", "- s\n- t a\na u", " (1)(3 2)", " (1)(3 2)", " (1)(2)(3)"},
		{"refers to itself", "a s a\nb t b a b", " (2 1)", " (2 1)", " (1)(2)"},
		{"two refer to each other", "a s b\nb t a", " (2 1)", " (2 1)", " (1)(2)"},
		{"the first says it has no parent", "a s\nb t\nc u b a", " (2 1 3)", " (2 1 3)", " (1)(2)(3)"},
		{"later than what was said of it", "c u b a\na s\nb t", " (2 1)(3)", " (2 1)(3)", " (1)(2)(3)"},
		{"own references go before those of others", "a s\nb t\nc u b\nd v a c", " (1)(2 3 4)", " (1)(2 3 4)", " (1)(2)(3)(4)"},
		{"latest message", "1: a s\n9: b t a\n5: c u", " (1 2)(3)", " (3)(1 2)", " (1)(3)(2)"},
		{"same date", "1: b s\n1: a t\n0: c u", " (3)(1)(2)", " (3)(1)(2)", " (3)(1)(2)"},
	} {
		messages := mailbox(c.mail)
		for _, a := range []struct{ name, got, want string }{
			{"REFERENCES", wire(References(messages)), c.references}, {"REFS", wire(Refs(messages)), c.refs},
			{"ORDEREDSUBJECT", wire(OrderedSubject(messages)), c.subject},
		} {
			if a.got != a.want {
				t.Errorf("%s: %s is%s, not%s", c.name, a.name, a.got, a.want)
			}
		}
	}
	if len(References(nil))+len(Refs(nil))+len(OrderedSubject(nil)) != 0 {
		t.Error("threads of no messages")
	}
}

// hostile are mailboxes that a simple implementation would need hours or much stack for.
func hostile(n int) map[string][]Message {
	boxes := make(map[string][]Message)
	add := func(name string, line func(i int) string) {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i) + "\n")
		}
		boxes[name] = mailbox(b.String())
	}
	add("chain", func(i int) string { return fmt.Sprintf("m%d s m%d", i, i-1) })
	add("chain backwards", func(i int) string { return fmt.Sprintf("m%d s%d m%d", i, i, i+1) })
	add("ring", func(i int) string { return fmt.Sprintf("m%d s%d m%d", i, i, (i+1)%n) })
	add("comb", func(i int) string {
		if i%2 == 0 {
			return fmt.Sprintf("m%d s%d m%d", i, i, i-2)
		}
		return fmt.Sprintf("m%d s%d m%d", i, i, i-1)
	})
	add("chain, then all below its end", func(i int) string {
		if i < n/2 {
			return fmt.Sprintf("m%d s%d m%d", i, i, i-1)
		}
		return fmt.Sprintf("m%d s%d y%d x%d m%d", i, i, i, i, n/2-1)
	})
	add("absent chain", func(i int) string { return fmt.Sprintf("m%d s%d x%d x%d", i, i, i, i+1) })
	add("one subject", func(i int) string { return fmt.Sprintf("m%d s", i) })
	return boxes
}

func TestHostile(t *testing.T) {
	t.Parallel()
	const n = 20_000
	for name, messages := range hostile(n) {
		start := time.Now()
		for _, nodes := range [][]Node{References(messages), Refs(messages), OrderedSubject(messages)} {
			check(t, nodes, n)
		}
		if spent := time.Since(start); spent > time.Minute {
			t.Errorf("%s: %v", name, spent)
		}
	}
}

// TestAbsent: of messages that are only referred to, made-up references do not bring more into memory than there is room for.
func TestAbsent(t *testing.T) {
	t.Parallel()
	const n, each = 30_000, 20
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "m%d s%d", i, i)
		for k := range each {
			fmt.Fprintf(&b, " x%d.%d", i, k)
		}
		fmt.Fprintf(&b, " m%d\n", i-1)
	}
	f := newForest(mailbox(b.String()))
	f.link()
	if most := (1+absentEach)*n + absentMore; len(f.up) > most {
		t.Errorf("%d messages are kept, want %d at most", len(f.up), most)
	}
	for m := 1; m < n; m++ {
		if f.up[m] != int32(m-1) {
			t.Fatalf("message %d answers %d", m, f.up[m])
		}
	}
}

// check says whether every message is there once, in trees.
func check(t *testing.T, nodes []Node, n int) {
	t.Helper()
	seen := make([]bool, n)
	there, open := 0, int64(0)
	for _, node := range nodes {
		if open == 0 {
			open = 1 // a new thread
		}
		open += int64(node.Answers) - 1
		if node.Message == Absent {
			if node.Answers < 2 {
				t.Fatalf("%+v", node)
			}
			continue
		}
		if seen[node.Message] {
			t.Fatalf("message %d is there twice", node.Message)
		}
		seen[node.Message] = true
		there++
	}
	if there != n || open != 0 {
		t.Fatalf("%d of %d messages, %d answers are missing", there, n, open)
	}
}

// FuzzThreads makes references of anything: each letter of a line is an identifier.
func FuzzThreads(f *testing.F) {
	f.Add("aS\nbSa\ncrSab\ndTxa")
	f.Add("abcd\nbadc\ncx\ndx\n-x\naa")
	f.Fuzz(func(t *testing.T, text string) {
		var messages []Message
		maker := sortkey.NewMaker()
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if len(line) < 2 || len(messages) > 1000 {
				continue
			}
			header := "Message-ID: <" + line[:1] + "@x>\nSubject: re:" + line[1:2] + "\nReferences:"
			for _, ref := range strings.Split(line[2:], "") {
				header += " <" + ref + "@x>"
			}
			key, _ := maker.Append(nil, []byte(header+"\n"))
			messages = append(messages, Message{Key: sortkey.Key(key), Date: int64(line[1] % 8)})
		}
		for _, nodes := range [][]Node{References(messages), Refs(messages), OrderedSubject(messages)} {
			check(t, nodes, len(messages))
		}
	})
}

func BenchmarkReferences(b *testing.B) {
	messages := mailbox(strings.Join(threads(10_000), "\n"))
	for name, algorithm := range map[string]func([]Message) []Node{"references": References, "refs": Refs, "subject": OrderedSubject} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				algorithm(messages)
			}
		})
	}
}

// threads are of ten messages each.
func threads(n int) (lines []string) {
	for i := range n {
		line := fmt.Sprintf("m%d re:_s%d", i, i/10)
		for j := i / 10 * 10; j < i; j++ {
			line += fmt.Sprintf(" m%d", j)
		}
		lines = append(lines, line)
	}
	return lines
}
