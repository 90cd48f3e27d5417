package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// decoder fills a Config from a parsed file and remembers the line of every key. It goes key by key, because the
// library stops at the first value that does not fit and ignores keys that it does not know.
type decoder struct {
	file     string
	meta     *toml.MetaData
	lines    map[string]int // dotted key → line
	problems Problems
}

// table fills the struct at v from the keys of a TOML table.
func (d *decoder) table(path toml.Key, keys map[string]toml.Primitive, v reflect.Value) {
	names := make([]string, 0, len(keys))
	for name, value := range keys {
		names = append(names, name)
		d.lines[extend(path, name).String()] = d.lineOf(extend(path, name), value)
	}
	slices.Sort(names)
	for _, name := range names {
		key := extend(path, name)
		field, ok := fieldOf(v, name)
		if !ok {
			d.unknown(key, fieldNames(v.Type()))
			continue
		}
		d.value(key, keys[name], field)
	}
}

// value fills one field.
func (d *decoder) value(key toml.Key, value toml.Primitive, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if keys, ok := d.keys(key, value); ok {
			d.table(key, keys, v)
		}
	case reflect.Map:
		if keys, ok := d.keys(key, value); ok {
			d.entries(key, keys, v)
		}
	default:
		if err := d.meta.PrimitiveDecode(value, v.Addr().Interface()); err != nil {
			d.mismatch(key, v.Type(), err)
		}
	}
}

// entries fills a map of structs whose keys are given by the defaults; each begins with its default.
func (d *decoder) entries(path toml.Key, keys map[string]toml.Primitive, v reflect.Value) {
	known := make([]string, 0, v.Len())
	for _, k := range v.MapKeys() {
		known = append(known, k.String())
	}
	for name, value := range keys {
		key := extend(path, name)
		d.lines[key.String()] = d.lineOf(key, value)
		entry := v.MapIndex(reflect.ValueOf(name))
		if !entry.IsValid() {
			d.unknown(key, known)
			continue
		}
		filled := reflect.New(v.Type().Elem()).Elem()
		filled.Set(entry)
		d.value(key, value, filled)
		v.SetMapIndex(reflect.ValueOf(name), filled)
	}
}

func (d *decoder) keys(key toml.Key, value toml.Primitive) (map[string]toml.Primitive, bool) {
	var keys map[string]toml.Primitive
	// a value of another kind leaves the map nil, with or without an error
	if err := d.meta.PrimitiveDecode(value, &keys); err != nil || keys == nil {
		d.problems.Add(d.file, d.lines[key.String()], "%s is a table: write [%s]", key, key)
		return nil, false
	}
	return keys, true
}

func (d *decoder) unknown(key toml.Key, known []string) {
	hint := ""
	if near := nearest(key[len(key)-1], known); near != "" {
		hint = fmt.Sprintf("; did you mean %s?", extend(key[:len(key)-1], near))
	}
	d.problems.Add(d.file, d.lines[key.String()], "unknown key %s%s", key, hint)
}

// mismatch reports a value that does not fit its field.
func (d *decoder) mismatch(key toml.Key, want reflect.Type, err error) {
	line := d.lines[key.String()]
	if parse, ok := errors.AsType[toml.ParseError](err); ok {
		d.problems.Add(d.file, line, "%s: %s", key, parse.Message)
		return
	}
	d.problems.Add(d.file, line, "%s: expected %s", key, expected(want))
}

func expected(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Uint32:
		return "an integer"
	case reflect.Slice:
		return `a list of strings, ["…", "…"]`
	}
	return `a string, "…"`
}

// position makes the library tell the line of a key, which it gives with errors only.
type position struct{}

var errPosition = errors.New("position")

func (*position) UnmarshalTOML(any) error { return errPosition }

// lineOf is the line of a key; of a table without a header of its own ([a.b] makes a) the first line inside.
func (d *decoder) lineOf(key toml.Key, value toml.Primitive) int {
	err := d.meta.PrimitiveDecode(value, &position{})
	if parse, ok := errors.AsType[toml.ParseError](err); ok && parse.Position.Line > 0 {
		return parse.Position.Line
	}
	var inner map[string]toml.Primitive
	if d.meta.PrimitiveDecode(value, &inner) != nil {
		return 0
	}
	first := 0
	for name, v := range inner {
		if line := d.lineOf(extend(key, name), v); line > 0 && (first == 0 || line < first) {
			first = line
		}
	}
	return first
}

func extend(path toml.Key, name string) toml.Key {
	return append(slices.Clone(path), name)
}

func tagOf(f reflect.StructField) string {
	if tag := f.Tag.Get("toml"); tag != "-" {
		return tag
	}
	return ""
}

func fieldOf(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if tag := tagOf(v.Type().Field(i)); tag != "" && tag == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if tag := tagOf(t.Field(i)); tag != "" {
			names = append(names, tag)
		}
	}
	return names
}

// nearest is the known name that a typing mistake may have meant, "" if none is near.
func nearest(name string, known []string) string {
	best, least := "", len(name)/3+1
	for _, k := range known {
		if n := distance(strings.ToLower(name), k); n < least || n == least && best == "" {
			best, least = k, n
		}
	}
	return best
}

// distance counts the insertions, deletions and substitutions between two names; of names that cannot be keys, which
// may be long, it compares only the beginning.
func distance(a, b string) int {
	a = a[:min(len(a), 64)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
