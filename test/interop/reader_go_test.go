//go:build interop

package interop

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"postrider/test/suite"
)

// goClient is Go's imapclient, and what its server tells it unasked.
type goClient struct {
	*imapclient.Client
	t    *testing.T
	news chan string
}

func (a *account) goConnect(dial func(string, *imapclient.Options) (*imapclient.Client, error), service string) *goClient {
	t := a.t
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(readFile(t, a.ca)))
	c := &goClient{t: t, news: make(chan string, 1000)}
	client, err := dial(a.at(service), &imapclient.Options{TLSConfig: &tls.Config{RootCAs: roots}, UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Expunge: func(n uint32) { c.news <- fmt.Sprint("expunge ", n) },
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				c.news <- fmt.Sprint("messages ", *data.NumMessages)
			}
		},
		Fetch: func(msg *imapclient.FetchMessageData) {
			if m, err := msg.Collect(); err == nil {
				flags := slices.DeleteFunc(m.Flags, func(f imap.Flag) bool { return f == `\Recent` })
				slices.Sort(flags)
				c.news <- fmt.Sprintf("flags of %d: %v", m.SeqNum, flags)
			}
		},
	}})
	must(t, err)
	t.Cleanup(func() { client.Close() })
	c.Client = client
	return c
}

// told waits until the server has told something unasked.
func (c *goClient) told(what string) {
	c.t.Helper()
	began := time.Now()
	var others []string
	for deadline := time.After(20 * time.Second); ; {
		select {
		case news := <-c.news:
			if news == what {
				c.t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
				return
			}
			others = append(others, news)
		case <-deadline:
			c.t.Fatalf("was not told: %s, but %q", what, others)
		}
	}
}

// message fetches one.
func (c *goClient) message(set imap.NumSet, options imap.FetchOptions) *imapclient.FetchMessageBuffer {
	c.t.Helper()
	all, err := c.Fetch(set, &options).Collect()
	must(c.t, err)
	if len(all) != 1 {
		c.t.Fatalf("%d messages for %v", len(all), set)
	}
	return all[0]
}

func readWithGo(a *account) {
	t := a.t
	texts := a.seed(8)
	a.deliver("Kept", seedMessage(51))
	for _, c := range []*goClient{a.goConnect(imapclient.DialStartTLS, "imap"), a.goConnect(imapclient.DialTLS, "imaps")} {
		if err := c.Login(a.user, "pässwörd\"\\").Wait(); err == nil { // as literals
			t.Error("a wrong password is taken")
		}
		must(t, c.Login(a.user, suite.Password).Wait())
		must(t, c.Logout().Wait())
	}
	c := a.goConnect(imapclient.DialTLS, "imaps")
	must(t, c.Login(a.user, suite.Password).Wait())
	_, err := c.ID(&imap.IDData{Name: "Go", Version: "2"}).Wait()
	must(t, err)
	namespace, err := c.Namespace().Wait()
	if err != nil || len(namespace.Personal) != 1 {
		t.Fatalf("%v %v", namespace, err)
	}
	goFolders(c, namespace.Personal[0].Delim)
	goMessages(c, texts)
	goMoves(c, a, texts)
	goIdle(c, a)
	must(t, c.Logout().Wait())
}

