package mailstore

// Index is where a folder's state can be kept between sessions, so that opening a folder of which nothing changed reads no
// directory and no uidlist. It is disposable: what it returns is believed only while the files have the times that it names.
type Index interface {
	Load(dir string) (*State, error) // nil = nothing
	Save(dir string, s *State) error
}

// State is all that is known of a folder at a time. It never changes.
type State struct {
	UIDValidity uint32
	UIDNext     uint32
	ModSeq      uint64 // the largest that was given: HIGHESTMODSEQ
	GUID        string // of the mailbox
	Messages    []*Message
	Keywords    KeywordNames
	List        fileID // the uidlist
	New, Cur    Stamp  // the directories when listed

	vanished    []vanished // the last that went, in order
	vanishedAll uint64     // all that went after it are in vanished
}

// restore takes the state from the index, if the files are as it says.
func (f *folder) restore() *State {
	if f.store.opts.Index == nil || f.store.opts.Remote {
		return nil
	}
	s, err := f.store.opts.Index.Load(f.dir)
	if err != nil || s == nil || s.New.Young || s.Cur.Young || !f.sameFiles(s) {
		return nil
	}
	return s
}
