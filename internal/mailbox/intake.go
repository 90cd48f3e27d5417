package mailbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"postrider/internal/mailstore"
)

// A batch of messages comes into the folder together; so many have a file open.
const (
	batchMessages = 100
	batchOctets   = 32 << 20
)

// intake brings messages into one folder, each of them once.
type intake struct {
	store    *mailstore.Store
	folder   string
	ledger   *ledger
	keywords map[string]bool // that the folder has, in lower case
	lost     map[string]int  // keywords for which there was no room, and how often

	draft  *mailstore.Append // nil = the batch is empty
	keys   []uint64
	names  []string
	octets int64
	came   int // messages
}

// newIntake makes the folder, if there is none, and finds out what of the source has come already.
func newIntake(ctx context.Context, c *command, from origin, folder string) (*intake, error) {
	if err := c.store.Create(folder); err != nil && !errors.Is(err, mailstore.ErrExists) {
		return nil, err
	}
	box, err := c.store.Open(ctx, folder, true)
	if err != nil {
		if box != nil {
			box.Close()
		}
		return nil, err
	}
	defer box.Close()
	in := &intake{store: c.store, folder: folder, keywords: make(map[string]bool), lost: make(map[string]int)}
	names, _ := box.AllKeywords()
	for _, name := range names {
		in.keywords[strings.ToLower(name)] = true
	}
	if in.ledger, err = openLedger(c.maildir, from, folder); err != nil {
		return nil, err
	}
	if err := in.ledger.settle(box.Messages()); err != nil {
		in.ledger.close()
		return nil, err
	}
	return in, nil
}

// create begins the message that the source knows by key. Its text is written next, before another is begun.
func (in *intake) create(key uint64, flags mailstore.Flags, keywords []string, date time.Time) (*mailstore.NewMessage, error) {
	if in.draft == nil {
		draft, err := in.store.Append(in.folder)
		if err != nil {
			return nil, err
		}
		in.draft = draft
	}
	m, err := in.draft.Create(flags, in.fitting(keywords), date)
	if err != nil {
		return nil, err
	}
	in.keys, in.names = append(in.keys, key), append(in.names, m.Name())
	return m, nil
}

// fitting are those keywords that the folder has, or has room for.
func (in *intake) fitting(keywords []string) (fit []string) {
	for _, k := range keywords {
		key := strings.ToLower(k)
		if !in.keywords[key] && (!mailstore.ValidKeyword(k) || len(in.keywords) >= mailstore.MaxKeywords) {
			if len(in.lost) < maxLost {
				in.lost[k]++
			}
			continue
		}
		in.keywords[key] = true
		fit = append(fit, k)
	}
	return fit
}

// maxLost is how many keywords are named that were lost.
const maxLost = 100

// full says that the batch is to come in before more is added.
func (in *intake) full() bool { return len(in.keys) >= batchMessages || in.octets >= batchOctets }

// commit brings the batch in. position is how far the source was read.
func (in *intake) commit(ctx context.Context, position uint64) error {
	if in.draft == nil {
		return nil
	}
	defer in.drop()
	if err := in.ledger.expect(in.keys, in.names); err != nil {
		return err
	}
	if _, _, err := in.draft.Commit(ctx); err != nil {
		return fmt.Errorf("import into %s: %w", in.folder, err)
	}
	in.came += len(in.keys)
	return in.ledger.confirm(in.keys, position)
}

// drop gives up what has not come in.
func (in *intake) drop() {
	if in.draft != nil {
		in.draft.Close()
	}
	in.draft, in.keys, in.names, in.octets = nil, nil, nil, 0
}

// close ends the intake and reports the keywords that were lost.
func (in *intake) close(c *command) {
	in.drop()
	in.ledger.close()
	for name, n := range in.lost {
		c.complain("%s: keyword %q of %d messages was left out: a folder has at most %d, which are atoms", in.folder, name, n, mailstore.MaxKeywords)
	}
}
