package preview

import (
	"bufio"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"postrider/internal/mime"
)

func of(t *testing.T, message string) string {
	t.Helper()
	root, err := mime.Scan(strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	text, err := Of(newDecoder(), strings.NewReader(message), root)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newDecoder() *mime.Decoder {
	return mime.NewDecoder(mime.NewReader(bufio.NewReaderSize(nil, mime.BufferSize)))
}

func TestPlain(t *testing.T) {
	t.Parallel()
	const alternatives = "MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=b\n\n"
	for message, want := range map[string]string{
		"Subject: x\n\n": "",
		"Subject: x\n\n<p>Hello</p>\n> quoted\n> more\n\nMy answer   is\tthis.\n": "<p>Hello</p> My answer is this.", // as Dovecot
		"\n> only\n> > quoted\n":                                                     ">only quoted",
		"\n" + strings.Repeat("0123456789", 30):                                      strings.Repeat("0123456789", 20),
		"\n" + strings.Repeat("Größe ", 100):                                         strings.TrimSpace(strings.Repeat("Größe ", 34)[:8*33+2]),
		"MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\naGVsbG8Kd29ybGQ=\n": "hello world",
		"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=F6=DFe\n":          "Größe",
		"Content-Type: text/plain; charset=utf-16\n\na":                                                                     "\uFFFD",
		"Content-Type: text/plain; charset=x-none\n\nGr\xf6\xdfe\a\u200b":                                                   "Gr\uFFFDe",
		"Content-Type: application/pdf\n\nx":                                                                                "",
		"MIME-Version: 1.0\nContent-Transfer-Encoding: x-none\n\nx":                                                         "",
		"Content-Type: text/plain\nContent-Disposition: attachment\n\nx":                                                    "",
		alternatives + "--b\nContent-Type: text/html\n\n<b>html</b>\n--b\nContent-Type: text/plain\n\nplain\n--b--\n":       "plain",
		alternatives + "--b\nContent-Type: text/html\n\n<b>html</b>\n--b\nContent-Type: image/png\n\nx\n--b--\n":            "html",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: image/png\n\nx\n--b\n\ntext\n--b\n\nmore\n--b--\n": "text",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n\ninner\n--b--\n":                "",
		"Content-Type: multipart/encrypted; boundary=b\n\n--b\nContent-Type: application/pgp-encrypted\n\nx\n--b--\n":       "",
	} {
		if got := of(t, message); got != want {
			t.Errorf("%.200q: %q, want %q", message, got, want)
		}
	}
}

func TestHTML(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"<html><head><style>x{}</style><title>t</title></head><body><p>Hel\xe9lo<br>x &amp; y</p><blockquote>quo</blockquote><div>z</div>": "Helélo x & y z", // as Dovecot
		"<b>bo</b>ld <i>it</i>,<td>a<td>b":                                    "bold it, a b",
		"<STYLE type='a>b'>p{}</stylex>y</STYLE>text":                         "text",
		"<script>if (a<b) '</p>' </script >text":                              "text",
		"a<!-- <p>hidden</p> -->b<!DOCTYPE x>c<?xml?>d":                       "a b c d",
		"1 < 2 &lt; 3 <3 &euro;&nbsp;&#x41;&bogus; a<":                        "1 < 2 < 3 <3 € A&bogus; a<",
		"<a title='x > y' href=\"<p>\">link</a>":                              "link",
		"<style>never ends":                                                   "",
		"<blockquote>only <b>quoted</b></blockquote>":                         ">only quoted",
		"</blockquote>a<blockquote><blockquote>b</blockquote>c</blockquote>d": "a d",
		"<p " + strings.Repeat("x", 1000):                                     "",
		"&zwnj;&#847;&shy;<p>shown":                                           "shown",
	} {
		if got := of(t, "Content-Type: text/html; charset=iso-8859-1\n\n"+text); got != want {
			t.Errorf("%.100q: %q, want %q", text, got, want)
		}
	}
}

// failing is a file that cannot be read.
type failing struct{ *strings.Reader }

var errDisk = errors.New("disk")

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

func TestUnreadable(t *testing.T) {
	t.Parallel()
	root, err := mime.Scan(strings.NewReader("\ntext"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Of(newDecoder(), failing{}, root); !errors.Is(err, errDisk) {
		t.Error(err)
	}
}

// FuzzPreview: whatever the message, what is shown is short and clean.
func FuzzPreview(f *testing.F) {
	f.Add("Content-Type: text/html\n\n<p>a &amp; <!-- x --> <style>s</style><blockquote>q")
	f.Add("Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B\n> x\n--b--")
	f.Fuzz(func(t *testing.T, message string) {
		text := of(t, message)
		if utf8.RuneCountInString(text) > Max || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) ||
			strings.Contains(text, "  ") || strings.TrimSpace(text) != text {
			t.Fatalf("%q is shown as %q", message, text)
		}
	})
}
