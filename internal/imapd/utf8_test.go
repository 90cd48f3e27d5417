package imapd

import "testing"

// TestUTF8 has the names of mailboxes, and a message whose header is in UTF-8, before and after ENABLE UTF8=ACCEPT.
func TestUTF8(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect()
	c.dialogue(`
		C: a CREATE Gr&APYA3w-e
		S: a OK …
		C: b LIST "" Gr*
		S: * LIST (\HasNoChildren) "." Gr&APYA3w-e
		S: b OK …
		C: c APPEND Gr&APYA3w-e UTF8 (~{18+}
		C: Subject: Größe
		C: )
		S: c OK …
		C: d SELECT Gr&APYA3w-e
	`)
	c.collect("d ")
	c.dialogue(`
		C: e FETCH 1 ENVELOPE
		S: * 1 FETCH (ENVELOPE (NIL {7}\r\nGröße NIL …
		S: e OK …
		C: f SEARCH CHARSET UTF-8 SUBJECT "Größe"
		S: * SEARCH 1
		S: f OK …
		C: g ENABLE UTF8=ACCEPT
		S: * ENABLED UTF8=ACCEPT
		S: g OK …
		C: h LIST "" "Grö*"
		S: * LIST (\HasNoChildren) "." "Größe"
		S: h OK …
		C: i STATUS "Größe" (MESSAGES)
		S: * STATUS "Größe" (MESSAGES 1)
		S: i OK …
		C: j STATUS Gr&APYA3w-e (MESSAGES)
		S: j NO [NONEXISTENT] …
		C: k CREATE R&D
		S: k OK …
		C: l LIST "" R*
		S: * LIST (\HasNoChildren) "." R&D
		S: l OK …
		C: m FETCH 1 (ENVELOPE BODY.PEEK[HEADER])
		S: * 1 FETCH (ENVELOPE (NIL {7}\r\nGröße NIL … BODY[HEADER] {18}\r\nSubject: Größe\r\n)
		S: m OK …
		C: n SEARCH SUBJECT "Größe"
		S: * SEARCH 1
		S: n OK …
		C: o SEARCH CHARSET UTF-8 SUBJECT "Größe"
		S: o BAD …
		C: p APPEND "Größe" CATENATE (URL "/Gr%C3%B6%C3%9Fe/;UID=1" UTF8 (~{2+}
		C: ö))
		S: * 2 EXISTS
		S: * 2 RECENT
		S: p OK …
	`)
	if dirs := s.files(".R&-D"); len(dirs) != 1 {
		t.Error("R&D is", s.files(".R*"))
	}
}
