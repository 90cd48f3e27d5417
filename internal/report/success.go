package report

import (
	"slices"

	"postrider/internal/dsn"
	"postrider/internal/envelope"
	"postrider/internal/logline"
	"postrider/internal/spool"
)

// Delivered tells a sender who asked for it (NOTIFY=SUCCESS) that a message is in its mailbox. That is tried once: the mail is
// there, whether or not he hears of it.
func (r *Round) Delivered(results ...spool.Result) { r.confirm(dsn.Delivered, results) }

// Relayed tells a sender who asked for it that a message was taken by a host that will not tell him more (RFC 3461 §5.2.2): one
// that does not offer DSN, and to which NOTIFY could not be passed on. That is tried once.
func (r *Round) Relayed(results ...spool.Result) { r.confirm(dsn.Relayed, results) }

func (r *Round) confirm(kind dsn.Kind, results []spool.Result) {
	e := r.item.Envelope
	if e.From.Addr.IsNull() || e.Origin == envelope.OriginDSN {
		return
	}
	for some := range slices.Chunk(r.recipients(results, "success"), maxRecipients) {
		report := r.about(kind, some)
		if err := r.submit(report); err != nil {
			r.reporter.log.Warn("%s: sender delivery notification failed: %v", e.ID, err)
			return
		}
		r.reporter.log.Log(logline.Queue{ID: e.ID, Action: "sender delivery notification", Text: report.MessageID()})
	}
}