// goFolders are listed with what is in them.
func goFolders(c *goClient, delim rune) {
	t := c.t
	inner := "Grüße & mehr" + string(delim) + "日本"
	must(t, c.Create("Grüße & mehr", nil).Wait())
	must(t, c.Create(inner, nil).Wait())
	must(t, c.Subscribe(inner).Wait())
	list := func(options *imap.ListOptions) map[string]*imap.ListData {
		t.Helper()
		all, err := c.List("", "*", options).Collect()
		must(t, err)
		byName := make(map[string]*imap.ListData)
		for _, l := range all {
			byName[l.Mailbox] = l
		}
		return byName
	}
	all := list(&imap.ListOptions{ReturnSubscribed: true, ReturnChildren: true, ReturnSpecialUse: true, ReturnStatus: &imap.StatusOptions{NumMessages: true, NumUnseen: true, UIDNext: true}})
	for name, n := range map[string]uint32{"INBOX": 8, "Kept": 1, "Grüße & mehr": 0, inner: 0, "Sent": 0} {
		l := all[name]
		if l == nil || l.Status == nil || *l.Status.NumMessages != n || *l.Status.NumUnseen != n || l.Status.UIDNext != imap.UID(n+1) {
			t.Fatalf("LIST-STATUS says of %q %+v", name, l)
		}
	}
	if attrs := all["Sent"].Attrs; !slices.Contains(attrs, imap.MailboxAttrSent) || !slices.Contains(attrs, imap.MailboxAttrSubscribed) {
		t.Errorf("Sent: %q", attrs)
	}
	if attrs := all["Kept"].Attrs; slices.Contains(attrs, imap.MailboxAttrSubscribed) || !slices.Contains(attrs, imap.MailboxAttrHasNoChildren) {
		t.Errorf("Kept: %q", attrs)
	}
	if attrs := all["Grüße & mehr"].Attrs; !slices.Contains(attrs, imap.MailboxAttrHasChildren) {
		t.Errorf("a folder with another: %q", attrs)
	}
	if subscribed := list(&imap.ListOptions{SelectSubscribed: true}); subscribed[inner] == nil || subscribed["Kept"] != nil || subscribed["Trash"] == nil {
		t.Errorf("subscribed: %v", subscribed)
	}
	special := list(&imap.ListOptions{SelectSpecialUse: true})
	if special["INBOX"] != nil || special["Drafts"] == nil || special["Junk"] == nil {
		t.Errorf("special: %v", special)
	}
	must(t, c.Unsubscribe(inner).Wait())
	must(t, c.Delete(inner).Wait())
	must(t, c.Delete("Grüße & mehr").Wait())
}

func goMessages(c *goClient, texts []string) {
	t := c.t
	selected, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	if selected.NumMessages != 8 || selected.UIDNext != 9 || !slices.Contains(selected.PermanentFlags, imap.FlagWildcard) {
		t.Errorf("INBOX: %+v", selected)
	}
	section := &imap.FetchItemBodySection{Peek: true}
	all, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{UID: true, Flags: true, RFC822Size: true, Envelope: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	must(t, err)
	for i, m := range all {
		if text := texts[i]; !bytes.Equal(m.FindBodySection(section), []byte(text)) || m.RFC822Size != int64(len(text)) || m.UID != imap.UID(i+1) || len(m.Flags) > 1 {
			t.Errorf("message %d: %q", i+1, m.FindBodySection(section))
		}
		if m.Envelope.Subject != fmt.Sprintf("seed %d.", i) || m.Envelope.From[0].Name != fmt.Sprintf("Sender %d", i%7) || m.Envelope.MessageID != fmt.Sprintf("seed.%d@elsewhere.test", i) {
			t.Errorf("message %d: %+v", i+1, m.Envelope)
		}
	}
	if len(all) != 8 {
		t.Fatalf("%d messages", len(all))
	}
	mixed, ok := all[2].BodyStructure.(*imap.BodyStructureMultiPart)
	if !ok || mixed.Subtype != "mixed" || len(mixed.Children) != 2 || mixed.Children[1].(*imap.BodyStructureSinglePart).Filename() != "mango.bin" {
		t.Errorf("structure: %+v", all[2].BodyStructure)
	}
	part := &imap.FetchItemBodySection{Peek: true, Part: []int{2}, Partial: &imap.SectionPartial{Offset: 4, Size: 4}}
	if got := c.message(imap.UIDSetNum(3), imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{part}}).FindBodySection(part); string(got) != "AwQF" {
		t.Errorf("a part of a part: %q", got)
	}

	found, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "seed"}}, NotFlag: []imap.Flag{imap.FlagSeen}},
		&imap.SearchOptions{ReturnMin: true, ReturnMax: true, ReturnCount: true, ReturnAll: true}).Wait()
	must(t, err)
	if found.Min != 1 || found.Max != 8 || found.Count != 8 || found.All.String() != "1:8" {
		t.Errorf("ESEARCH: %+v", found)
	}
	found, err = c.Search(&imap.SearchCriteria{Body: []string{"Ελλάδα"}}, nil).Wait()
	if err != nil || !slices.Equal(found.AllSeqNums(), []uint32{2}) {
		t.Errorf("SEARCH with UTF-8: %+v %v", found, err)
	}
}

