package mailbox

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"postrider/internal/mailstore"
	"postrider/internal/prompt"
)

// importIMAP is `postrider mailbox import imap`.
func importIMAP(ctx context.Context, c *command, args []string) error {
	startTLS := c.flags.Bool("starttls", false, "")
	ca := c.flags.String("ca", "", "")
	passwordFile := c.flags.String("password-file", "", "")
	if err := c.parse(args, 2, 2); err != nil {
		return err
	}
	err := c.configure()
	if err != nil {
		return err
	}
	from := &server{user: c.flags.Arg(0), startTLS: *startTLS, rest: firstRest, report: c.remark}
	if err := from.locate(c.flags.Arg(1), *ca); err != nil {
		return err
	}
	if from.password, err = readPassword(*passwordFile, from.user+" at "+from.address); err != nil {
		return err
	}
	if err := c.open(); err != nil {
		return err
	}
	lock, err := onlyOne(ctx, c.maildir)
	if err != nil {
		return err
	}
	defer lock.Close()
	defer from.close()
	return copyAccount(ctx, c, from)
}

// remark tells of something that needs nothing to be done.
func (c *command) remark(format string, args ...any) {
	fmt.Fprintf(c.err, "%s\n", oneLine(fmt.Sprintf(format, args...)))
}

// readPassword takes the first line of a file that nobody else may read, or asks for it.
func readPassword(path, whose string) (string, error) {
	if path == "" {
		tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
		if err != nil {
			return "", fmt.Errorf("no terminal to ask for a password: use -password-file (%w)", err)
		}
		defer tty.Close()
		return prompt.Ask(tty, "Password of "+whose+": ")
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		err = errors.New("others may read it")
	}
	if err != nil {
		return "", fmt.Errorf("password in %s: %w", path, err)
	}
	password, err := prompt.Line(file)
	if err != nil {
		return "", fmt.Errorf("password in %s: %w", path, err)
	}
	return password, nil
}

// copyAccount copies all folders.
func copyAccount(ctx context.Context, c *command, from *server) error {
	var list *listing
	nothing := func() int { return 0 }
	err := from.do(ctx, nothing, func(client *imapclient.Client) (err error) {
		list, err = listFolders(client)
		return err
	})
	if err != nil {
		return err
	}
	if !list.known {
		c.remark("%s does not tell what is subscribed: all folders will be", from.address)
	}
	bar, messages := newProgress(c.err), 0
	folders := plan(list, c.conf.Folders)
	for i, folder := range folders {
		bar.begin(fmt.Sprintf("%s (%d of %d)", folder.name, i+1, len(folders)), 1)
		n, err := copyFolder(ctx, c, from, folder, bar)
		messages += n
		bar.clear()
		var refused *imap.Error
		switch {
		case err == nil:
		case errors.As(err, &refused), errors.Is(err, mailstore.ErrName), errors.Is(err, errOtherSource):
			c.complain("%s: %v", folder.name, err) // the other folders can be copied all the same
			continue
		default:
			return fmt.Errorf("%s: %w", folder.name, err)
		}
		if folder.subscribed {
			if err := c.store.Subscribe(ctx, folder.target, true); err != nil {
				return err
			}
		}
	}
	from.logout()
	fmt.Fprintf(c.out, "%d messages copied, in %d folders\n", messages, len(folders))
	return nil
}
