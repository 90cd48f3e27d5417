package dsn

import (
	"slices"
	"strings"

	"postrider/internal/reply"
)

// anything is a detail that does not matter.
const anything = -1

// What the sender can do.
const (
	checkAddress = "Please check the address for errors."
	checkSender  = "Your own address was refused as the sender's. Please check it in the settings of your mail program."
	tellOurs     = "Please tell the postmaster of your own mail system."
	unproved     = "That host could not make sure that the message comes from your domain (SPF, DKIM, DMARC). " + tellOurs
	secure       = "A secure connection that is asked for could not be had. " + tellOurs
	letters      = "That host takes no addresses or headers with letters beyond ASCII. Please use addresses without them."
	form         = "That host does not take messages of this form. Please send it as plain text, or with its contents as an attachment."
)

// rule is advice for an enhanced code (RFC 3463 §3) without its class, if the reply has one of some words.
type rule struct {
	subject, detail int
	words           []string // lower case; none = whatever it says
	advice          string
}

// rules are in order: the first that fits counts.
var rules = []rule{
	{1, 2, nil, "Please check the part of the address after the @: there seems to be no such domain."},
	{1, 7, nil, checkSender},
	{1, 8, nil, checkSender},
	{1, 10, nil, "The domain after the @ takes no mail at all. Please ask the recipient for another address."},
	{1, anything, nil, checkAddress},
	{2, 1, nil, "The mailbox takes no mail at present. Please reach the recipient in another way."},
	{2, 2, nil, "The mailbox is full. Please reach the recipient in another way, or try again later."},
	{2, 3, nil, "The message is too large. Please send less, or a link."},
	{3, 4, nil, "The message is too large. Please send less, or a link."},
	{4, 4, nil, "Please check the part of the address after the @: no host takes mail for that domain."},
	{4, 6, nil, "The recipient's mail is sent in a circle, which the recipient or a postmaster has to mend."},
	{4, 7, nil, "It was tried for as long as we try. You may send it again later."},
	{5, 3, nil, "Please send it to fewer recipients at a time."},
	{6, 7, nil, letters},
	{6, 8, nil, letters},
	{6, 9, nil, letters},
	{6, 10, nil, letters},
	{6, anything, nil, form},
	{7, 4, nil, secure},
	{7, 5, nil, secure},
	{7, 8, nil, "That host did not accept the login of this one. " + tellOurs},
	{7, 9, nil, "That host did not accept the login of this one. " + tellOurs},
	{7, 10, nil, secure},
	{7, 11, nil, secure},
	{7, 20, nil, unproved},
	{7, 21, nil, unproved},
	{7, 22, nil, unproved},
	{7, 23, nil, unproved},
	{7, 24, nil, unproved},
	{7, 25, nil, "The address of the sending host has no proper name. " + tellOurs},
	{7, 26, nil, unproved},
	{7, 27, nil, checkSender},
	{7, 30, nil, secure},
	{7, anything, []string{"relaying", "relay access", "to relay", "relay denied", "relay not"}, "That host takes no mail for the domain after the @. Please check the address; if it is right, its postmaster has to mend that."},
	{7, anything, []string{"dmarc", "dkim", "spf"}, unproved},
	{7, anything, []string{"tls", "encrypt"}, secure},
	{7, anything, []string{"spam", "block list", "blocklist", "blacklist", "blocked", "listed", "reputation", "unsolicited"},
		"That host takes the message, or the host that sent it, for a source of spam. " + tellOurs},
	{7, anything, nil, "That host does not accept this message by a rule of its own. Its postmaster can tell why."},
}

// advice is what the sender of a message that failed can do, or "".
func advice(r *Recipient) string {
	if r.Expired {
		return "You may send it again later, or reach the recipient in another way."
	}
	subject, detail := topic(r.Reply)
	text := strings.ToLower(r.Reply.Text)
	for i := range rules {
		if u := &rules[i]; u.subject == subject && (u.detail == detail || u.detail == anything) && (len(u.words) == 0 || hasAny(text, u.words)) {
			return u.advice
		}
	}
	return ""
}

func hasAny(text string, words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
}

// topic is the enhanced code without its class; for hosts that give none, or one that says nothing, what code and text are
// likely to mean.
func topic(r *reply.Reply) (subject, detail int) {
	if e := r.Enhanced; e[1] != 0 || e[2] != 0 {
		return e[1], e[2]
	}
	text := strings.ToLower(r.Text)
	switch {
	case hasAny(text, []string{"unknown user", "user unknown", "unknown recipient", "no such user", "no such recipient", "no mailbox", "does not exist", "user not found"}):
		return 1, 1
	case r.Code == 552 && hasAny(text, []string{"size", "large", "big"}):
		return 3, 4
	case r.Code == 552 || hasAny(text, []string{"mailbox full", "mailbox is full", "over quota", "quota exceeded"}):
		return 2, 2
	case r.Code == 530, r.Code == 534, r.Code == 535, r.Code == 538:
		return 7, 8
	case r.Code == 550, r.Code == 554:
		return 7, 0
	}
	return 0, 0
}
