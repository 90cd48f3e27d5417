package imap

import (
	"encoding/base64"
	"strings"
)

// spec is a command: where it is legal and how its arguments are read.
type spec struct {
	in    State
	parse func(*parser) Command
}

// commands is all that this package knows.
var commands = map[string]spec{
	"CAPABILITY": {anyState, bare[Capability]},
	"NOOP":       {anyState, bare[Noop]},
	"LOGOUT":     {anyState, bare[Logout]},
	"ID":         {anyState, parseID},

	"STARTTLS":     {NotAuthenticated, bare[StartTLS]},
	"AUTHENTICATE": {NotAuthenticated, parseAuthenticate},
	"LOGIN":        {NotAuthenticated, parseLogin},

	"ENABLE":      {loggedIn, parseEnable},
	"COMPRESS":    {loggedIn, parseCompress},
	"NAMESPACE":   {loggedIn, bare[Namespace]},
	"IDLE":        {loggedIn, bare[Idle]},
	"SELECT":      {loggedIn, func(p *parser) Command { return parseSelect(p, false) }},
	"EXAMINE":     {loggedIn, func(p *parser) Command { return parseSelect(p, true) }},
	"CREATE":      {loggedIn, parseCreate},
	"DELETE":      {loggedIn, func(p *parser) Command { return &Delete{p.nextMailbox()} }},
	"RENAME":      {loggedIn, func(p *parser) Command { return &Rename{p.nextMailbox(), p.nextMailbox()} }},
	"SUBSCRIBE":   {loggedIn, func(p *parser) Command { return &Subscribe{p.nextMailbox()} }},
	"UNSUBSCRIBE": {loggedIn, func(p *parser) Command { return &Unsubscribe{p.nextMailbox()} }},
	"LIST":        {loggedIn, parseList},
	"LSUB":        {loggedIn, parseLSub},
	"STATUS":      {loggedIn, parseStatus},
	"APPEND":      {loggedIn, parseAppend},

	"NOTIFY":       {loggedIn, parseNotify},
	"GETQUOTA":     {loggedIn, parseGetQuota},
	"GETMETADATA":  {loggedIn, parseGetMetadata},
	"SETMETADATA":  {loggedIn, parseSetMetadata},
	"GETQUOTAROOT": {loggedIn, func(p *parser) Command { return &GetQuotaRoot{p.nextMailbox()} }},

	"CHECK":       {Selected, bare[Check]},
	"CLOSE":       {Selected, bare[Close]},
	"UNSELECT":    {Selected, bare[Unselect]},
	"EXPUNGE":     {Selected, bare[Expunge]},
	"UID EXPUNGE": {Selected, func(p *parser) Command { return &Expunge{true, p.nextSet()} }},
	"FETCH":       {Selected, parseFetch},
	"UID FETCH":   {Selected, parseFetch},
	"STORE":       {Selected, parseStore},
	"UID STORE":   {Selected, parseStore},
	"COPY":        {Selected, parseCopy},
	"UID COPY":    {Selected, parseCopy},
	"MOVE":        {Selected, parseMove},
	"UID MOVE":    {Selected, parseMove},
	"SEARCH":      {Selected, parseSearch},
	"UID SEARCH":  {Selected, parseSearch},
	"REPLACE":     {Selected, parseReplace},
	"UID REPLACE": {Selected, parseReplace},
	"SORT":        {Selected, parseSort},
	"UID SORT":    {Selected, parseSort},
	"THREAD":      {Selected, parseThread},
	"UID THREAD":  {Selected, parseThread},
}

// bare is a command without arguments.
func bare[C any](*parser) Command { return new(C) }

// request reads a command. An empty line before it, which some clients send behind an APPEND, is passed over.
func (p *parser) request() *Request {
	if p.take('\r') || p.peek() == '\n' {
		p.expect('\n')
		p.r.mark = p.r.r
		p.r.inside = p.err != nil
	}
	tag := string(p.run(isTagChar, maxTag, "tag"))
	if p.err == nil {
		p.r.tag = tag
	}
	p.sp()
	name := p.word()
	if p.uid = name == "UID"; p.uid {
		p.sp()
		name += " " + p.word()
	}
	command, known := commands[name]
	switch {
	case p.err != nil:
		return nil
	case !known:
		p.fail("unknown command")
		return nil
	case command.in&p.r.State == 0:
		p.fail(name + " is not possible now")
		return nil
	}
	p.r.name = name
	req := &Request{Tag: tag, Name: name, Command: command.parse(p)}
	if p.r.pending == nil {
		p.end()
	}
	return req
}

func (p *parser) nextMailbox() string {
	p.sp()
	return p.mailbox()
}

func (p *parser) nextSet() Set {
	p.sp()
	return p.set()
}

