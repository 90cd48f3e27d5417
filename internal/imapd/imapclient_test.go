package imapd

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// TestGoIMAP is a session with a client that others wrote, which parses all that it is sent.
func TestGoIMAP(t *testing.T) {
	t.Parallel()
	t.Run("IMAP4rev1", func(t *testing.T) { useGoIMAP(t, nil) })
	t.Run("IMAP4rev2", func(t *testing.T) { useGoIMAP(t, []imap.Cap{imap.CapIMAP4rev2}) })
}

func useGoIMAP(t *testing.T, enable []imap.Cap) {
	s := newServer(t)
	s.deliver("", "1000000.M1.h", "From: Bob <bob@example.test>\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nMIME-Version: 1.0\n"+
		"Content-Type: multipart/alternative; boundary=b\n\n--b\n\nplain\n--b\nContent-Type: text/html\n\n<p>html\n--b--\n")
	near, far := socketpair(t)
	done := make(chan *Summary, 1)
	o := s.options
	o.Folders = specials
	go func() { done <- serve(t.Context(), far, o, s.times) }()
	exists := make(chan uint32, 10)
	c := imapclient.New(greeted(near), &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				exists <- *data.NumMessages
			}
		},
	}})
	defer c.Close()

	if len(enable) > 0 {
		if data, err := c.Enable(enable...).Wait(); err != nil || len(data.Caps) != len(enable) {
			t.Fatal(data, err)
		}
	}
	folders, err := c.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true}, ReturnSpecialUse: true}).Collect()
	if err != nil || len(folders) != 4 || folders[0].Mailbox != "INBOX" || *folders[0].Status.NumMessages != 1 ||
		folders[1].Attrs[0] != imap.MailboxAttrDrafts {
		t.Fatal(folders, err)
	}
	inbox, err := c.Select("INBOX", nil).Wait()
	if err != nil || inbox.NumMessages != 1 || inbox.UIDNext != 2 {
		t.Fatal(inbox, err)
	}
	msgs, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{
		Envelope: true, Flags: true, InternalDate: true, RFC822Size: true, UID: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection:   []*imap.FetchItemBodySection{{Part: []int{2}}},
	}).Collect()
	if err != nil || len(msgs) != 1 {
		t.Fatal(msgs, err)
	}
	if m := msgs[0]; m.Envelope.Subject != "Grüße" || m.BodyStructure.MediaType() != "multipart/alternative" ||
		m.UID != 1 || string(m.BodySection[0].Bytes) != "<p>html" || m.RFC822Size == 0 {
		t.Errorf("%+v", m)
	}
	const text = "Subject: appended\r\n\r\nx\r\n"
	app := c.Append("INBOX", int64(len(text)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagFlagged, "$Kw"}, Time: time.Unix(1e9, 0)})
	if _, err := app.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	app.Close()
	if data, err := app.Wait(); err != nil || data.UID != 2 {
		t.Fatal(data, err)
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "APPEND"}}},
		&imap.SearchOptions{ReturnAll: true, ReturnCount: true}).Wait()
	if err != nil || found.Count != 1 || found.All.String() != "2" {
		t.Fatal(found, err)
	}
	moved, err := c.Move(imap.UIDSetNum(2), "Trash").Wait()
	if err != nil || moved.DestUIDs.String() != "1" {
		t.Fatal(moved, err)
	}
	for len(exists) > 0 {
		<-exists
	}
	idle, err := c.Idle()
	if err != nil {
		t.Fatal(err)
	}
	s.deliver("", "1000001.M1.h", "Subject: new\n\nx\n")
	select {
	case n := <-exists:
		if n != 2 {
			t.Error(n)
		}
	case <-time.After(patience):
		t.Fatal("no EXISTS")
	}
	if err := idle.Close(); err != nil {
		t.Fatal(err)
	}
	if err := idle.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := c.Logout().Wait(); err != nil {
		t.Fatal(err)
	}
	if sum := <-done; !strings.HasPrefix(sum.String(), "Logged out ") {
		t.Error(sum)
	}
}

// greeted is a connection on which the client finds the greeting that the front gives.
func greeted(conn net.Conn) net.Conn {
	greeting := bytes.NewBufferString("* PREAUTH [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ UIDPLUS MOVE ESEARCH IDLE LIST-EXTENDED LIST-STATUS SPECIAL-USE] hello\r\n")
	return &greetedConn{Conn: conn, r: io.MultiReader(greeting, conn)}
}

type greetedConn struct {
	net.Conn
	r io.Reader
}

func (c *greetedConn) Read(b []byte) (int, error) { return c.r.Read(b) }
