package session

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"

	"postrider/internal/auth"
	"postrider/internal/crew"
	"postrider/internal/imap"
	"postrider/internal/imapd"
	"postrider/internal/pop3d"
)

// Engines are those of the suite, by service. Who helps them is as many as there are processors when it is called: before Main.
func Engines() map[string]Engine {
	e := &engines{crew: crew.New(runtime.GOMAXPROCS(0))}
	return map[string]Engine{"imap": e.serveIMAP, "pop3": e.servePOP3}
}

// engines are what sessions have in common.
type engines struct{ crew *crew.Crew }

func (e *engines) serveIMAP(_ context.Context, r *Request) (Serve, error) {
	o := &imapd.Options{
		Store: r.Store, Tag: r.Tag, MessageSize: r.Settings.MessageSize, IdleTimeout: r.Settings.IMAPIdle, Log: r.Log,
		Crew: e.crew,
	}
	for _, f := range r.Settings.Folders {
		o.Folders = append(o.Folders, imapd.SpecialFolder{Attr: imap.MailboxAttr(`\` + f.Attr), Name: f.Name})
	}
	return func(ctx context.Context, conn net.Conn) string { return imapd.Serve(ctx, conn, o).String() }, nil
}

func (e *engines) servePOP3(ctx context.Context, r *Request) (Serve, error) {
	s, err := pop3d.Open(ctx, pop3d.Options{
		Store: r.Store, Maildir: r.Maildir, User: r.User, IdleTimeout: r.Settings.POP3Idle, Log: r.Log,
		Crew: e.crew,
	})
	if errors.Is(err, pop3d.ErrInUse) {
		return nil, auth.ErrInUse
	}
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, conn net.Conn) string {
		return strings.TrimPrefix(s.Serve(ctx, conn).String(), "Disconnected: ") // which the log line has already
	}, nil
}
