package sendmail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"path/filepath"
	"slices"
	"strings"

	"postrider/internal/address"
	"postrider/internal/envelope"
	"postrider/internal/reply"
	"postrider/internal/smtpc"
)

// mail sends what comes on standard input.
func (p *program) mail(ctx context.Context) int {
	from, err := p.sender()
	if err != nil {
		return p.fail(exitUsage, err)
	}
	if len(p.options.args) == 0 && !p.options.headers {
		return p.fail(exitUsage, errors.New("no recipients: name them as arguments, or use -t to take them from the header"))
	}
	var o outcome
	to := p.recipients(p.options.args, &o)
	h, body, err := p.read(from)
	if err != nil {
		return p.fail(inputStatus(err), fmt.Errorf("read message: %w", err))
	}
	defer body.close()
	if p.options.headers {
		to = append(to, p.recipients(h.destinations(), &o)...)
	}
	if to = unique(to); len(to) > 0 {
		p.submit(ctx, from, to, body, &o)
	} else if o.status() == exitOK {
		return p.fail(exitUsage, errors.New("no recipients in the header"))
	}
	return o.status()
}

func inputStatus(err error) int {
	if errors.Is(err, errHeaderSize) {
		return exitDataErr
	}
	return exitIOErr
}

// sender is the reverse-path: what -f says, or the login name.
func (p *program) sender() (address.Address, error) {
	if p.options.sender == nil {
		login, _, err := p.account()
		if err != nil {
			return address.Address{}, err
		}
		return address.Address{Local: login}, nil
	}
	if text := strings.TrimSpace(*p.options.sender); text == "" || text == "<>" {
		return address.Address{}, nil
	}
	list := mailboxes(*p.options.sender)
	if len(list) != 1 || list[0].err != nil {
		return address.Address{}, fmt.Errorf("bad sender %.100q", *p.options.sender)
	}
	return list[0].address, nil
}

// recipients reads lists of addresses. A bad one is reported, and does not hold up the others.
func (p *program) recipients(lists []string, o *outcome) (to []address.Address) {
	for _, list := range lists {
		for _, m := range mailboxes(list) {
			if m.err != nil {
				p.complain("%.100q: %v", m.text, m.err)
				o.failed(exitDataErr)
				continue
			}
			to = append(to, m.address)
		}
	}
	return to
}

func unique(list []address.Address) []address.Address {
	seen := make(map[address.Address]bool, len(list))
	return slices.DeleteFunc(list, func(a address.Address) bool {
		known := seen[a]
		seen[a] = true
		return known
	})
}

// read reads the whole message and completes its header.
func (p *program) read(from address.Address) (*header, *message, error) {
	t := newText(p.stdin, !p.options.ignoreDots)
	h, err := readHeader(t)
	if err != nil {
		return nil, nil, err
	}
	fields := h.fields
	if !h.from {
		fields = append(fields, p.fromField(from)...)
	}
	m, err := collect(io.MultiReader(bytes.NewReader(fields), strings.NewReader("\r\n"), bytes.NewReader(h.begun), &wire{text: t}), p.temporary)
	return h, m, err
}

// fromField is a From field with the sender's full name, or nothing if that is not known: then the server adds one. The
// server also completes an address without a domain.
func (p *program) fromField(from address.Address) string {
	login, name, err := p.account()
	if p.options.fullName != "" {
		name = p.options.fullName
	}
	if from.IsNull() && err == nil {
		from.Local = login
	}
	if name = phrase(name); name == "" || from.IsNull() {
		return ""
	}
	return fmt.Sprintf("From: %s <%s>\r\n", name, from)
}

// maxName bounds a full name, in octets, so that its field fits a line.
const maxName = 200

// phrase writes a name as it may stand before an address (RFC 5322 §3.2.5, RFC 2047 §5).
func phrase(name string) string {
	name = strings.ToValidUTF8(name[:min(len(name), maxName)], "")
	name = strings.Join(strings.FieldsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if !printable(name) {
		return mime.QEncoding.Encode("utf-8", name)
	}
	if !strings.ContainsAny(name, `()<>[]:;@\,."`) {
		return name
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// submit hands the message to the mail system, in as many transactions as its limit on recipients asks for.
func (p *program) submit(ctx context.Context, from address.Address, to []address.Address, m *message, o *outcome) {
	c, err := p.dial(ctx)
	if err != nil {
		o.failed(p.fail(statusOf(err), err))
		return
	}
	defer c.Quit()
	most := len(to)
	if n := c.MaxRecipients(); n > 0 && m.rest == nil {
		most = n
	}
	for some := range slices.Chunk(to, most) {
		e := p.envelope(from, some)
		e.Size = m.length()
		result, err := c.Send(ctx, e, m.reader())
		p.report(e, result.Recipients, o)
		switch {
		case err == nil:
			o.sent = true
			if p.options.verbose {
				fmt.Fprintln(p.stdout, result.Message)
			}
		case !errors.Is(err, smtpc.ErrRecipients):
			o.failed(p.fail(statusOf(err), err))
			return
		}
	}
}

func (p *program) dial(ctx context.Context) (*smtpc.Client, error) {
	return smtpc.Dial(ctx, filepath.Join(p.config.RunDir, "submit"), smtpc.Options{}, p.patience)
}

func (p *program) envelope(from address.Address, to []address.Address) *smtpc.Envelope {
	o := p.options
	e := &smtpc.Envelope{From: envelope.Sender{Addr: from, Ret: o.ret, EnvID: o.envID, Body: o.body}, UID: envelope.NoUID}
	for _, a := range to {
		e.To = append(e.To, envelope.Recipient{Addr: a, Notify: o.notify})
	}
	return e
}

// report says which recipients were refused, with their addresses unless the server does.
func (p *program) report(e *smtpc.Envelope, replies []*reply.Reply, o *outcome) {
	for i, r := range replies {
		if r == nil || r.Positive() {
			continue
		}
		if path := "<" + e.To[i].Addr.String() + ">"; strings.Contains(r.Text, path) {
			p.complain("%v", r)
		} else {
			p.complain("%s: %v", path, r)
		}
		o.failed(statusOf(r))
	}
}

// verify asks the mail system what it thinks of recipients (-bv).
func (p *program) verify(ctx context.Context) int {
	from, err := p.sender()
	if err != nil {
		return p.fail(exitUsage, err)
	}
	var o outcome
	to := unique(p.recipients(p.options.args, &o))
	if len(p.options.args) == 0 {
		return p.fail(exitUsage, errors.New("no recipients"))
	}
	if len(to) == 0 {
		return o.status()
	}
	c, err := p.dial(ctx)
	if err != nil {
		return p.fail(statusOf(err), err)
	}
	defer c.Quit()
	replies, err := c.Verify(ctx, p.envelope(from, to))
	if err != nil {
		return p.fail(statusOf(err), err)
	}
	for i, r := range replies {
		if r.Positive() {
			fmt.Fprintf(p.stdout, "%s... deliverable\n", to[i])
			o.sent = true
			continue
		}
		fmt.Fprintf(p.stdout, "%s... %v\n", to[i], r)
		o.failed(statusOf(r))
	}
	return o.status()
}
