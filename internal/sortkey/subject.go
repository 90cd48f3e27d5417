package sortkey

import "bytes"

// packSpace adds a text with each run of white space as one space, the first step of RFC 5256 §2.1.
func packSpace(dst, text []byte) []byte {
	space := false
	for _, c := range text {
		again := space
		if space = c == ' ' || c == '\t' || c == '\r' || c == '\n'; space {
			c = ' '
		}
		if !space || !again {
			dst = append(dst, c)
		}
	}
	return dst
}

// baseSubject gives what a subject, of one line with single spaces, is without all that replies and mailing lists put around
// it (RFC 5256 §2.1), and whether any of it shows that the message is a reply or forwarded. It takes linear time: blobs which
// no "re:" follows are looked at once.
func baseSubject(s []byte) (base []byte, reply bool) {
	for {
		var trailer, leader, forward bool
		s, trailer = trimTrailers(s)
		s, leader = trimLeaders(s)
		s, forward = trimForward(s)
		reply = reply || trailer || leader || forward
		if !forward {
			return s, reply
		}
	}
}

// trimTrailers is step 2: subj-trailer = "(fwd)" / WSP.
func trimTrailers(s []byte) (_ []byte, reply bool) {
	const forwarded = "(fwd)"
	for {
		s = bytes.TrimRight(s, " ")
		n := len(s) - len(forwarded)
		if n < 0 || !bytes.EqualFold(s[n:], []byte(forwarded)) {
			return s, reply
		}
		s, reply = s[:n], true
	}
}

// trimLeaders is steps 3 to 5: subj-leader = (*subj-blob subj-refwd) / WSP, and subj-blob where something is left.
func trimLeaders(s []byte) (_ []byte, reply bool) {
	for {
		s = bytes.TrimLeft(s, " ")
		rest := s
		last := rest // with the last blob
		for n := blob(rest); n > 0; n = blob(rest) {
			last, rest = rest, rest[n:]
		}
		if n := replyMark(rest); n > 0 {
			s, reply = rest[n:], true
			continue
		}
		if len(rest) == 0 {
			return last, reply
		}
		return rest, reply
	}
}

// blob is the length of the blob that s begins with: subj-blob = "[" *BLOBCHAR "]" *WSP.
func blob(s []byte) int {
	if len(s) == 0 || s[0] != '[' {
		return 0
	}
	n := 1 + bytes.IndexAny(s[1:], "[]")
	if n == 0 || s[n] == '[' {
		return 0
	}
	return skipSpace(s, n+1)
}

func skipSpace(s []byte, n int) int {
	for n < len(s) && s[n] == ' ' {
		n++
	}
	return n
}

// replyMark is the length of what s begins with: subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":".
func replyMark(s []byte) int {
	for _, mark := range [...]string{"re", "fwd", "fw"} {
		if len(s) < len(mark) || !bytes.EqualFold(s[:len(mark)], []byte(mark)) {
			continue
		}
		n := skipSpace(s, len(mark))
		n += blob(s[n:])
		if n < len(s) && s[n] == ':' {
			return n + 1
		}
	}
	return 0
}

// trimForward is step 6: "[fwd:" and "]" around a subject.
func trimForward(s []byte) (_ []byte, reply bool) {
	const header = "[fwd:"
	n := len(s) - 1
	if n < len(header) || !bytes.EqualFold(s[:len(header)], []byte(header)) || s[n] != ']' {
		return s, false
	}
	return s[len(header):n], true
}
