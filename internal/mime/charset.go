package mime

import (
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
)

// Charset gives the charset of a name; nil is UTF-8, of which US-ASCII is a part. Names mean what mail programs take
// them for: iso-8859-1 is windows-1252, gb2312 is GBK.
func Charset(name string) (e encoding.Encoding, known bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "", "us-ascii", "ascii", "utf-8", "utf8":
		return nil, true
	}
	e, err := htmlindex.Get(name)
	if err != nil || e == encoding.Replacement || strings.HasPrefix(name, "utf-16") {
		e, err = ianaindex.MIME.Encoding(name) // nil for one that is only registered
	}
	if err != nil || e == nil {
		return nil, false
	}
	if e == unicode.UTF8 {
		return nil, true
	}
	return e, true
}
