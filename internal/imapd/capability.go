package imapd

import (
	"fmt"
	"strconv"
)

// capabilities are those of RFC 3501 and of what else is here whole. Some are of the time before login only; as in Dovecot
// they stand here for clients that ask but once.
func (s *session) capabilities() []string {
	list := []string{
		"IMAP4rev1", "IMAP4rev2", "SASL-IR", "ID", "ENABLE", "IDLE", "LITERAL+", "NAMESPACE", "UIDPLUS", "MOVE", "UNSELECT",
		"CHILDREN", "LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE", "ESEARCH", "CONDSTORE", "QRESYNC",
		"SEARCHRES", "WITHIN", "STATUS=SIZE", "PARTIAL", "UIDONLY", "INPROGRESS", fmt.Sprintf("MESSAGELIMIT=%d", s.o.limit),
		"SORT", "SORT=DISPLAY", "ESORT", "THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES", "THREAD=REFS",
		"QUOTA", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE", "OBJECTID", "SAVEDATE", "METADATA", "CREATE-SPECIAL-USE", "NOTIFY",
		"BINARY", "MULTIAPPEND", "CATENATE", "REPLACE", "UTF8=ACCEPT", "PREVIEW", s.appendLimit(),
	}
	if !s.compressed {
		list = append(list, "COMPRESS=DEFLATE")
	}
	return list
}

// appendLimit is the capability of RFC 7889: without a number, STATUS says that there is no limit.
func (s *session) appendLimit() string {
	if s.o.MessageSize <= 0 {
		return "APPENDLIMIT"
	}
	return "APPENDLIMIT=" + strconv.FormatInt(s.o.MessageSize, 10)
}
