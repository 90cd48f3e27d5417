package mime

// Address is one entry of an address list in ENVELOPE. A group begins with an Address whose Domain is nil and whose
// Mailbox is its name, and ends with one that is all nil (RFC 3501 §7.4.2, address structure).
type Address struct{ Name, Route, Mailbox, Domain Value }

// What stands for a part of an address that is not there or cannot be understood.
const (
	missingMailbox = "MISSING_MAILBOX"
	missingDomain  = "MISSING_DOMAIN"
	invalidRoute   = "INVALID_ROUTE"
	syntaxError    = "SYNTAX_ERROR"
)

// ParseAddresses reads an address list (RFC 5322 §3.4, §4.4) as Dovecot does: what cannot be understood is shown as
// such, and after an address that something other than a comma follows the rest is left out. A comment after an
// address without a display name is its name. At most limit entries are given.
func ParseAddresses(in []byte, limit int) []Address { return addAddresses(nil, string(in), limit) }

// addAddresses adds what ParseAddresses gives.
func addAddresses(list []Address, in string, limit int) []Address {
	p := &addressParser{lexer: lexer{in: in}, list: list, limit: len(list) + limit}
	if p.skipSpace() != more {
		return list
	}
	for len(p.list) < p.limit {
		if r := p.address(); r == ended || p.next() != ',' {
			break
		}
		p.pos++
		if r := p.skipSpace(); r != more {
			if r == failed {
				p.add(Address{})
			}
			break
		}
	}
	return p.list
}

type addressParser struct {
	lexer
	list  []Address
	limit int
}

func (p *addressParser) append(a Address) {
	if len(p.list) < p.limit {
		p.list = append(p.list, a)
	}
}

// add appends a mailbox, what is missing filled in.
func (p *addressParser) add(a Address) {
	if a.Mailbox == nil {
		a.Mailbox = value(missingMailbox)
	}
	if a.Domain == nil || *a.Domain == "" {
		a.Domain = value(missingDomain)
	}
	p.append(a)
}

func value(s string) Value { return &s }

func (p *addressParser) address() result {
	start := p.pos
	if r := p.group(); r != failed {
		return r
	}
	p.pos = start
	return p.mailbox()
}

// group never fails once the colon was seen.
func (p *addressParser) group() result {
	name := p.gather()
	if p.phrase(&name) != more || p.next() != ':' {
		return failed
	}
	p.pos++
	r := p.skipSpace()
	p.append(Address{Mailbox: value(name.string())})
	for empty := p.next() == ';'; r == more && !empty && len(p.list) < p.limit; {
		p.mailbox()
		if p.next() != ',' {
			break
		}
		p.pos++
		r = p.skipSpace()
	}
	p.append(Address{})
	if r == more && p.next() == ';' {
		p.pos++
		if p.skipSpace() == ended {
			return ended
		}
	}
	return more
}

func (p *addressParser) mailbox() result {
	start := p.pos
	var a Address
	r := p.nameAddr(&a)
	if r == failed {
		p.pos = start
		a = Address{}
		r = p.addrSpec(&a)
	}
	p.add(a)
	return r
}

// nameAddr reads `display name <address>`.
func (p *addressParser) nameAddr(a *Address) result {
	name := p.gather()
	if p.phrase(&name) != more || p.next() != '<' {
		return failed
	}
	if name.len() > 0 {
		a.Name = value(name.string())
	}
	if p.angleAddr(a) == failed {
		a.Domain = value(syntaxError)
	}
	return p.state()
}

func (p *addressParser) angleAddr(a *Address) result {
	p.pos++
	if p.skipSpace() != more {
		return failed
	}
	if p.next() == '@' {
		if route, r := p.route(); r == more && p.next() == ':' {
			a.Route = value(route)
			p.pos++
		} else {
			a.Route = value(invalidRoute)
		}
		if p.skipSpace() != more {
			return failed
		}
	}
	if p.next() != '>' {
		if r := p.localPart(a); r != more {
			return failed
		}
		if p.next() == '@' && p.addDomain(a) != more {
			return failed
		}
	}
	if p.next() != '>' {
		return failed
	}
	p.pos++
	return p.skipSpace()
}

// route reads `@a,@b` (RFC 5322 §4.4, obs-route).
func (p *addressParser) route() (string, result) {
	b := p.gather()
	for p.next() == '@' {
		if b.len() > 0 {
			b.addOctet(',')
		}
		b.addOctet('@')
		if p.domain(&b) != more {
			return "", failed
		}
		for p.skipSpace() == more && p.next() == ',' {
			p.pos++
		}
	}
	return b.string(), p.state()
}

// addrSpec reads an address without angle brackets. Its name is a comment that follows. Words that no `@` follows are a
// name without an address.
func (p *addressParser) addrSpec(a *Address) result {
	p.comment = p.gather()
	local := p.gather()
	quoted := p.next() == '"'
	r := p.local(&local)
	if r != failed {
		a.Mailbox = value(local.string())
	}
	if r != ended && p.next() == '@' {
		quoted = false
		r = p.addDomain(a)
	} else if words := p.words(); words != "" {
		a.Name, a.Mailbox = value(local.string()+" "+words), nil
		return p.state()
	}
	switch {
	case p.comment.len() > 0:
		a.Name = value(p.comment.string())
	case quoted && a.Mailbox != nil:
		a.Name, a.Mailbox = a.Mailbox, nil
	}
	return r
}

// words reads the rest of a name that began like a local part, unless a comment is there to be the name. An open quote
// ends it.
func (p *addressParser) words() string {
	if p.comment.len() > 0 || p.pos >= len(p.in) {
		return ""
	}
	b := p.gather()
	start := p.pos
	p.phrase(&b)
	p.comment = p.gather()
	if b.len() == 0 {
		p.pos = start
	}
	return b.string()
}

func (p *addressParser) addDomain(a *Address) result {
	b := p.gather()
	r := p.domain(&b)
	if r != failed {
		a.Domain = value(b.string())
	}
	return r
}

func (p *addressParser) localPart(a *Address) result {
	b := p.gather()
	r := p.local(&b)
	if r != failed {
		a.Mailbox = value(b.string())
	}
	return r
}

// local reads a quoted string or atoms with dots wherever they stand: such addresses exist.
func (p *addressParser) local(g *gathered) result {
	if p.next() == '"' {
		return p.quoted(g)
	}
	r := failed
	for {
		for p.next() == '.' {
			g.add(p.pos, p.pos+1)
			p.pos++
			r = p.state()
		}
		if r == ended || p.next() == '@' {
			return r
		}
		if r = p.atom(g); r != more || p.next() != '.' {
			return r
		}
	}
}
