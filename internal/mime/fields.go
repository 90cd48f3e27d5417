package mime

import "bytes"

// AppendFields appends what of a whole header in wire form, with CRLF, HeaderFields or HeaderFieldsNot of s mean: as a Reader gives
// it, but of what is in memory.
func AppendFields(b, header []byte, s *Section) []byte {
	wanted, torn := s.Text == HeaderFieldsNot, false
	for len(header) > 0 && !isBlank(header[:min(2, len(header))]) {
		end := bytes.IndexByte(header, '\n') + 1
		if torn = end == 0; torn {
			end = len(header)
		}
		line := header[:end]
		header = header[end:]
		if line[0] != ' ' && line[0] != '\t' {
			wanted = s.wants(line)
		}
		if wanted {
			b = append(b, line...)
		}
	}
	if torn && wanted {
		b = append(bytes.TrimSuffix(b, []byte("\r")), "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// AppendWire appends a text as a client gets it: every line ends in CRLF.
func AppendWire(b, text []byte) []byte {
	for {
		end := bytes.IndexByte(text, '\n')
		if end < 0 {
			return append(b, text...)
		}
		if b = append(b, text[:end]...); end == 0 || text[end-1] != '\r' {
			b = append(b, '\r')
		}
		b = append(b, '\n')
		text = text[end+1:]
	}
}
