package smtpd

import (
	"context"
	"errors"
	"strings"
	"time"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/line"
	"postrider/internal/reply"
	"postrider/internal/route"
	"postrider/internal/table"
)

// transaction is a message on its way in (RFC 5321 §3.3). The zero value is none.
type transaction struct {
	active  bool
	from    envelope.Sender
	parent  string // XPARENT
	uid     int64  // XUID
	to      []envelope.Recipient
	seen    map[target]bool          // what to holds
	asked   map[address.Address]bool // what RCPT was accepted for
	octets  int                      // of the addresses in to and asked
	given   int                      // RCPT that were accepted
	first   address.Address          // of the first of them
	refused bool                     // some RCPT was not
	excess  int                      // RCPT beyond what there is room for
	message Message                  // being written
	chunks  line.Chunks              // of BDAT
	writer  *header                  // what the chunks are written to
	size    int64                    // octets of the chunks so far
	owed    int                      // by LMTP, answers to the last chunk; the message has been refused
}

// target is a recipient as far as two of them are the same.
type target struct {
	addr address.Address
	via  envelope.Via
}

// begin replaces the transaction and drops the message of the old one.
func (s *session) begin(t transaction) {
	if s.tx.message != nil {
		s.tx.message.Abort()
	}
	s.tx = t
}

// mail carries out MAIL.
func (s *session) mail(arg string) error {
	switch {
	case s.state.helo == "":
		return s.refuse(errHello)
	case s.tx.active:
		return s.refuse(errNested)
	case s.svc.RequireTLS && s.state.tls == nil:
		return s.refuse(errNeedTLS)
	case s.svc.RequireAuth && !s.state.login.ok():
		return s.refuse(errNeedAuth)
	}
	from, rest, found, err := cutPath(arg, "FROM:")
	if !found {
		return s.refuse(errSyntax.Withf("Syntax: MAIL FROM:<address>"))
	}
	if err != nil {
		return s.reject("MAIL", errSender.With(err), "")
	}
	params, r := parseMail(rest, s.svc.internal)
	switch {
	case r != nil:
		return s.refuse(r)
	case from.utf8 && !params.UTF8: // RFC 6531 §3.5
		return s.refuse(errUTF8)
	case params.Size > s.conf.maxMessage(): // RFC 1870 §6.1
		return s.reject("MAIL", errTooBig, "")
	}
	s.begin(transaction{
		active: true, from: params.sender(s.qualify(from.Address)), parent: params.Parent, uid: params.UID,
		seen: make(map[target]bool), asked: make(map[address.Address]bool),
	})
	return s.accept(okSender)
}

// qualify gives an address without a domain that of this host; the null path stays.
func (s *session) qualify(a address.Address) address.Address {
	if a.Domain == "" && !a.IsNull() {
		a.Domain = s.conf.Origin
	}
	return a
}

// rcpt carries out RCPT.
func (s *session) rcpt(arg string) error {
	switch {
	case !s.tx.active:
		return s.refuse(errNoMail)
	case s.tx.message != nil:
		return s.refuse(errChunks)
	}
	s.tx.refused = true // until it is not
	to, rest, found, err := cutPath(arg, "TO:")
	if !found {
		return s.refuse(errSyntax.Withf("Syntax: RCPT TO:<address>"))
	}
	if err != nil || to.null {
		return s.reject("RCPT", errRcpt.With(err), "")
	}
	o, r := parseRcpt(rest)
	switch {
	case r != nil:
		return s.refuse(r)
	case to.utf8 && !s.tx.from.SMTPUTF8:
		return s.refuse(errUTF8)
	case s.tx.given >= s.svc.maxRcpts:
		return s.tooMany(to.Address)
	}
	template := envelope.Recipient{ORcpt: originalRecipient(o)}
	for _, n := range o.Notify {
		template.Notify = append(template.Notify, strings.ToLower(string(n)))
	}
	switch r = s.add(s.qualify(to.Address), template); {
	case r == errManyRcpts:
		return s.tooMany(to.Address)
	case r != nil:
		return s.reject("RCPT", r.Withf("<%s>: %s", to, r.Text), to.String())
	}
	if s.tx.given++; s.tx.given == 1 {
		s.tx.first = to.Address
	}
	s.tx.refused = false
	return s.accept(okRcpt)
}

