package worker

import (
	"bytes"
	"strings"
)

// maxHeader is how much of a message is searched for Delivered-To lines; deliveries put theirs on top.
const maxHeader = 60 << 10

var deliveredTo = []byte("Delivered-To:")

// hasDeliveredTo says whether the header at the start of a message has a Delivered-To line with that address.
func hasDeliveredTo(head []byte, recipient string) bool {
	for len(head) > 0 {
		line, rest, _ := bytes.Cut(head, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			return false
		}
		if len(line) > len(deliveredTo) && bytes.EqualFold(line[:len(deliveredTo)], deliveredTo) {
			if strings.EqualFold(string(bytes.TrimSpace(line[len(deliveredTo):])), recipient) {
				return true
			}
		}
		head = rest
	}
	return false
}
