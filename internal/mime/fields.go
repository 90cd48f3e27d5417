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
