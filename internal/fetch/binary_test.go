package fetch

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"postrider/internal/imap"
	"postrider/internal/mime"
)

// encoded has a part in each transfer encoding.
const encoded = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: quoted-printable\n\nh=C3=A9llo=\n w=6Frld\n=0Aend\n" +
	"--b\nContent-Transfer-Encoding: BASE64\nContent-Type: image/gif\n\nAAEC\nAwo=\n\n--b\nContent-Type: message/rfc822\n\n" +
	"MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n--b\nContent-Transfer-Encoding: x-uu\n\nfoo\n--b\n\na \x00 in\nit\n--b--\n"

func TestBinary(t *testing.T) {
	t.Parallel()
	const single = "Content-Transfer-Encoding: base64\nMIME-Version: 1.0\n\naGVsbG8K\n"
	for _, c := range []struct{ mail, items, want string }{
		{encoded, "(BINARY[1] BINARY.SIZE[1])", "BINARY[1] {18}\r\nhéllo world\r\n\nend BINARY.SIZE[1] 18"},
		{encoded, "(UID BINARY.PEEK[2] BINARY.SIZE[2] FLAGS)", "UID 9 FLAGS (\\Seen) BINARY[2] ~{5}\r\n\x00\x01\x02\x03\n BINARY.SIZE[2] 5"},
		{encoded, "(BINARY[2]<1.3> BINARY[2]<4.99> BINARY[2]<9.1>)", "BINARY[2]<1> ~{3}\r\n\x01\x02\x03 BINARY[2]<4> ~{1}\r\n\n BINARY[2]<9> ~{0}\r\n"},
		{encoded, "(BINARY[1]<2.6> BINARY[1]<1.2>)", "BINARY[1]<2> {6}\r\n\xa9llo w BINARY[1]<1> {2}\r\né"},
		{encoded, "(BINARY[3] BINARY[3.1])", "BINARY[3] {64}\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8= BINARY[3.1] {5}\r\nhello"},
		{encoded, "(BINARY[5] BODY[5])", "BINARY[5] ~{10}\r\na \x00 in\r\nit BODY[5] {10}\r\na \x80 in\r\nit"},
		{encoded, "(BINARY.SIZE[9] BINARY[9])", "BINARY.SIZE[9] 0 BINARY[9] {0}\r\n"},
		{single, "(BINARY[] BINARY.SIZE[] BINARY[1])", "BINARY[] {66}\r\nContent-Transfer-Encoding: base64\r\nMIME-Version: 1.0\r\n\r\n" +
			"aGVsbG8K\r\n BINARY.SIZE[] 66 BINARY[1] {6}\r\nhello\n"},
	} {
		wantAnswer(t, c.mail, c.items, c.want)
	}
}

// TestUnknownEncoding: nothing is said of a message that cannot be decoded.
func TestUnknownEncoding(t *testing.T) {
	t.Parallel()
	src := newMail(t, encoded)
	for _, items := range []string{"(UID BINARY[4])", "(BINARY.SIZE[4] FLAGS)"} {
		var out strings.Builder
		w := imap.NewWriter(&out)
		err := new(Fetcher).Answer(t.Context(), w, &Message{Seq: 1, UID: 1, Source: src}, parse(t, items))
		if w.Flush(); !errors.Is(err, mime.ErrEncoding) || out.Len() > 0 {
			t.Errorf("%s: %q, %v", items, out.String(), err)
		}
	}
}

// TestBinarySlices reads a part as clients do that ask for a piece at a time.
func TestBinarySlices(t *testing.T) {
	t.Parallel()
	for name, encoding := range map[string]struct{ line, means string }{
		"base64":           {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\n", "\x00\x01\x02\x03"},
		"quoted-printable": {"a=3Db=\nc=\nd =C3=A9\n", "a=bcd é\r\n"},
		"8bit":             {"just a line\n", "just a line\r\n"},
	} {
		header := "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: " + name + "\n\n"
		src := newMail(t, header+strings.Repeat(encoding.line, 400<<10/len(encoding.line))+"\n--b--\n")
		_, whole, _ := strings.Cut(ask(t, new(Fetcher), src, "BINARY[1]"), "}\r\n")
		whole = strings.TrimSuffix(whole, ")\r\n")
		if !strings.HasPrefix(whole, encoding.means) || len(whole) < 200<<10 {
			t.Fatalf("%s: %d octets, %.20q", name, len(whole), whole)
		}
		var f Fetcher
		var got strings.Builder
		const step = 9973
		for got.Len() < len(whole) {
			_, answer, _ := strings.Cut(ask(t, &f, src, fmt.Sprintf("BINARY[1]<%d.%d>", got.Len(), step)), "}\r\n")
			got.WriteString(strings.TrimSuffix(answer, ")\r\n"))
			if f.kept[0].binary.size != int64(len(whole)) {
				t.Fatalf("%s: the size is not kept", name)
			}
		}
		if got.String() != whole {
			t.Errorf("%s: the pieces are not the part", name)
		}
		if _, again, _ := strings.Cut(ask(t, &f, src, "BINARY[1]<1.5>"), "}\r\n"); again != whole[1:6]+")\r\n" {
			t.Errorf("%s: back at the start %q", name, again)
		}
	}
}
