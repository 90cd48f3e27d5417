package imapd

import "testing"

func TestPreview(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.deliver("", "1000000.M1P1.h", "Subject: x\n\nPreview text goes here.\n")
	s.deliver("", "1000001.M1P1.h", "Content-Type: text/html; charset=utf-8\n\n<p>Größe</p>\n")
	s.deliver("", "1000002.M1P1.h", "Content-Type: image/png\n\nx\n")
	c := s.selected()
	c.dialogue(`
		C: a FETCH 1 (RFC822.SIZE PREVIEW)
		S: * 1 FETCH (RFC822.SIZE 39 PREVIEW "Preview text goes here.")
		S: a OK …
		C: b FETCH 1:3 (PREVIEW (LAZY) FLAGS PREVIEW)
		S: * 1 FETCH (FLAGS (\Recent) PREVIEW "Preview text goes here.")
		S: * 2 FETCH (FLAGS (\Recent) PREVIEW {7}\r\nGröße)
		S: * 3 FETCH (FLAGS (\Recent) PREVIEW "")
		S: b OK …
		C: c FETCH 1 PREVIEW (LAZY)
		S: * 1 FETCH (PREVIEW "Preview text goes here.")
		S: c OK …
		C: d FETCH 1 (PREVIEW (FUZZY))
		S: d BAD …
		C: e FETCH 1 FLAGS (LAZY)
		S: e BAD …
		C: f ENABLE UTF8=ACCEPT
		S: * ENABLED UTF8=ACCEPT
		S: f OK …
		C: g UID FETCH 2 PREVIEW
		S: * 2 FETCH (UID 2 PREVIEW "Größe")
		S: g OK …
	`)
}
