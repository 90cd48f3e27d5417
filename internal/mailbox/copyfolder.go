package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"postrider/internal/mailstore"
)

// copying is a folder that is being copied.
type copying struct {
	ctx  context.Context
	from *server
	*intake
	validity uint32 // UIDVALIDITY there
	bar      *progress
	missed   int // messages that were asked for and did not come
}

// copyFolder copies what is new in a folder, and says how many messages came.
func copyFolder(ctx context.Context, c *command, from *server, folder remote, bar *progress) (int, error) {
	var f *copying
	came := func() int {
		if f == nil {
			return 0
		}
		return f.came
	}
	err := from.do(ctx, came, func(client *imapclient.Client) error {
		selected, err := client.Select(folder.name, &imap.SelectOptions{ReadOnly: true}).Wait()
		if err != nil {
			return err
		}
		if f == nil {
			place := from.user + " " + from.address + " " + folder.name
			in, err := newIntake(ctx, c, origin{place, fmt.Sprint("UIDVALIDITY ", selected.UIDValidity)}, folder.target)
			if err != nil {
				return localError{err}
			}
			f = &copying{ctx: ctx, from: from, intake: in, validity: selected.UIDValidity, bar: bar}
		}
		if selected.UIDValidity != f.validity { // it was replaced while the connection was lost
			return localError{fmt.Errorf("%s %w", folder.name, errOtherSource)}
		}
		defer f.drop()
		return f.copyNew(client, selected)
	})
	if f == nil {
		return 0, err
	}
	f.close(c)
	if err == nil && f.missed > 0 {
		c.complain("%s: %d messages were not sent by the server, or have more than %d MiB", folder.name, f.missed, maxMessage>>20)
	}
	return f.came, err
}

// copyNew copies the messages that have not come yet.
func (f *copying) copyNew(client *imapclient.Client, selected *imap.SelectData) error {
	if selected.NumMessages == 0 {
		return nil
	}
	uids, err := newUIDs(client, selected.NumMessages, f.ledger)
	if err != nil {
		return err
	}
	f.missed = 0
	f.bar.begin(f.bar.what, int64(len(uids)))
	for done := 0; done < len(uids); {
		if err := f.ctx.Err(); err != nil {
			return localError{err}
		}
		some := uids[done:min(done+batchMessages, len(uids))]
		n, err := f.copyBatch(client, some)
		if err != nil {
			return err
		}
		done += n
		f.bar.at(int64(done))
	}
	return nil
}

// newUIDs asks for the UIDs of a folder and leaves out those that have come.
func newUIDs(client *imapclient.Client, exists uint32, l *ledger) (uids []imap.UID, err error) {
	found, err := client.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
	if err != nil {
		return nil, err
	}
	set, _ := found.All.(imap.UIDSet)
	total := uint64(0)
	for _, r := range set {
		if r.Start == 0 || r.Stop < r.Start {
			return nil, errors.New("the server sent UIDs that make no sense")
		}
		if total += uint64(r.Stop-r.Start) + 1; total > min(uint64(exists), maxMessages)+manyMore {
			return nil, errors.New("the server sent more UIDs than the folder has messages")
		}
		for uid := uint64(r.Start); uid <= uint64(r.Stop); uid++ {
			if !l.has(uid) {
				uids = append(uids, imap.UID(uid))
			}
		}
	}
	return uids, nil
}

// maxMessages is how many a folder there may have; their UIDs are in memory.
const maxMessages = 10_000_000

// manyMore is how many messages may come to a folder between two commands.
const manyMore = 10_000

// copyBatch copies the first of some messages, as many as are not too large together, and says how many that were.
func (f *copying) copyBatch(client *imapclient.Client, uids []imap.UID) (int, error) {
	headers, err := client.Fetch(imap.UIDSetNum(uids...), &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, RFC822Size: true}).Collect()
	if err != nil {
		return 0, err
	}
	byUID := make(map[imap.UID]*imapclient.FetchMessageBuffer, len(headers))
	for _, h := range headers {
		byUID[h.UID] = h
	}
	n, octets := 0, int64(0)
	var some []imap.UID
	for ; n < len(uids) && octets < batchOctets; n++ {
		if h := byUID[uids[n]]; h != nil && h.RFC822Size <= maxMessage {
			octets += max(h.RFC822Size, 0)
			some = append(some, h.UID)
		}
	}
	if len(some) > 0 {
		f.from.expect(2 * octets) // some count lines with LF
		err = f.copyTexts(client, some, byUID)
		if err != nil && !errors.As(err, new(*imap.Error)) { // a server that refuses one message has sent the others
			return 0, err
		}
	}
	f.missed += n - len(f.keys)
	f.from.expect(0)
	return n, wrapLocal(f.commit(f.ctx, 0))
}

// maxMessage is the size of the largest message that is copied.
const maxMessage = 1 << 30

// copyTexts fetches the messages into the batch.
func (f *copying) copyTexts(client *imapclient.Client, uids []imap.UID, headers map[imap.UID]*imapclient.FetchMessageBuffer) error {
	cmd := client.Fetch(imap.UIDSetNum(uids...), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		uid := imap.UID(0)
		for item := msg.Next(); item != nil; item = msg.Next() {
			switch item := item.(type) {
			case imapclient.FetchItemDataUID:
				uid = item.UID
			case imapclient.FetchItemDataBodySection:
				if h := headers[uid]; h != nil && item.Literal != nil {
					if err := f.copyText(h, item.Literal); err != nil {
						client.Close()
						cmd.Close()
						return err
					}
				}
			}
		}
	}
	return cmd.Close()
}

// copyText takes one message.
func (f *copying) copyText(h *imapclient.FetchMessageBuffer, text imap.LiteralReader) error {
	flags, keywords := splitFlags(h.Flags)
	draft, err := f.create(uint64(h.UID), flags, keywords, h.InternalDate)
	if err != nil {
		return localError{err}
	}
	n, err := io.Copy(marked{draft}, text)
	if err == nil && n != text.Size() {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// marked marks what writing fails with.
type marked struct{ io.Writer }

func (w marked) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	return n, wrapLocal(err)
}

func wrapLocal(err error) error {
	if err != nil {
		err = localError{err}
	}
	return err
}

// splitFlags divides flags into those of the system and keywords. What begins with a backslash and is unknown says nothing here.
func splitFlags(list []imap.Flag) (flags mailstore.Flags, keywords []string) {
	system := map[imap.Flag]mailstore.Flags{imap.FlagSeen: mailstore.Seen, imap.FlagAnswered: mailstore.Answered,
		imap.FlagFlagged: mailstore.Flagged, imap.FlagDeleted: mailstore.Deleted, imap.FlagDraft: mailstore.Draft}
	for _, f := range list {
		if len(f) > 0 && f[0] != '\\' {
			keywords = append(keywords, string(f))
			continue
		}
		for name, flag := range system {
			if strings.EqualFold(string(name), string(f)) {
				flags |= flag
			}
		}
	}
	return flags, keywords
}
