package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postrider/internal/fault"
	"postrider/internal/maildir"
	"postrider/internal/mutf7"
)

const (
	subscriptionsFile    = "subscriptions"
	subscriptionsVersion = "V\t2"
	maxSubscriptions     = 16 << 20 // octets
)

var errTooManySubscriptions = errors.New("there are too many")

// tabEscapes are Dovecot's, of a part of a name in version 2.
var (
	tabEscapes   = strings.NewReplacer("\x01", "\x011", "\t", "\x01t", "\r", "\x01r", "\n", "\x01n", "\x00", "\x010")
	tabUnescapes = strings.NewReplacer("\x011", "\x01", "\x01t", "\t", "\x01r", "\r", "\x01n", "\n", "\x010", "\x00")
)

// parseSubscriptions reads either version; what is no folder's name is kept as it stands.
func parseSubscriptions(r io.Reader) (names []string, err error) {
	lines := newLineReader(io.LimitReader(r, maxSubscriptions))
	version2, seen := false, make(map[string]bool)
	for first := true; ; first = false {
		line, err := lines.next()
		switch {
		case err == io.EOF:
			return names, nil
		case err == errLongLine:
			continue
		case err != nil:
			return names, err
		case first && line == subscriptionsVersion:
			version2 = true
			continue
		case line == "":
			continue
		}
		if version2 && strings.ContainsAny(line, "\t\x01") {
			parts := strings.Split(line, "\t")
			for i, p := range parts {
				parts[i] = tabUnescapes.Replace(p)
			}
			line = strings.Join(parts, Separator)
		}
		if name, ok := mutf7.Decode(line); ok {
			line = name
		}
		if !seen[line] {
			seen[line] = true
			names = append(names, line)
		}
	}
}

// formatSubscriptions writes version 2.
func formatSubscriptions(names []string) string {
	var b strings.Builder
	b.WriteString(subscriptionsVersion + "\n\n")
	for _, name := range names {
		b.WriteString(subscriptionLine(name))
	}
	return b.String()
}

// subscriptionLine is a name in version 2.
func subscriptionLine(name string) string {
	if name = mutf7.Encode(name); strings.ContainsAny(name, ".\x00\x01\t\r\n") {
		parts := strings.Split(name, Separator)
		for i, p := range parts {
			parts[i] = tabEscapes.Replace(p)
		}
		name = strings.Join(parts, "\t")
	}
	return name + "\n"
}

// Subscriptions returns the names that the user subscribed to, in their order; the folders need not exist.
func (s *Store) Subscriptions() ([]string, error) {
	f, _, err := maildir.Open(filepath.Join(s.root, subscriptionsFile), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		names, _, err := s.courierSubscribed()
		return names, err
	}
	if err != nil {
		return nil, fmt.Errorf("read subscriptions: %w", err)
	}
	defer f.Close()
	names, err := parseSubscriptions(f)
	if err != nil {
		return nil, fmt.Errorf("read subscriptions: %w", err)
	}
	return names, nil
}

// NeverSubscribed says that there is no list of subscriptions yet, not even an empty one, and none of Courier.
func (s *Store) NeverSubscribed() (bool, error) {
	for _, name := range []string{subscriptionsFile, courierSubscriptions} {
		if _, err := os.Lstat(filepath.Join(s.root, name)); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				err = fmt.Errorf("look for subscriptions: %w", err)
			}
			return false, err
		}
	}
	return true, nil
}

// SubscribeFirst makes the list of subscriptions, in one step, if there is none.
func (s *Store) SubscribeFirst(ctx context.Context, names []string) error {
	path := filepath.Join(s.root, subscriptionsFile)
	lock, err := takeDotlock(ctx, path+".lock", s.opts.LockTimeout)
	if err != nil {
		return fmt.Errorf("lock subscriptions: %w", diskError(err))
	}
	defer lock.release()
	if never, err := s.NeverSubscribed(); err != nil || !never {
		return err
	}
	if _, err := lock.write(path, formatSubscriptions(names)); err != nil {
		return fmt.Errorf("write subscriptions: %w", diskError(err))
	}
	return nil
}

// Subscribe adds a name to the subscriptions, or takes it off.
func (s *Store) Subscribe(ctx context.Context, name string, on bool) error {
	normal, err := normalName(name)
	if err != nil && on {
		return err
	}
	if err == nil {
		name = normal
	}
	path := filepath.Join(s.root, subscriptionsFile)
	lock, err := takeDotlock(ctx, path+".lock", s.opts.LockTimeout)
	if err != nil {
		return fmt.Errorf("lock subscriptions: %w", diskError(err))
	}
	defer lock.release()
	names, err := s.Subscriptions()
	i := slices.Index(names, name)
	if err != nil || on == (i >= 0) {
		return err
	}
	done := false
	if on {
		names = append(names, name)
		done, err = appendSubscription(path, name)
	} else {
		names = slices.Delete(names, i, i+1)
	}
	if err == nil && !done {
		if contents := formatSubscriptions(names); len(contents) > maxSubscriptions {
			err = errTooManySubscriptions
		} else {
			_, err = lock.write(path, contents)
		}
	}
	if err != nil {
		return fmt.Errorf("write subscriptions: %w", diskError(err))
	}
	return nil
}

// appendSubscription adds a line to the file, under its lock, durably. ok is false if there is none of version 2, or its end is torn: nobody
// was told of what a power cut leaves of a line.
func appendSubscription(path, name string) (ok bool, err error) {
	f, info, err := maildir.Open(path, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return false, nil // another file may be put there
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	var head [len(subscriptionsVersion + "\n")]byte
	if _, err := f.ReadAt(head[:], 0); err != nil || string(head[:]) != subscriptionsVersion+"\n" || !endsLine(f, info.Size()) {
		return false, nil
	}
	line := subscriptionLine(name)
	if info.Size()+int64(len(line)) > maxSubscriptions {
		return false, errTooManySubscriptions
	}
	if _, err = f.WriteAt([]byte(line), info.Size()); err == nil {
		fault.Point("mailstore.subscribed")
		err = fdatasync(f)
	}
	if err != nil {
		f.Truncate(info.Size()) // what stays of it was not answered
	}
	return true, err
}
