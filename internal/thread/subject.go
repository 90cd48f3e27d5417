package thread

// joinSubjects joins threads whose first messages have the same base subject (RFC 5256 §3, THREAD=REFERENCES, steps 4 and 5).
func (f *forest) joinSubjects() {
	j := joiner{forest: f, subjects: make(map[string]int32)}
	tops := f.sorted()
	for _, top := range tops {
		j.gather(top)
	}
	for _, top := range tops {
		j.join(top)
	}
	for m := range f.messages {
		if into := j.merged[f.up[m]]; into != 0 {
			f.up[m] = into
		}
	}
}

// joiner joins threads, which it knows by their tops.
type joiner struct {
	*forest
	subjects map[string]int32 // the thread of a base subject
	merged   map[int32]int32  // where the answers of an absent message went
}

// speaker is the message whose subject is that of a thread.
func (j *joiner) speaker(top int32) int32 {
	if j.absent(top) {
		return j.first[top]
	}
	return top
}

func (j *joiner) reply(top int32) bool { return j.messages[j.speaker(top)].Reply() }

// gather chooses for each subject the thread that others are joined to: step 5 B.
func (j *joiner) gather(top int32) {
	subject := j.messages[j.speaker(top)].Subject()
	if subject == "" {
		return
	}
	other, taken := j.subjects[subject]
	if !taken || !j.absent(other) && (j.absent(top) || j.reply(other) && !j.reply(top)) {
		j.subjects[subject] = top
	}
}

// join joins a thread to that of its subject: step 5 C.
func (j *joiner) join(top int32) {
	subject := j.messages[j.speaker(top)].Subject()
	other, taken := j.subjects[subject]
	if !taken || other == top {
		return
	}
	switch {
	case j.absent(top): // and so is other
		if j.merged == nil {
			j.merged = make(map[int32]int32)
		}
		j.merged[top] = other
	case j.absent(other) || j.reply(top) && !j.reply(other):
		j.up[top] = other
	default:
		both := j.addAbsent()
		j.up[top], j.up[other] = both, both
		j.subjects[subject] = both
	}
}
