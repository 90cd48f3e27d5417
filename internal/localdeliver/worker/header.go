package worker

import (
	"bytes"
	"slices"
	"strings"
)

// maxHeader is how much of a message is searched for Delivered-To lines; deliveries put theirs on top.
const maxHeader = 60 << 10

// maxDeliveries is how many deliveries a message may have behind it: more are a circle that finds ever new addresses.
const maxDeliveries = 20

var deliveredTo = []byte("Delivered-To:")

// deliveries are the addresses in the Delivered-To lines of the header at the start of a message, one too many at most.
func deliveries(head []byte) (past []string) {
	for len(head) > 0 && len(past) <= maxDeliveries {
		line, rest, _ := bytes.Cut(head, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			break
		}
		if len(line) > len(deliveredTo) && bytes.EqualFold(line[:len(deliveredTo)], deliveredTo) {
			past = append(past, string(bytes.TrimSpace(line[len(deliveredTo):])))
		}
		head = rest
	}
	return past
}

func hasAddress(list []string, address string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, address) })
}