func goMoves(c *goClient, a *account, texts []string) {
	t := c.t
	moved, err := c.Move(imap.UIDSetNum(2, 3, 5), "Kept").Wait()
	must(t, err)
	if moved.SourceUIDs.String() != "2:3,5" || moved.DestUIDs.String() != "2:4" {
		t.Errorf("MOVE: %+v", moved)
	}
	for _, i := range []int{1, 2, 4} {
		a.has("Kept", texts[i], "")
		a.gone("", texts[i])
	}
	copied, err := c.Copy(imap.SeqSetNum(1), "Kept").Wait()
	if err != nil || copied.SourceUIDs.String() != "1" || copied.DestUIDs.String() != "5" {
		t.Errorf("COPY: %+v %v", copied, err)
	}
	must(t, c.Store(imap.UIDSetNum(1, 4), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	must(t, c.UIDExpunge(imap.UIDSetNum(1, 6)).Close())
	a.gone("", texts[0])
	a.has("", texts[3], "T")
	a.has("", texts[5], "")

	for _, size := range []int{10, 5000, 3 << 20} {
		text := append([]byte("Subject: large\r\n\r\n"), bytes.Repeat([]byte("0123456\r\n"), size/9)...)
		cmd := c.Append("Kept", int64(len(text)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen, "$Mine"}, Time: time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)})
		_, err := cmd.Write(text)
		must(t, err)
		must(t, cmd.Close())
		appended, err := cmd.Wait()
		must(t, err)
		other := a.goConnect(imapclient.DialTLS, "imaps")
		must(t, other.Login(a.user, suite.Password).Wait())
		_, err = other.Select("Kept", &imap.SelectOptions{ReadOnly: true}).Wait()
		must(t, err)
		section := &imap.FetchItemBodySection{Peek: true}
		m := other.message(imap.UIDSetNum(appended.UID), imap.FetchOptions{Flags: true, InternalDate: true, BodySection: []*imap.FetchItemBodySection{section}})
		if !bytes.Equal(m.FindBodySection(section), text) || m.InternalDate.Unix() != 1580702706 || !slices.Contains(m.Flags, "$Mine") {
			t.Errorf("%d octets came back as %d, %v, %v", len(text), len(m.FindBodySection(section)), m.InternalDate, m.Flags)
		}
		other.Close()
	}
	must(t, c.Unselect().Wait())
}

// goIdle waits for what other programs do to the files.
func goIdle(c *goClient, a *account) {
	t := c.t
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	a.count("", 4)
	idle, err := c.Idle()
	must(t, err)
	a.deliver("", seedMessage(60))
	c.told("messages 5")
	a.deliver("", seedMessage(61))
	c.told("messages 6")
	a.mark("", seedMessage(60), "FS")
	c.told(`flags of 5: [\Flagged \Seen]`)
	a.remove("", seedMessage(60))
	c.told("expunge 5")
	must(t, idle.Close())
	must(t, idle.Wait())
	last, err := c.Fetch(imap.SeqSetNum(5), &imap.FetchOptions{UID: true}).Collect()
	if err != nil || len(last) != 1 || last[0].UID != 10 {
		t.Errorf("the UID after a delivery and a removal: %+v %v", last, err)
	}
}
