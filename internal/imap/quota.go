package imap

// Commands of RFC 9208. SETQUOTA is not one of them: limits are the administrator's.
type (
	// GetQuota is GETQUOTA.
	GetQuota struct{ Root string }
	// GetQuotaRoot is GETQUOTAROOT.
	GetQuotaRoot struct{ Mailbox string }
)

func parseGetQuota(p *parser) Command {
	p.sp()
	return &GetQuota{p.astring()}
}

// QuotaResource is what a quota root limits, and how much of it there is (RFC 9208 §5): STORAGE counts units of 1024 octets.
type QuotaResource struct {
	Name         string
	Usage, Limit uint64
}

// Quota writes the resources of a quota root.
func (w *Writer) Quota(root string, resources []QuotaResource) {
	b := append(appendAString(append(w.buf, "* QUOTA "...), root), " ("...)
	for i, r := range resources {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(append(b, r.Name...), ' ')
		b = append(appendUint(b, r.Usage), ' ')
		b = appendUint(b, r.Limit)
	}
	w.line(append(b, ')'))
}

// QuotaRoot writes the quota roots of a mailbox, possibly none.
func (w *Writer) QuotaRoot(mailbox string, roots ...string) {
	b := w.appendMailbox(append(w.buf, "* QUOTAROOT "...), mailbox)
	for _, root := range roots {
		b = appendAString(append(b, ' '), root)
	}
	w.line(b)
}