// tooMany refuses a recipient that the next message may have (RFC 5321 §4.5.3.1.10). That is no error: clients name all that
// they have, and send to those that there was room for. A client that goes on and on is another matter.
func (s *session) tooMany(to address.Address) error {
	r := errManyRcpts.Withf("<%s>: %s", to, errManyRcpts.Text)
	if s.tx.excess++; s.tx.excess > max(minExcess, s.svc.maxRcpts) {
		return s.reject("RCPT", r, to.String())
	}
	if s.tx.excess == 1 {
		s.logReject("RCPT", r, to.String())
	}
	s.answer(r)
	return nil
}

// add adds what the address a stands for to the recipients, each once.
func (s *session) add(a address.Address, template envelope.Recipient) *reply.Reply {
	if s.tx.asked[a] {
		return nil
	}
	if r := s.mayReach(a); r != nil {
		return r
	}
	list, r := s.resolve(a)
	if r != nil {
		return r
	}
	octets := s.tx.octets + len(a.Local) + len(a.Domain)
	for _, to := range list {
		octets += len(to.Addr.Local) + len(to.Addr.Domain) + len(to.Orig.Local) + len(to.Orig.Domain) + len(template.ORcpt)
	}
	if octets > maxEnvelope || len(s.tx.to) > 0 && len(s.tx.to)+len(list) > s.svc.maxExpanded {
		return errManyRcpts
	}
	s.tx.asked[a], s.tx.octets = true, octets
	for _, to := range list {
		key := target{to.Addr, to.Via}
		if s.tx.seen[key] {
			continue
		}
		s.tx.seen[key] = true
		r := template
		r.Addr, r.Via, r.Orig = to.Addr, to.Via, to.Orig
		s.tx.to = append(s.tx.to, r)
	}
	return nil
}

// resolveTimeout bounds the answer to one RCPT.
const resolveTimeout = 30 * time.Second

// resolve says what becomes of an address. Programs of this host get their mail accepted even while authd cannot be asked:
// cron would throw it away. Whoever delivers it asks again.
func (s *session) resolve(a address.Address) ([]route.Recipient, *reply.Reply) {
	ctx, cancel := context.WithTimeout(s.ctx, resolveTimeout)
	defer cancel()
	result, err := s.conf.resolver.Resolve(ctx, a)
	if errors.Is(err, route.ErrLater) && s.svc.name == serviceSubmit && len(result.Recipients) > 0 {
		s.log.Warn("<%s> is taken without a check: %v", a, err)
		err = nil
	}
	switch {
	case errors.Is(err, route.ErrUnknown):
		return nil, errUnknown.With(err)
	case errors.Is(err, route.ErrLoop), errors.Is(err, route.ErrTooMany):
		return nil, errAlias.With(err)
	case err != nil:
		return nil, errRcptLater.With(err)
	}
	for _, name := range result.Nowhere {
		s.log.Warn("<%s>: %s leads to nothing but itself", a, name)
	}
	return result.Recipients, nil
}

// mayReach refuses strangers what is not for this host. A local part that could make a later host send the message on
// (a%b, a!b, "a@b") is refused to them even here.
func (s *session) mayReach(a address.Address) *reply.Reply {
	if s.trusted() {
		return nil
	}
	if strings.ContainsAny(a.Local, "%!@") && !s.conf.SMTPD.AllowPercent {
		return errRelay
	}
	kind, err := s.conf.resolver.Kind(a.Domain)
	switch {
	case err != nil:
		return errRcptLater.With(err)
	case kind == table.Foreign:
		return errRelay
	}
	return nil
}

// origin says by what right the message comes in. A message that a daemon of ours passes on for a user (XPARENT with
// XUID) was written by anybody: it has no more right than one from the network, and is not signed as ours.
func (s *session) origin() envelope.Origin {
	switch {
	case s.svc.internal && s.tx.parent != "" && s.tx.from.Addr.IsNull() && s.tx.uid == envelope.NoUID:
		return envelope.OriginDSN
	case s.svc.internal && s.tx.parent != "":
		return envelope.OriginMX
	case s.svc.local:
		return envelope.OriginLocal
	case s.state.login.ok():
		return envelope.OriginAuth
	case contains(s.conf.SMTPD.RelayNetworks, s.peer.ip):
		return envelope.OriginNet
	}
	return envelope.OriginMX
}

// envelope is that of the present transaction.
func (s *session) envelope() *envelope.Envelope {
	return &envelope.Envelope{
		From: s.tx.from, To: s.tx.to, Client: s.client(s.tx.from.SMTPUTF8), Origin: s.origin(),
		UID: s.uid(), Parent: s.tx.parent, Time: s.server.deps.Now(),
	}
}