func parseLogin(p *parser) Command {
	p.sp()
	user := p.astring()
	p.sp()
	return &Login{user, p.astring()}
}

func parseAuthenticate(p *parser) Command {
	p.sp()
	auth := &Authenticate{Mechanism: strings.ToUpper(p.atom())}
	if !p.more() {
		return auth
	}
	text := p.atom()
	if text == "=" {
		auth.Initial = []byte{}
		return auth
	}
	initial, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		p.fail("invalid base64")
	}
	auth.Initial = initial
	return auth
}

func parseID(p *parser) Command {
	p.sp()
	id := &ID{}
	if p.peek() != '(' {
		if !strings.EqualFold(p.atom(), "NIL") {
			p.fail("expected list or NIL")
		}
		return id
	}
	p.list(func() {
		param := IDParam{Key: p.astring()}
		p.sp()
		param.Value, param.Valid = p.nstring()
		if id.Params = append(id.Params, param); len(id.Params) > maxIDParams {
			p.fail("too many ID fields")
		}
	})
	return id
}

func parseEnable(p *parser) Command {
	enable := &Enable{}
	p.sp()
	for ok := true; ok; ok = p.more() {
		enable.Capabilities = append(enable.Capabilities, strings.ToUpper(p.atom()))
	}
	return enable
}

func parseCompress(p *parser) Command {
	p.sp()
	return &Compress{p.word()}
}

func parseSelect(p *parser, readOnly bool) Command {
	sel := &Select{Mailbox: p.nextMailbox(), ReadOnly: readOnly}
	if !p.more() {
		return sel
	}
	p.list(func() {
		switch p.word() {
		case "CONDSTORE":
			sel.CondStore = true
		case "QRESYNC":
			p.sp()
			sel.QResync = p.qresync()
		default:
			p.fail("unknown parameter")
		}
	})
	return sel
}

// qresync reads (uidvalidity modseq [known-uids] [(numbers uids)]).
func (p *parser) qresync() *QResync {
	q := &QResync{}
	p.expect('(')
	q.UIDValidity = p.number32()
	p.sp()
	q.ModSeq = p.number()
	for p.take(' ') {
		if p.take('(') {
			q.MatchSeq = p.numbers()
			p.sp()
			q.MatchUID = p.numbers()
			p.expect(')')
			break
		}
		if q.Known != nil {
			p.fail("unexpected argument")
		}
		q.Known = p.numbers()
	}
	p.expect(')')
	return q
}

func parseCreate(p *parser) Command {
	create := &Create{Mailbox: p.nextMailbox()}
	if !p.more() {
		return create
	}
	p.list(func() {
		if p.word() != "USE" {
			p.fail("unknown parameter")
		}
		p.sp()
		p.list(func() {
			p.expect('\\')
			create.Use = append(create.Use, MailboxAttr(`\`+p.atom()))
		})
	})
	return create
}

func parseAppend(p *parser) Command {
	app := &Append{Mailbox: p.nextMailbox()}
	p.sp()
	app.Messages = p.incoming(maxMessages)
	return app
}

func parseReplace(p *parser) Command {
	p.sp()
	replace := &Replace{UID: p.uid, Message: p.seq()}
	replace.Mailbox = p.nextMailbox()
	p.sp()
	replace.By = p.incoming(1)
	return replace
}

func parseCopy(p *parser) Command { return &Copy{p.uid, p.nextSet(), p.nextMailbox()} }

func parseMove(p *parser) Command { return &Move{p.uid, p.nextSet(), p.nextMailbox()} }

// storeOps are the names of the data items of STORE (RFC 3501 §6.4.6).
var storeOps = map[string]struct {
	op     StoreOp
	silent bool
}{
	"FLAGS":         {StoreReplace, false},
	"FLAGS.SILENT":  {StoreReplace, true},
	"+FLAGS":        {StoreAdd, false},
	"+FLAGS.SILENT": {StoreAdd, true},
	"-FLAGS":        {StoreRemove, false},
	"-FLAGS.SILENT": {StoreRemove, true},
}

func parseStore(p *parser) Command {
	store := &Store{UID: p.uid, Set: p.nextSet()}
	p.sp()
	if p.peek() == '(' {
		p.list(func() {
			if p.word() != "UNCHANGEDSINCE" {
				p.fail("unknown modifier")
			}
			p.sp()
			n := p.number()
			store.UnchangedSince = &n
		})
		p.sp()
	}
	item, ok := storeOps[p.word()]
	if !ok {
		p.fail("unknown data item")
	}
	store.Op, store.Silent = item.op, item.silent
	p.sp()
	if p.peek() == '(' {
		store.Flags = p.flags()
		return store
	}
	for ok := true; ok; ok = p.more() { // the parentheses may be left out
		store.Flags = p.addFlag(store.Flags)
	}
	return store
}
