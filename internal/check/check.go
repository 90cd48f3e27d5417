// Package check is `postrider check`: it reads the configuration and looks at the world that it names, as the daemons
// will find it, and reports everything wrong at once. It changes nothing. It trusts the administrator who runs it, and
// opens only files that the configuration names.
package check

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"postrider/internal/config"
	"postrider/internal/password"
	"postrider/internal/problem"
	"postrider/internal/table"
)

var usage = `usage: postrider check [-c file]
Reports every error in the configuration, the tables, certificates and spool
directories. Exits 0 if there is none; warnings are no errors.
  -c file  the configuration (` + config.DefaultPath + `)
`

// Main is `postrider check`; args are without the subcommand. It returns the exit status.
func Main(args []string) int { return run(args, os.Stdout, os.Stderr) }

func run(args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("c", config.DefaultPath, "")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		fmt.Fprint(errs, usage)
		return 2
	}
	problems := Run(*path)
	problems.Sort()
	for _, p := range slices.Concat(problems.Errors(), problems.Warnings()) {
		fmt.Fprintln(errs, p)
	}
	if problems.Err() != nil {
		return 1
	}
	fmt.Fprintln(out, *path+": no errors")
	return 0
}

// Run returns all problems of the configuration at path and of what it names.
func Run(path string) problem.List {
	c, err := config.Load(path)
	if err != nil {
		var problems problem.List
		problems.Collect(path, err)
		return problems
	}
	w := &world{Config: c, now: time.Now(), accounts: system{}, kernel: kernel{proc: "/proc", sys: "/sys"}, problems: slices.Clone(c.Warnings)}
	w.certificate()
	w.tables()
	w.spool()
	return w.problems
}

// world is a configuration with what it is checked against.
type world struct {
	*config.Config
	now      time.Time
	accounts accounts
	kernel   kernel
	problems problem.List
}

func (w *world) fail(path, format string, args ...any) { w.problems.Add(path, 0, format, args...) }
func (w *world) warn(path, format string, args ...any) { w.problems.Warn(path, 0, format, args...) }

// tables reads every table, and follows every alias once all of them can be read.
func (w *world) tables() {
	tables := table.Open(w.Config, table.Options{})
	problems := tables.Load()
	w.problems = append(w.problems, problems...)
	for _, path := range append([]string{w.Tables.Users, w.Tables.Domains, w.Tables.Virtual, w.Tables.Passwd, w.Tables.Transport, w.Tables.TLSPolicy}, w.Tables.Aliases...) {
		w.public(path)
	}
	w.passwords()
	if problems.Err() == nil {
		w.routes(tables)
		w.relay(tables)
	}
}

func (w *world) passwords() {
	path := w.Tables.Passwords
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	_, problems := password.Load(path)
	w.problems = append(w.problems, w.unread(problems)...)
	w.secret(path, "pr-auth", "pr-auth")
}

// cause drops the path from an error that is reported with its file in front.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
