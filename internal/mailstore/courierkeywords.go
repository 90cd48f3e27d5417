package mailstore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"postrider/internal/maildir"
)

// maxCourierKeywords bounds the names of Courier's list, of which a folder here has room for 26.
const maxCourierKeywords = 4096

// courierKeywords are the keywords of messages as Courier keeps them: ":list" has the names and, for each message, which of them it
// has; files with the name of a message, or ".N." before it, are newer.
type courierKeywords struct {
	names KeywordNames
	used  Keywords // letters that names in cur have, or get
	sets  map[string]Keywords
}

// takeCourierKeywords gives the messages in cur the letters of their keywords, under the folder's lock. What is beyond 26 keywords is
// lost, as is what is no keyword.
func (f *folder) takeCourierKeywords() error {
	info, err := os.Lstat(f.path(courierKeywordsDir))
	if noFile(err) || err == nil && !info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	if err := f.readKeywords(); err != nil {
		return err
	}
	k := courierKeywords{names: f.keywords, used: f.usedLetters(), sets: make(map[string]Keywords)}
	if err := k.read(f.path(courierKeywordsDir), f.cur.names); err != nil {
		return err
	}
	if k.names != f.keywords {
		if err := f.writeKeywords(context.Background(), k.names); err != nil {
			return err
		}
	}
	return f.setLetters(k.sets)
}

// setLetters adds letters to the names of files in cur, durable.
func (f *folder) setLetters(sets map[string]Keywords) error {
	before, errStat := statID(f.path("cur"))
	renamed := false
	for base, set := range sets {
		name := f.cur.names[base]
		flags, keywords := parseInfo(name)
		to := withInfo(name, flags, keywords|set)
		if to == name {
			continue
		}
		err := os.Rename(f.path("cur/"+name), f.path("cur/"+to))
		if errors.Is(err, fs.ErrNotExist) {
			continue // another renamed it, or it is gone: the next listing tells
		}
		if err != nil {
			return err
		}
		f.cur.names[base], renamed = to, true
	}
	if !renamed {
		return nil
	}
	f.noteCur(before, errStat)
	return syncDir(f.path("cur"))
}

// read reads the directory, for the messages whose base names cur has.
func (k *courierKeywords) read(dir string, cur map[string]string) error {
	wanted := func(base string) bool { _, ok := cur[base]; return ok }
	list, _, err := maildir.Open(dir+"/:list", os.O_RDONLY)
	if err == nil {
		err = k.parseList(list, wanted)
		list.Close()
	}
	if err != nil && !noFile(err) {
		return err
	}
	updates, err := courierUpdates(dir, wanted)
	if err != nil {
		return err
	}
	for base, name := range updates {
		if err := k.update(dir+"/"+name, base); err != nil {
			return err
		}
	}
	return nil
}

// parseList reads names, an empty line, and "<base>:<number> ..." lines.
func (k *courierKeywords) parseList(r io.Reader, wanted func(base string) bool) error {
	lines := newLineReader(r)
	var letters []Keywords // of the names, in order; 0 = it gets none
	for names := true; ; {
		line, err := lines.next()
		switch {
		case err == io.EOF:
			return nil
		case err == errLongLine && names: // a name all the same, that the numbers count
			letters = append(letters, 0)
		case err == errLongLine:
		case err != nil:
			return err
		case names && line == "":
			names = false
		case names:
			if len(letters) < maxCourierKeywords {
				letters = append(letters, k.letter(line))
			}
		default:
			base, numbers, _ := strings.Cut(line, ":")
			if wanted(base) {
				k.sets[base] = lettersOf(numbers, letters)
			}
		}
	}
}

func lettersOf(numbers string, letters []Keywords) (set Keywords) {
	for field := range strings.FieldsSeq(numbers) {
		if n, err := strconv.Atoi(field); err == nil && 0 <= n && n < len(letters) {
			set |= letters[n]
		}
	}
	return set
}

// letter returns the letter of a keyword, which may get one, or 0.
func (k *courierKeywords) letter(name string) Keywords {
	if !ValidKeyword(name) {
		return 0
	}
	i := k.names.find(name)
	if i < 0 {
		var err error
		if i, err = k.names.add(name, k.used); err != nil {
			return 0
		}
	}
	k.used |= 1 << i
	return 1 << i
}

// courierUpdates finds the newest file of each message: its plain name, else that with the largest number.
func courierUpdates(dir string, wanted func(base string) bool) (map[string]string, error) {
	type update struct {
		name  string
		newer uint64
	}
	found := make(map[string]update)
	err := eachName(dir, func(name string) {
		base, newer := name, uint64(1<<63)
		if rest, numbered := strings.CutPrefix(name, "."); numbered {
			number, of, _ := strings.Cut(rest, ".")
			n, err := strconv.ParseUint(number, 10, 63)
			if err != nil {
				return
			}
			base, newer = of, n
		}
		if old, twice := found[base]; wanted(base) && (!twice || newer > old.newer) {
			found[base] = update{name, newer}
		}
	})
	names := make(map[string]string, len(found))
	for base, u := range found {
		names[base] = u.name
	}
	return names, err
}

// update reads the keywords of one message, one in a line; none is none.
func (k *courierKeywords) update(path, base string) error {
	f, _, err := maildir.Open(path, os.O_RDONLY)
	if noFile(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxLine))
	if err != nil {
		return err
	}
	k.sets[base] = 0
	for name := range strings.SplitSeq(string(text), "\n") {
		k.sets[base] |= k.letter(name)
	}
	return nil
}
