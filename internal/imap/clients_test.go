package imap

import (
	"strings"
	"testing"
)

// TestClients reads the commands of real programs, in their own spelling.
func TestClients(t *testing.T) {
	t.Parallel()
	clients := map[string][]string{
		"aerc": {
			`LOGIN "bob" "secret"`, `LIST "" "*" RETURN (STATUS (MESSAGES RECENT UNSEEN))`, `UID SEARCH CHARSET UTF-8 ALL`,
			`UID SEARCH CHARSET UTF-8 SUBJECT "a" SUBJECT "b"`, `UID STORE 4 +FLAGS.SILENT (\Deleted)`, `UID MOVE 4 "Archive"`,
			`UID FETCH 1:3 (BODYSTRUCTURE ENVELOPE INTERNALDATE FLAGS UID BODY.PEEK[HEADER])`,
			`UID FETCH 1 (ENVELOPE UID BODYSTRUCTURE FLAGS BODY.PEEK[HEADER] BODY.PEEK[TEXT])`,
			`APPEND "Sent" (\Seen) "22-Nov-2026 02:24:00 +0000" {3+}` + "\r\nabc", `IDLE`,
		},
		"alpine": {
			`AUTHENTICATE PLAIN AGEAYg==`, `ID ("name" "alpine" "version" "2.26")`, `LIST "" sent-mail`, `LIST sent-mail ""`,
			`LIST "" %`, `SEARCH UNANSWERED UNDELETED UNSEEN`, `FETCH 7 BODY[2]`, `FETCH 1:9 FLAGS`, `STORE 3 +FLAGS (\DELETED)`,
			`FETCH 1:3 (UID ENVELOPE BODY.PEEK[HEADER.FIELDS (Newsgroups Content-MD5)] INTERNALDATE RFC822.SIZE FLAGS)`,
			`FETCH 2 (BODYSTRUCTURE FLAGS)`, `COPY 3 Archive1`, `APPEND sent-mail {3}` + "\r\nabc", `CREATE postponed-msgs`,
		},
		"curl": {
			`LIST "" *`, `FETCH 1 BODY[]`, `FETCH 1 BODY[HEADER.FIELDS (Subject)]`, `SEARCH SUBJECT APP`,
			`STORE 1 +Flags \Deleted`, `EXPUNGE`, `APPEND INBOX (\Seen) {3}` + "\r\nabc", `SELECT INBOX`, `DELETE x`,
		},
		"doveadm": {
			`EXAMINE "INBOX"`, `STATUS "INBOX" (UIDNEXT UIDVALIDITY)`, `LSUB "" "*"`, `LIST "" ""`,
			`UID FETCH 5 (INTERNALDATE BODY.PEEK[])`, `UID FETCH 1:* (FLAGS MODSEQ)`,
		},
		"fetchmail": {
			`CAPABILITY`, `STARTTLS`, `LOGIN "a" "b"`, `SEARCH UNSEEN UNDELETED`, `FETCH 3 RFC822.HEADER`, `FETCH 3 BODY.PEEK[TEXT]`,
			`FETCH 1:9 RFC822.SIZE`, `STORE 3 +FLAGS (\Seen \Deleted)`, `EXPUNGE`,
		},
		"getmail": {`FETCH 1:9 (UID RFC822.SIZE)`, `UID FETCH 5 (BODY.PEEK[])`, `UID STORE 5 FLAGS (\Deleted \Seen)`, `CLOSE`},
		"go":      {`LOGIN "bob" {6}` + "\r\nsecret", `LOGOUT`},
		"mbsync": {
			`NAMESPACE`, `COMPRESS DEFLATE`, `LIST "" "*"`, `UID FETCH 1:2020 (UID FLAGS)`, `UID FETCH 4 (INTERNALDATE BODY.PEEK[])`,
			`UID STORE 4 +FLAGS.SILENT (\Flagged \Answered \Seen)`, `CHECK`, `CLOSE`,
			`APPEND "INBOX" "22-Nov-2026 02:24:00 +0000" {3+}` + "\r\nabc",
		},
		"mutt": {
			`ENABLE UTF8=ACCEPT`, `ENABLE QRESYNC`, `LIST "" ""`, `LIST "" "%" RETURN (CHILDREN)`, `SELECT "INBOX" (CONDSTORE)`,
			`STATUS "INBOX" (UIDNEXT UIDVALIDITY UNSEEN RECENT)`, `UID SEARCH BODY "x"`, `UID FETCH 1:5 (FLAGS) (CHANGEDSINCE 7 VANISHED)`,
			`FETCH 1:9 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM SENDER SUBJECT TO CC)])`,
			`UID FETCH 3 BODY.PEEK[]`, `UID COPY 3 "Trash"`, `APPEND "Sent" (\Seen) "22-Nov-2026 02:24:00 +0000" {3}` + "\r\nabc",
		},
		"neomutt": {`UID FETCH 1:9 (UID)`, `UID FETCH 1:9 (FLAGS) (CHANGEDSINCE 5)`, `STATUS "a" (UIDNEXT UIDVALIDITY UNSEEN RECENT MESSAGES)`},
		"offlineimap": {
			`ID ("name" "OfflineIMAP" "version" "8.0.0")`, `AUTHENTICATE PLAIN`, `FETCH 1:* (FLAGS UID INTERNALDATE)`,
			`UID STORE 1,3:5 +FLAGS (\Seen)`, `APPEND "INBOX" (\Seen) {3}` + "\r\nabc",
		},
		"python": {
			`LIST "" *`, `FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER])`,
			`SEARCH FLAGGED SUBJECT APP`, `SEARCH KEYWORD $kw`, `SEARCH OR FROM zz TEXT hi`,
			`SEARCH NOT SENTBEFORE 01-Jan-2020 LARGER 10`, `STORE 1 -FLAGS.SILENT (\Flagged)`,
			`STATUS box (MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT)`, `RENAME a "b c"`, `UNSUBSCRIBE a`,
		},
		"roundcube": {
			`ID ("name" "Roundcube" "version" "1.6.5" "php" "8.2.36" "os" "Linux" "command" "/?_task=mail")`,
			`LIST (SUBSCRIBED) "" "*"`, `LIST (SPECIAL-USE) "" "*" RETURN (SUBSCRIBED)`, `LIST "" "Gr&APYA3w-e &- Co"`, `LSUB "" Sent`,
			`STATUS INBOX (MESSAGES UNSEEN)`, `UID SEARCH 15`, `UID SEARCH ALL`, `UID FETCH 1 (BODY.PEEK[1.2])`,
			`UID SEARCH RETURN (ALL) OR HEADER SUBJECT {9+}` + "\r\n" + `KIND-HTML HEADER FROM KIND-HTML`,
			`UID FETCH 1:2 (UID RFC822.SIZE FLAGS INTERNALDATE BODY.PEEK[HEADER.FIELDS (DATE FROM)])`,
			`UID FETCH 1 (BODY.PEEK[1.MIME])`, `UID MOVE 3 Trash`, `APPEND Sent (\Seen) {3+}` + "\r\nabc",
		},
		"thunderbird": {
			`list (subscribed) "" "*" return (special-use)`, `UID fetch 1:* (FLAGS)`, `create "Trash"`, `subscribe "Trash"`,
			`UID fetch 1304:1339 (UID RFC822.SIZE BODY.PEEK[])`, `uid store 5 +Flags (\Seen)`, `uid store 5 +Flags ($label1)`,
			`UID fetch 3 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority ` +
				`X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])`,
			`uid move 3:4 "Projects"`, `append "Sent" (\Seen) {3+}` + "\r\nabc", `IDLE`, `noop`, `ID ("name" "Thunderbird" "version" "153.7.0")`,
		},
	}
	for client, commands := range clients {
		input := "t " + strings.Join(commands, "\r\nt ") + "\r\n"
		r, _ := newTestReader(input)
		for _, command := range commands {
			req, err := r.Next()
			if err != nil || req.Tag != "t" || !strings.HasPrefix(strings.ToUpper(command), req.Name) {
				t.Errorf("%s: %q: %+v, %v", client, command, req, err)
			}
			if in := incomingOf(req); in != nil {
				if _, err := readIncoming(in); err != nil {
					t.Errorf("%s: %v", client, err)
				}
			}
		}
	}
}
