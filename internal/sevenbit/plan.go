package sevenbit

import (
	"encoding/binary"
	"fmt"
)

// action is what becomes of an entity.
type action uint8

const (
	keep    action = iota
	relabel        // parts of it are converted: it is 7bit itself
	toQuotedPrintable
	toBase64
)

// plan notes where a message has 8-bit octets, and what is to be done about it. It is the visitor of the first pass.
type plan struct {
	content Content
	fault   error    // why it cannot be converted, the first reason
	actions []action // by the entities' index
	eight   bool     // the entity that is being read is 8-bit
}

func (p *plan) begin(e *entity) {
	if e.index == len(p.actions) {
		p.actions = append(p.actions, keep)
	}
	p.eight = false
}

func (p *plan) field(_ *entity, raw []byte) {
	if eightBit(raw) {
		p.content.HeaderEightBit = true
		p.impossible("8-bit octets in a header field")
	}
}

func (p *plan) endHeader(*entity, bool) {}

func (p *plan) body(_ *entity, text []byte, _ bool) {
	if !p.eight && eightBit(text) {
		p.content.BodyEightBit = true
		p.eight = true
	}
}

func (p *plan) end(e *entity, _ bool) {
	switch {
	case !p.eight:
	case e.fault != "":
		p.impossible(e.fault)
	case e.kind == "text":
		p.actions[e.index] = toQuotedPrintable
		p.relabel(e.parent)
	default:
		p.actions[e.index] = toBase64
		p.relabel(e.parent)
	}
}

func (p *plan) between(e *entity, b []byte, _ bool) {
	if eightBit(b) {
		p.content.BodyEightBit = true
		p.relabel(e)
	}
}

func (p *plan) delimiter(*entity, []byte, bool) {}

// relabel takes the promise of 8 bits from all around a part that is converted.
func (p *plan) relabel(e *entity) {
	for ; e != nil; e = e.parent {
		if e.labelled() {
			p.actions[e.index] = relabel
		}
	}
}

func (p *plan) impossible(why string) {
	if p.fault == nil {
		p.fault = fmt.Errorf("%w: %s", ErrImpossible, why)
	}
}

// eightBit says whether b has an octet above 127.
func eightBit(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return true
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
