package pop3d

import "fmt"

// Summary is what became of a session, for its last line in the log.
type Summary struct {
	Reason    string // why it ended, in Dovecot's words
	Top, Retr int    // messages sent
	TopBytes  int64  // octets sent for them, the lines around them included
	RetrBytes int64
	Deleted   int   // messages removed at QUIT
	Messages  int   // in the mailbox at login
	Size      int64 // their octets
}

// String is the line that Dovecot logs.
func (s Summary) String() string {
	return fmt.Sprintf("Disconnected: %s top=%d/%d, retr=%d/%d, del=%d/%d, size=%d",
		s.Reason, s.Top, s.TopBytes, s.Retr, s.RetrBytes, s.Deleted, s.Messages, s.Size)
}
