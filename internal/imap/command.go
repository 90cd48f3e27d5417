package imap

// Commands without arguments.
type (
	Capability struct{}
	Noop       struct{}
	Logout     struct{}
	StartTLS   struct{}
	Check      struct{}
	Close      struct{}
	Unselect   struct{} // RFC 3691
	Namespace  struct{} // RFC 2342
	Idle       struct{} // RFC 2177; then Reader.ReadDone
)

// Mailbox names in commands are UTF-8, INBOX is upper case (see DecodeMailbox).
type (
	// Login is LOGIN (RFC 3501 §6.2.3).
	Login struct{ User, Password string }

	// Authenticate is AUTHENTICATE, with the initial response of RFC 4959 decoded, or nil; then Reader.ReadSASL.
	Authenticate struct {
		Mechanism string // in upper case
		Initial   []byte // not nil where there was one, though it may be empty
	}

	// ID is what the client says of itself (RFC 2971); nil is NIL.
	ID struct{ Params []IDParam }

	// Enable is ENABLE (RFC 5161); unknown names are ignored, and no error.
	Enable struct{ Capabilities []string } // in upper case

	// Compress is COMPRESS (RFC 4978).
	Compress struct{ Algorithm string } // in upper case

	// Select is SELECT or EXAMINE.
	Select struct {
		Mailbox   string
		ReadOnly  bool // EXAMINE
		CondStore bool // RFC 7162 §3.1.8
		QResync   *QResync
	}

	// Create is CREATE, with the special uses of RFC 6154 §3.
	Create struct {
		Mailbox string
		Use     []MailboxAttr
	}
	// Delete is DELETE.
	Delete struct{ Mailbox string }
	// Rename is RENAME.
	Rename struct{ From, To string }
	// Subscribe is SUBSCRIBE.
	Subscribe struct{ Mailbox string }
	// Unsubscribe is UNSUBSCRIBE.
	Unsubscribe struct{ Mailbox string }

	// List is LIST with the selection and return options of RFC 5258, 5819 and 6154.
	List struct {
		Reference string
		Patterns  []string
		Select    ListOptions
		Return    ListOptions
		Status    StatusItems // RETURN (STATUS (...))
		Extended  bool        // has options or several patterns
	}
	// LSub is LSUB.
	LSub struct{ Reference, Pattern string }

	// Status is STATUS.
	Status struct {
		Mailbox string
		Items   StatusItems
	}

	// Append is APPEND. The messages are still to be read.
	Append struct {
		Mailbox  string
		Messages *Incoming
	}
	// Replace is REPLACE or UID REPLACE (RFC 8508).
	Replace struct {
		UID     bool
		Message uint32 // number or UID; 0 is "*"
		Mailbox string
		By      *Incoming // one message
	}

	// Expunge is EXPUNGE, or UID EXPUNGE (RFC 4315) if there is a set.
	Expunge struct {
		UID bool
		Set Set
	}
	// Copy is COPY or UID COPY.
	Copy struct {
		UID     bool
		Set     Set
		Mailbox string
	}
	// Move is MOVE or UID MOVE (RFC 6851).
	Move struct {
		UID     bool
		Set     Set
		Mailbox string
	}

	// Fetch is FETCH or UID FETCH.
	Fetch struct {
		UID          bool
		Set          Set
		Items        []FetchItem
		ChangedSince *uint64      // RFC 7162 §3.1.4.1
		Vanished     bool         // RFC 7162 §3.2.6, only beside ChangedSince
		Partial      *ResultRange // RFC 9394 §3.3
	}

	// Store is STORE or UID STORE.
	Store struct {
		UID            bool
		Set            Set
		Op             StoreOp
		Silent         bool
		Flags          []Flag
		UnchangedSince *uint64 // RFC 7162 §3.1.3
	}

	// Search is SEARCH or UID SEARCH.
	Search struct {
		UID      bool
		Extended bool // RETURN was given: answer with ESEARCH
		Return   SearchReturn
		Partial  ResultRange // of ReturnPartial
		Charset  string      // in upper case; of the strings in Key, which are as they came; "" is US-ASCII
		Key      Key         // KeyAnd, at least one key
	}
)

// IDParam is a field of ID; NIL is !Valid.
type IDParam struct {
	Key, Value string
	Valid      bool
}

// QResync is what a client knows of a mailbox (RFC 7162 §3.2.5).
type QResync struct {
	UIDValidity uint32
	ModSeq      uint64
	Known       Set // may be nil
	MatchSeq    Set // message sequence match data: numbers, may be nil
	MatchUID    Set // and their UIDs
}

// ResultRange is some of many results, by their place (RFC 9394 §3.1): from 1 on counted from the first, from -1 on from the last. First
// is the one nearer to 1 or -1.
type ResultRange struct{ First, Last int64 }

// MailboxAttr is an attribute of a mailbox in LIST (RFC 3501 §7.2.2, 5258 §3, 6154 §2).
type MailboxAttr string

// Mailbox attributes.
const (
	AttrNoSelect      MailboxAttr = `\Noselect`
	AttrNonExistent   MailboxAttr = `\NonExistent`
	AttrSubscribed    MailboxAttr = `\Subscribed`
	AttrHasChildren   MailboxAttr = `\HasChildren`
	AttrHasNoChildren MailboxAttr = `\HasNoChildren`
	AttrAll           MailboxAttr = `\All`
	AttrArchive       MailboxAttr = `\Archive`
	AttrDrafts        MailboxAttr = `\Drafts`
	AttrFlagged       MailboxAttr = `\Flagged`
	AttrJunk          MailboxAttr = `\Junk`
	AttrSent          MailboxAttr = `\Sent`
	AttrTrash         MailboxAttr = `\Trash`
)

// ListOptions are the selection options and the return options of LIST.
type ListOptions uint8

// List options.
const (
	ListSubscribed     ListOptions = 1 << iota
	ListRemote                     // selection only
	ListRecursiveMatch             // selection only
	ListSpecialUse
	ListChildren // return only
)

// StatusItems is what STATUS asks for.
type StatusItems uint16

// Status items.
const (
	StatusMessages StatusItems = 1 << iota
	StatusRecent
	StatusUIDNext
	StatusUIDValidity
	StatusUnseen
	StatusSize           // RFC 8438
	StatusDeleted        // RFC 9051 §6.3.11
	StatusHighestModSeq  // RFC 7162
	StatusDeletedStorage // RFC 9208 §4.1.4
	StatusMailboxID      // RFC 8474 §4.3
	StatusAppendLimit    // RFC 7889 §3
)

// StoreOp is what STORE does with the flags.
type StoreOp uint8

// Store operations.
const (
	StoreReplace StoreOp = iota
	StoreAdd
	StoreRemove
)

// SearchReturn is what an extended SEARCH asks for (RFC 4731, 5182, 9394).
type SearchReturn uint8

// Search results.
const (
	ReturnMin SearchReturn = 1 << iota
	ReturnMax
	ReturnAll
	ReturnCount
	ReturnSave    // for the "$" of later commands
	ReturnPartial // instead of ReturnAll
)
