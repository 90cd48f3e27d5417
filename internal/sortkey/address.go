package sortkey

import (
	"bytes"

	"postrider/internal/mime"
)

// address gives the mailbox of the first address of a field, and its name or, without one, the address. A group is its
// name.
func (m *Maker) address(field int) (mailbox, name []byte) {
	value := m.unfolded(field)
	if words, address, _, ok := mime.PlainAddress(value); ok {
		mailbox = address[:bytes.IndexByte(address, '@')]
		if len(words) == 0 {
			return mailbox, address
		}
		return mailbox, orElse(mime.DecodeWords(nil, words), address)
	}
	list := mime.ParseAddresses(value, 1)
	if len(list) == 0 || list[0].Mailbox == nil {
		return nil, nil
	}
	a := list[0]
	mailbox, address := []byte(*a.Mailbox), []byte(*a.Mailbox)
	if a.Domain != nil {
		address = append(append(address, '@'), *a.Domain...)
	}
	if a.Name != nil {
		name = mime.DecodeWords(nil, []byte(*a.Name))
	}
	return mailbox, orElse(name, address)
}

func orElse(name, address []byte) []byte {
	if len(name) > 0 {
		return name
	}
	return address
}
