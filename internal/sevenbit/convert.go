package sevenbit

import "bytes"

// converter writes the message as it is planned. It is the visitor of the second pass.
type converter struct {
	plan   *plan
	out    []byte
	quoted quoted
	based  based
	ended  bool // a line of what becomes base64 has ended: its CRLF may belong to a delimiter
	typed  bool // the Content-Type has been passed
}

func (c *converter) action(e *entity) action { return c.plan.actions[e.index] }

func (c *converter) begin(*entity) { c.ended, c.typed = false, false }

// field leaves out the old encoding, and names the charset of a text that has none: RFC 1428 §3.
func (c *converter) field(e *entity, raw []byte) {
	if a := c.action(e); a != keep {
		switch fieldName(raw) {
		case "content-transfer-encoding":
			return
		case "content-type":
			if a == toQuotedPrintable && !e.charset && !c.typed {
				raw = bytes.TrimRight(raw, "; \t\r\n")
				c.out = append(append(c.out, raw...), ";\r\n charset=unknown-8bit\r\n"...)
				c.typed = true
				return
			}
		}
	}
	c.out = append(c.out, raw...)
}

func (c *converter) endHeader(e *entity, blank bool) {
	a := c.action(e)
	if a == toQuotedPrintable || a == toBase64 {
		if e.message && !e.version {
			c.out = append(c.out, "MIME-Version: 1.0\r\n"...)
		}
		if !e.typed {
			c.out = append(c.out, "Content-Type: text/plain; charset=unknown-8bit\r\n"...)
		}
	}
	switch a {
	case relabel:
		c.out = append(c.out, "Content-Transfer-Encoding: 7bit\r\n"...)
	case toQuotedPrintable:
		c.out = append(c.out, "Content-Transfer-Encoding: quoted-printable\r\n"...)
	case toBase64:
		c.out = append(c.out, "Content-Transfer-Encoding: base64\r\n"...)
	}
	if blank || a != keep {
		c.out = append(c.out, crlf...)
	}
}

func (c *converter) body(e *entity, text []byte, end bool) {
	switch c.action(e) {
	case toQuotedPrintable:
		c.out = c.quoted.append(c.out, text)
		if end {
			c.out = c.quoted.line(c.out)
		}
	case toBase64:
		if c.ended {
			c.out = c.based.append(c.out, crlf)
		}
		c.out = c.based.append(c.out, text)
		c.ended = end
	default:
		c.raw(text, end)
	}
}

func (c *converter) end(e *entity, delimited bool) {
	switch c.action(e) {
	case toQuotedPrintable:
		c.out = c.quoted.finish(c.out)
	case toBase64:
		if c.ended && !delimited {
			c.out = c.based.append(c.out, crlf)
		}
		c.out = c.based.finish(c.out)
	}
}

// between passes what no reader shows. It cannot be encoded, but be made harmless.
func (c *converter) between(_ *entity, b []byte, end bool) {
	from := len(c.out)
	c.raw(b, end)
	for i := from; i < len(c.out); i++ {
		if c.out[i] >= 0x80 {
			c.out[i] = '?'
		}
	}
}

func (c *converter) delimiter(_ *entity, b []byte, end bool) { c.raw(b, end) }

func (c *converter) raw(b []byte, end bool) {
	c.out = append(c.out, b...)
	if end {
		c.out = append(c.out, crlf...)
	}
}
