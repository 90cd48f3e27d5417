package mailstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"postrider/internal/maildir"
)

// maxObjectID is the longest identifier that RFC 8474 §3 allows.
const maxObjectID = 255

// ID is the folder's MAILBOXID (RFC 8474 §4): the GUID in its uidlist, which goes with it when it is renamed.
func (b *Mailbox) ID() string { return folderID(b.state.guid) }

// folderID is a GUID where that can be an identifier, else a hash of it.
func folderID(guid string) string {
	if guid == "" || len(guid) > maxObjectID || strings.ContainsFunc(guid, func(r rune) bool { return !isIDChar(r) }) {
		return ObjectID(guid)
	}
	return guid
}

func isIDChar(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '_' || r == '-'
}

// ObjectID makes an identifier of any text, the same for the same.
func ObjectID(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// ID is the MAILBOXID of a folder that has a list of UIDs, from the head of that.
func (s *Store) ID(name string) (string, error) {
	name, err := normalName(name)
	if err != nil {
		return "", err
	}
	dir, _ := s.dir(name)
	f, _, err := maildir.Open(dir+"/"+uidlistFile, os.O_RDONLY)
	if err != nil {
		return "", fmt.Errorf("identify %s: %w", name, err)
	}
	defer f.Close()
	line, err := newLineReader(f).next()
	if err != nil {
		return "", fmt.Errorf("identify %s: %w", name, err)
	}
	l, err := parseHeader(line)
	if err != nil {
		return "", fmt.Errorf("identify %s: %w", name, err)
	}
	return folderID(l.guid), nil
}

// guid is what Dovecot calls the message's GUID: a key in the uidlist of one that was copied, else the base name.
func (m *Message) guid() string {
	if guid, ok := m.Key('G'); ok && guid != "" {
		return guid
	}
	return m.Base()
}

// EmailID is the message's EMAILID (RFC 8474 §5.1), which copies share.
func (m *Message) EmailID() string { return "M" + ObjectID(m.guid()) }

// keepGUID has the uidlist say the GUID of a message that gets a copy under another base name; the folder's lock is held.
func (f *folder) keepGUID(base, guid string) {
	if strings.ContainsAny(guid, " \t\n") {
		return // it could not stand there
	}
	if f.newKeys == nil {
		f.newKeys = make(map[string]string)
	}
	f.newKeys[base] = "G" + guid
}

// Base names begin with the time at which they were made. Before minSaved, or after now, they begin with something else.
const (
	minSaved = 946684800 // 2000
	maxAhead = 24 * time.Hour
)

// Saved is when the message came into the folder (RFC 8514): a copy has a name of its own. The zero time is a name that does not tell.
func (m *Message) Saved() time.Time {
	base := m.Base()
	seconds, err := strconv.ParseInt(base[:digits(base)], 10, 64)
	if err != nil || seconds < minSaved {
		return time.Time{}
	}
	if t := time.Unix(seconds, 0); time.Until(t) < maxAhead {
		return t
	}
	return time.Time{}
}
