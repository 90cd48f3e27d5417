package maildir

// Make makes what is missing of a Maildir, durable, as a delivery into it does.
func Make(p Place) error {
	b := NewBatch()
	defer b.Close()
	_, err := b.open(p, false)
	return err
}
