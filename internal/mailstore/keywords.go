package mailstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"postrider/internal/maildir"
)

const keywordsFile = "dovecot-keywords"

// KeywordNames are the names of a folder's letters; "" = a letter that has none.
type KeywordNames [MaxKeywords]string

// parseKeywords reads "<0-25> <keyword>" lines; others are passed over. A name counts once.
func parseKeywords(r io.Reader) (names KeywordNames, err error) {
	lines := newLineReader(io.LimitReader(r, maxLine*MaxKeywords))
	for {
		line, err := lines.next()
		if err == io.EOF {
			return names, nil
		}
		if err == errLongLine {
			continue
		}
		if err != nil {
			return names, err
		}
		index, name, _ := strings.Cut(line, " ")
		i, err := strconv.Atoi(index)
		if err == nil && 0 <= i && i < MaxKeywords && ValidKeyword(name) && names.find(name) < 0 {
			names[i] = name
		}
	}
}

// ValidKeyword says whether name is an atom (RFC 3501 §9) that fits.
func ValidKeyword(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}

func (k *KeywordNames) find(name string) int {
	for i, n := range k {
		if n != "" && strings.EqualFold(n, name) {
			return i
		}
	}
	return -1
}

// named are the letters that have a name.
func (k *KeywordNames) named() (set Keywords) {
	for i, n := range k {
		if n != "" {
			set |= 1 << i
		}
	}
	return set
}

func (k *KeywordNames) names(set Keywords) (list []string) {
	for i, n := range k {
		if n != "" && set&(1<<i) != 0 {
			list = append(list, n)
		}
	}
	return list
}

// add gives a name a letter: a free one, or, when none is left, one that is not in used.
func (k *KeywordNames) add(name string, used Keywords) (int, error) {
	for _, reclaim := range []bool{false, true} {
		for i, n := range k {
			if used&(1<<i) == 0 && (n == "" || reclaim) {
				k[i] = name
				return i, nil
			}
		}
	}
	return -1, ErrKeywordLimit
}

func (k *KeywordNames) String() string {
	var b strings.Builder
	for i, n := range k {
		if n != "" {
			fmt.Fprintf(&b, "%d %s\n", i, n)
		}
	}
	return b.String()
}

// readKeywords reads the folder's names if the file has changed.
func (f *folder) readKeywords() error {
	path := f.path(keywordsFile)
	id, err := statID(path)
	if errors.Is(err, fs.ErrNotExist) {
		f.setKeywords(KeywordNames{}, fileID{})
		return nil
	}
	if err != nil || id == f.keywordsID {
		return err
	}
	names, err := readKeywordNames(path)
	if err != nil {
		return err
	}
	f.setKeywords(names, id)
	return nil
}

// readKeywordNames reads the file at path; there need not be one.
func readKeywordNames(path string) (KeywordNames, error) {
	file, _, err := maildir.Open(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return KeywordNames{}, nil
	}
	if err != nil {
		return KeywordNames{}, err
	}
	defer file.Close()
	return parseKeywords(file)
}

func (f *folder) setKeywords(names KeywordNames, id fileID) { f.keywords, f.keywordsID = names, id }

// letters returns the letters of keywords. With make set, under the folder's lock, those that have none get one, but not one
// of taken: those of files that the folder got since it was read.
func (f *folder) letters(ctx context.Context, keywords []string, make bool, taken Keywords) (set Keywords, err error) {
	if len(keywords) == 0 {
		return 0, nil
	}
	if err := f.readKeywords(); err != nil {
		return 0, err
	}
	names, used := f.keywords, Keywords(0)
	for _, k := range keywords {
		if !ValidKeyword(k) {
			return 0, fmt.Errorf("%w: %.60q", ErrKeyword, k)
		}
		i := names.find(k)
		if i < 0 && !make {
			continue
		}
		if i < 0 {
			if used == 0 {
				used = f.usedLetters() | taken
			}
			if i, err = names.add(k, used|set); err != nil {
				return 0, err
			}
		}
		set |= 1 << i
	}
	if names == f.keywords {
		return set, nil
	}
	return set, f.writeKeywords(ctx, names)
}

// writeKeywords makes names the folder's, under its lock.
func (f *folder) writeKeywords(ctx context.Context, names KeywordNames) error {
	lock, err := takeDotlock(ctx, f.path(keywordsFile+".lock"), f.store.opts.LockTimeout)
	var id fileID
	if err == nil {
		defer lock.release()
		id, err = lock.write(f.path(keywordsFile), names.String())
	}
	if err != nil {
		return fmt.Errorf("write keywords: %w", diskError(err))
	}
	f.setKeywords(names, id)
	return nil
}

// usedLetters are the letters of all messages, under the lock, where the state is up to date.
func (f *folder) usedLetters() (used Keywords) {
	if f.state != nil {
		for _, m := range f.state.messages {
			used |= m.Keywords
		}
	}
	for _, names := range []map[string]string{f.cur.names, f.new.names} {
		for _, name := range names {
			_, k := parseInfo(name)
			used |= k
		}
	}
	return used
}
