// Mkrun makes what `make run` needs and a shell cannot: a certificate authority with a certificate for this run, and one
// configuration out of two files. It is a part of the test tree and is never installed.
//
//	mkrun cert DIR NAME...      DIR/ca.pem, DIR/cert.pem, DIR/key.pem, unless they are good for another day
//	mkrun merge BASE EXTRA      BASE with the keys of EXTRA added or replaced, on standard output
package main

import (
	"fmt"
	"io"
	"maps"
	"os"

	"github.com/BurntSushi/toml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mkrun:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) >= 3 && args[0] == "cert":
		return certify(args[1], args[2:])
	case len(args) == 3 && args[0] == "merge":
		return merge(os.Stdout, args[1], args[2])
	}
	return fmt.Errorf("usage: mkrun cert DIR NAME... | mkrun merge BASE EXTRA")
}

// merge writes the configuration of base with extra over it.
func merge(w io.Writer, base, extra string) error {
	var keys, over map[string]any
	if _, err := toml.DecodeFile(base, &keys); err != nil {
		return fmt.Errorf("%s: %w", base, err)
	}
	if _, err := toml.DecodeFile(extra, &over); err != nil {
		return fmt.Errorf("%s: %w", extra, err)
	}
	return toml.NewEncoder(w).Encode(overlay(keys, over))
}

// overlay is the table with the keys of over added; where both hold a table under one name, these are joined.
func overlay(table, over map[string]any) map[string]any {
	joined := maps.Clone(table)
	for key, value := range over {
		old, isTable := joined[key].(map[string]any)
		if inner, ok := value.(map[string]any); ok && isTable {
			value = overlay(old, inner)
		}
		joined[key] = value
	}
	return joined
}
