package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxFile bounds the configuration file, maxSyntax how many syntax errors are looked for.
const (
	maxFile   = 1 << 20
	maxSyntax = 20
)

// Load reads a configuration. Its error is a Problems with every error of the file; what is merely worth saying is in
// Config.Warnings.
func Load(path string) (*Config, error) {
	text, err := read(path)
	if err != nil {
		return nil, Problems{{File: path, Text: err.Error()}}
	}
	return parse(path, text, thisHost())
}

func read(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", cause(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", cause(err)
	}
	if len(data) > maxFile {
		return "", fmt.Errorf("larger than %v", Size(maxFile))
	}
	return string(data), nil
}

// cause drops the path from an error that is reported with its file in front.
func cause(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

func parse(path, text string, h host) (*Config, error) {
	keys, meta, problems := syntax(path, text)
	c := constants()
	c.Path = path
	d := &decoder{file: path, meta: &meta, lines: make(map[string]int), problems: problems}
	d.table(nil, keys, reflect.ValueOf(c).Elem())
	c.complete(h)
	v := &validator{file: path, lines: d.lines, problems: d.problems}
	v.config(c)
	v.problems.Sort()
	c.Warnings = v.problems.Warnings()
	if err := v.problems.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// syntax parses the file. The library stops at the first syntax error; to find the others the line of an assignment
// that is wrong is blanked and the file parsed again. Where the wrong line may have shaped what follows (a table's
// header, the end of a long string), guessing stops.
func syntax(path, text string) (map[string]toml.Primitive, toml.MetaData, Problems) {
	var problems Problems
	lines := strings.Split(text, "\n")
	for {
		var keys map[string]toml.Primitive
		text = strings.Join(lines, "\n")
		meta, err := toml.Decode(text, &keys)
		if err == nil {
			return keys, meta, problems
		}
		parse, ok := errors.AsType[toml.ParseError](err)
		if !ok {
			problems.Add(path, 0, "%v", err)
			return nil, meta, problems
		}
		line := lineAt(text, parse.Position.Start)
		problems.Add(path, line, "%s", parse.Message)
		if len(problems) == maxSyntax || !isAssignment(lines[line-1]) {
			return nil, meta, problems
		}
		lines[line-1] = ""
	}
}

// lineAt is the line of a byte; the library's own line is one further where a newline is what is wrong.
func lineAt(text string, offset int) int {
	return 1 + strings.Count(text[:min(max(offset, 0), len(text))], "\n")
}

const bareKey = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

// isAssignment says that a line by itself is meant as `key = value`.
func isAssignment(line string) bool {
	key, value, found := strings.Cut(line, "=")
	key = strings.TrimSpace(key)
	return found && key != "" && strings.Trim(key, bareKey) == "" && !strings.Contains(value, `"""`) && !strings.Contains(value, "'''") &&
		strings.Count(value, "[") == strings.Count(value, "]")
}
