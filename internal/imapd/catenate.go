package imapd

import (
	"context"
	"errors"

	"postrider/internal/fetch"
	"postrider/internal/imap"
	"postrider/internal/mailstore"
)

// sources are the mailboxes that CATENATE copies from (RFC 4469): the selected one, and another one that stays open for the
// next URL.
type sources struct {
	fetcher fetch.Fetcher
	name    string
	other   *mailstore.Mailbox // nil = none
}

func (s *sources) close() {
	if s.other != nil {
		s.other.Close()
		s.other = nil
	}
}

// copyURL copies what a URL stands for.
func (in *incoming) copyURL(text string, to *diskWriter) error {
	u, err := imap.ParseURL(text)
	if err != nil {
		return badURL(text, "Invalid URL.")
	}
	box, err := in.source(u)
	if err != nil {
		return err
	}
	if box == nil || u.UIDValidity != 0 && u.UIDValidity != box.UIDValidity() {
		return badURL(text, "No such mailbox.")
	}
	i, found := position(box.Messages(), u.UID)
	if !found {
		return badURL(text, "No such message.")
	}
	m := box.Messages()[i]
	src := fetch.Message{UID: m.UID, Source: &source{box: box, Message: m}}
	item := imap.FetchItem{Attr: imap.FetchSection, Section: u.Section, Partial: u.Partial}
	n, err := in.from.fetcher.Copy(in.ctx, to, &src, item, in.room)
	in.room -= n
	switch {
	case to.err != nil:
		return &storeError{to.err}
	case errors.Is(err, fetch.ErrNoSection), errors.Is(err, mailstore.ErrExpunged):
		return badURL(text, "No such part.")
	case errors.Is(err, fetch.ErrTooLarge):
		return answered{no(imap.CodeTooBig, "Message is too large.")}
	case err != nil:
		return answered{in.refusal("catenate from", u.Mailbox, err)}
	}
	return nil
}

func badURL(url, text string) error { return answered{no(imap.CodeBadURL(url), text)} }

// source is the mailbox of a URL; nil, and no error, if there is none.
func (in *incoming) source(u *imap.URL) (*mailstore.Mailbox, error) {
	if in.box != nil && (u.Mailbox == "" || u.Mailbox == in.box.name) {
		return in.box.Mailbox, nil
	}
	if u.Mailbox == "" || in.ctx.Err() != nil {
		return nil, in.ctx.Err()
	}
	if in.from.other != nil && in.from.name == u.Mailbox {
		return in.from.other, nil
	}
	in.from.close()
	box, err := in.o.Store.Open(context.WithoutCancel(in.ctx), u.Mailbox, true)
	switch {
	case box != nil:
		in.from.other, in.from.name = box, u.Mailbox
		return box, nil
	case errors.Is(err, mailstore.ErrNoFolder), errors.Is(err, mailstore.ErrName):
		return nil, nil
	}
	return nil, answered{in.refusal("catenate from", u.Mailbox, err)}
}
