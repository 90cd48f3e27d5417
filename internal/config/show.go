package config

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

var showUsage = `usage: postrider show [-c file] [-a] [key ...]
Prints the settings that differ from their defaults, as TOML.
  -c file  the configuration (` + DefaultPath + `)
  -a       all settings; those that differ with their default beside them
  key      only this setting or table, e.g. smtpd.max_errors or tls, also where it has its default
`

// ShowMain is `postrider show`; args are without the subcommand. It returns the exit status.
func ShowMain(args []string) int { return runShow(args, os.Stdout, os.Stderr) }

func runShow(args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("show", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("c", DefaultPath, "")
	all := flags.Bool("a", false, "")
	if err := flags.Parse(args); err != nil {
		fmt.Fprint(errs, showUsage)
		return 2
	}
	c, err := Load(*path)
	if err != nil {
		fmt.Fprintln(errs, err)
		return 1
	}
	for _, p := range c.Warnings {
		fmt.Fprintln(errs, p)
	}
	if err := show(out, c, defaultsFor(c), *all, flags.Args()); err != nil {
		fmt.Fprintln(errs, "postrider show:", err)
		return 1
	}
	return 0
}

// defaultsFor is what c would be if its file were empty, but for the origin, which follows a hostname that is set.
func defaultsFor(c *Config) *Config {
	h := thisHost()
	d := constants()
	d.Hostname = h.fqdn()
	d.Origin = h.origin()
	if d.Origin == "" {
		d.Origin = c.Hostname
	}
	return d
}

// setting is one key of the configuration with its value as TOML.
type setting struct {
	table toml.Key
	name  string
	value string
}

func (s setting) key() string { return extend(s.table, s.name).String() }

// show writes the settings of c: those that differ from d, all of them, or those that were asked for.
func show(w io.Writer, c, d *Config, all bool, wanted []string) error {
	ours, err := settings(c)
	if err != nil {
		return err
	}
	theirs, err := settings(d)
	if err != nil {
		return err
	}
	for _, want := range wanted {
		if !slices.ContainsFunc(ours, func(s setting) bool { return within(s, want) }) {
			return fmt.Errorf("there is no %q", want)
		}
	}
	var out bytes.Buffer
	table := toml.Key{}
	for i, s := range ours {
		differs := s.value != theirs[i].value
		named := slices.ContainsFunc(wanted, func(want string) bool { return within(s, want) })
		if len(wanted) > 0 && !named || len(wanted) == 0 && !all && !differs && s.key() != "version" {
			continue
		}
		if !slices.Equal(table, s.table) {
			fmt.Fprintf(&out, "\n[%s]\n", s.table)
			table = s.table
		}
		fmt.Fprintf(&out, "%s = %s", s.name, s.value)
		if differs && (all || named) {
			fmt.Fprintf(&out, "  # default: %s", theirs[i].value)
		}
		out.WriteByte('\n')
	}
	_, err = w.Write(bytes.TrimPrefix(out.Bytes(), []byte("\n")))
	return err
}

// within says that a setting is the one wanted, or in the table wanted.
func within(s setting, want string) bool {
	return s.key() == want || strings.HasPrefix(s.key(), want+".")
}

// settings lists a configuration in the order of the struct, a table's own keys before the tables in it.
func settings(c *Config) ([]setting, error) {
	return appendSettings(nil, nil, reflect.ValueOf(*c))
}

func appendSettings(list []setting, table toml.Key, v reflect.Value) ([]setting, error) {
	var inner []int
	for i := range v.NumField() {
		name := tagOf(v.Type().Field(i))
		if name == "" {
			continue
		}
		if k := v.Field(i).Kind(); k == reflect.Struct || k == reflect.Map {
			inner = append(inner, i)
			continue
		}
		value, err := encode(v.Field(i).Interface())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", extend(table, name), err)
		}
		list = append(list, setting{table, name, value})
	}
	for _, i := range inner {
		var err error
		key, field := extend(table, tagOf(v.Type().Field(i))), v.Field(i)
		if services, ok := field.Interface().(map[string]Service); ok {
			for _, name := range sortedNames(services) {
				if list, err = appendSettings(list, extend(key, name), reflect.ValueOf(services[name])); err != nil {
					return nil, err
				}
			}
		} else if list, err = appendSettings(list, key, field); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// encode writes one value as the right side of a TOML assignment.
func encode(value any) (string, error) {
	if v := reflect.ValueOf(value); v.Kind() == reflect.Slice && v.Len() == 0 {
		return "[]", nil
	}
	text, err := toml.Marshal(map[string]any{"v": value})
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(strings.TrimSpace(string(text)), "v = "), nil
}
