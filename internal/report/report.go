// Package report tells senders what became of their messages. It is the one place that decides who hears of a failure, a delay
// or a success, and that remembers it: failures of a round go into one notification, which is handed to smtpd's internal
// socket and then marked in the message's journal, so that a crash repeats it, under the same Message-ID, rather than lose it.
//
// What would make mail of mail is bounded here. Nobody is told of a report of ours; a sender who is null, or refused, is
// replaced by the postmaster, so many times a minute, and he is not told of his own mail. Reports themselves have the null
// sender, and so end where they cannot be delivered.
//
// The journal and the envelope are trusted as far as packages spool and envelope have checked them; replies are not.
package report

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"postrider/internal/address"
	"postrider/internal/dsn"
	"postrider/internal/envelope"
	"postrider/internal/logline"
	"postrider/internal/reply"
	"postrider/internal/smtpc"
	"postrider/internal/spool"
)

// Journal keeps what senders have been told; *spool.Channel is one.
type Journal interface {
	Record(i *spool.Item, results ...spool.Result) error
}

// Submitter hands a message to smtpd, for all its recipients or none. A permanent *reply.Reply is a refusal, with cause
// smtpc.ErrRecipients if it is that of a recipient; any other error calls for another attempt.
type Submitter interface {
	Submit(ctx context.Context, e *smtpc.Envelope, message io.Reader) error
}

// Settings are what a reload replaces, as one value.
type Settings struct {
	Submitter  Submitter
	Hostname   string          // of the reports
	Postmaster address.Address // with its domain; gets what senders cannot be told. Null: nobody does
	HeaderSize int64           // octets of a returned header, at most; 0 = 64 KiB
	FullSize   int64           // octets of a message that is returned whole, at most; 0 = 64 KiB
	Lifetime   time.Duration   // for how long a message is tried
	DelayAfter time.Duration   // age at which a sender is told that it takes longer; 0 = never
}

// Bounds that no configuration changes.
const (
	handTime      = 5 * time.Minute // for smtpd to take a message
	maxRecipients = 1000            // of a report; more have several
)

// Reporter is that of a daemon. It is safe for concurrent use.
type Reporter struct {
	journal Journal
	log     *logline.Logger
	bounces *rate.Limiter // double bounces
	unasked *rate.Limiter // those of strangers' mail: it has no share in the others' bound
}

// New makes the reporter of the daemon that has the journal.
func New(journal Journal, log *logline.Logger) *Reporter {
	return &Reporter{
		journal: journal, log: log,
		bounces: rate.NewLimiter(rate.Every(6*time.Second), 10), unasked: rate.NewLimiter(rate.Every(time.Minute), 3),
	}
}

// Round is what is told during one attempt at a message. It is not for concurrent use.
type Round struct {
	reporter *Reporter
	ctx      context.Context
	s        *Settings
	item     *spool.Item
	away     error // why smtpd is not asked again
}

// Round begins an attempt at a message. The end of ctx ends waiting for smtpd.
func (r *Reporter) Round(ctx context.Context, s *Settings, item *spool.Item) *Round {
	return &Round{reporter: r, ctx: ctx, s: s, item: item}
}

// Hand gives any message to smtpd: a report, a forwarded copy. Once smtpd was away, or did not answer, it is not asked again in
// this round.
func (r *Round) Hand(e *smtpc.Envelope, message io.Reader) error {
	if r.away != nil {
		return r.away
	}
	ctx, cancel := context.WithTimeout(r.ctx, handTime)
	defer cancel()
	err := r.s.Submitter.Submit(ctx, e, message)
	if _, answered := errors.AsType[*reply.Reply](err); err != nil && !answered {
		r.away = err
	}
	return err
}

// about is a report to the sender.
func (r *Round) about(kind dsn.Kind, list []dsn.Recipient) *dsn.Report {
	e := r.item.Envelope
	return &dsn.Report{
		Kind: kind, Envelope: e, Recipients: list, Hostname: r.s.Hostname, Now: time.Now(), To: e.From.Addr,
		HeaderLimit: r.s.HeaderSize, FullLimit: r.s.FullSize,
	}
}

// submit hands a report to smtpd. Where that refuses it for more than its recipient, what is wrong may be the message that is
// returned, too large or unwelcome: then its header goes alone.
func (r *Round) submit(report *dsn.Report) error {
	err := r.send(report)
	rep, answered := errors.AsType[*reply.Reply](err)
	if !answered || !rep.Permanent() || refused(err) || report.HeaderOnly || report.Envelope.From.Ret != "full" {
		return err
	}
	report.HeaderOnly = true
	return r.send(report)
}

func (r *Round) send(report *dsn.Report) error {
	draft, err := dsn.New(report, dsn.Message{Size: r.item.Size, Open: r.item.Body})
	if err != nil {
		return err
	}
	message := draft.Reader()
	defer message.Close()
	to := envelope.Recipient{Addr: report.To, Notify: []string{"never"}}
	return r.Hand(&smtpc.Envelope{
		From: draft.Sender(), To: []envelope.Recipient{to}, Whole: true, Parent: report.Envelope.ID, UID: envelope.NoUID,
	}, message)
}

// refused says that smtpd will never take a report for its recipient. Anything else that it refuses a report for is trouble
// between the two of us, and may be mended.
func refused(err error) bool {
	rep, ok := errors.AsType[*reply.Reply](err)
	return ok && rep.Permanent() && errors.Is(err, smtpc.ErrRecipients)
}

// recipients are those whom results are about and whose sender wants to hear of an event, in the order of the envelope.
func (r *Round) recipients(results []spool.Result, event string) []dsn.Recipient {
	of := make(map[int]*spool.Result)
	for i := range results {
		for _, l := range results[i].Lines {
			of[l] = &results[i]
		}
	}
	var list []dsn.Recipient
	for _, rcpt := range r.item.Envelope.To {
		if res := of[rcpt.Line]; res != nil && rcpt.Wants(event) {
			list = append(list, recipient(rcpt, res))
		}
	}
	return list
}

// errSilent stands for a reply that is not on record.
var errSilent = reply.New(451, 0, 0, "no reason is on record")

// gaveUp is the code of a result whose reply is our own summary of an expiry. With others it is the last one that was given.
var gaveUp = reply.Enhanced{5, 4, 7}

// recipient is a recipient with a result.
func recipient(rcpt envelope.Recipient, res *spool.Result) dsn.Recipient {
	out := dsn.Recipient{Recipient: rcpt, Reply: res.Reply, MTA: host(res.Relay), Time: res.Time}
	if out.Reply == nil {
		out.Reply = errSilent
	}
	if out.Time.IsZero() {
		out.Time = time.Now()
	}
	summary := res.Status == spool.Expired && out.Reply.Enhanced == gaveUp
	out.Expired = res.Status == spool.Expired && !summary
	if !res.Ours && !summary {
		return out
	}
	if name, _, _ := strings.Cut(out.MTA, "["); out.MTA != "" && !strings.Contains(out.Reply.Text, name) {
		out.Reply = out.Reply.Withf("%s: %s", out.MTA, out.Reply.Text)
	}
	out.MTA = ""
	return out
}

// host is the NAME[IP] of a relay NAME[IP]:PORT. Other relays (local, virtual, none) are this host.
func host(relay string) string {
	open, end := strings.IndexByte(relay, '['), strings.IndexByte(relay, ']')
	if open < 0 || end < open {
		return ""
	}
	return relay[:end+1]
}

func lines(list []dsn.Recipient) []int {
	out := make([]int, len(list))
	for i := range list {
		out[i] = list[i].Line
	}
	return out
}
