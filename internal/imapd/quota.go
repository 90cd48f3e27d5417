package imapd

import (
	"context"

	"postrider/internal/imap"
	"postrider/internal/mailstore"
	"postrider/internal/quota"
)

// quotaRoot is the one quota root that a user has, by the name that Dovecot's documentation gives it.
const quotaRoot = "User quota"

// getQuota is GETQUOTA (RFC 9208 §4.1.1).
func (s *session) getQuota(ctx context.Context, c *imap.GetQuota) reply {
	used, limit, err := s.quota(ctx)
	switch {
	case err != nil:
		return s.refusal("read", "quota", err)
	case c.Root != quotaRoot || !limit.Limited():
		return no(imap.CodeNonExistent, "Quota root doesn't exist.")
	}
	s.tellQuota(used, limit)
	return ok("Getquota completed.")
}

// getQuotaRoot is GETQUOTAROOT (RFC 9208 §4.1.2): all folders have the same. As in Dovecot it is told of a mailbox that is not there yet,
// too, which shows nobody more than he may know.
func (s *session) getQuotaRoot(ctx context.Context, c *imap.GetQuotaRoot) reply {
	if _, err := s.o.Store.Exists(c.Mailbox); err != nil {
		return s.refusal("quota of", c.Mailbox, err)
	}
	used, limit, err := s.quota(ctx)
	if err != nil {
		return s.refusal("read", "quota", err)
	}
	if !limit.Limited() {
		s.w.QuotaRoot(c.Mailbox)
		return ok("Getquotaroot completed.")
	}
	s.w.QuotaRoot(c.Mailbox, quotaRoot)
	s.tellQuota(used, limit)
	return ok("Getquotaroot completed.")
}

func (s *session) quota(ctx context.Context) (used, limit quota.Amount, err error) {
	if q := s.o.Store.Quota(); q != nil {
		return q.Usage(ctx)
	}
	return used, limit, nil
}

func (s *session) tellQuota(used, limit quota.Amount) {
	var list []imap.QuotaResource
	if limit.Octets > 0 {
		list = append(list, imap.QuotaResource{Name: "STORAGE", Usage: kibi(used.Octets), Limit: kibi(limit.Octets)})
	}
	if limit.Messages > 0 {
		list = append(list, imap.QuotaResource{Name: "MESSAGE", Usage: uint64(used.Messages), Limit: uint64(limit.Messages)})
	}
	s.w.Quota(quotaRoot, list)
}

// kibi is a number of octets in units of 1024, a begun one counted.
func kibi(octets int64) uint64 { return (uint64(max(octets, 0)) + 1023) / 1024 }

// deletedStorage adds up the files that an EXPUNGE would remove (RFC 9208 §4.1.4).
func deletedStorage(ctx context.Context, box *mailstore.Mailbox) (octets uint64, err error) {
	for _, m := range box.Messages() {
		if m.Flags&mailstore.Deleted == 0 {
			continue
		}
		size, _, known := m.Sizes()
		if !known {
			info, err := box.Info(ctx, m)
			if err != nil {
				return 0, err
			}
			size = info.Size
		}
		octets += uint64(size)
	}
	return octets, nil
}
