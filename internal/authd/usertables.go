package authd

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"

	"postrider/internal/config"
	"postrider/internal/password"
	"postrider/internal/problem"
	"postrider/internal/table"
)

// editor has both tables open, and what was wrong with them before.
type editor struct {
	cfg              *config.Config
	users, passwords *textFile
	before           problem.List
}

func openTables(cfg *config.Config) (*editor, error) {
	e := &editor{cfg: cfg}
	var err error
	if e.users, err = openText(cfg.Tables.Users, attributes{0o644, -1, -1}); err != nil {
		return nil, err
	}
	if e.passwords, err = openText(cfg.Tables.Passwords, attributes{0o640, -1, secretGroup(cfg)}); err != nil {
		return nil, err
	}
	e.before, err = e.problems()
	return e, err
}

// secretGroup is the group that may read a new passwords file: authd's, if root makes it.
func secretGroup(cfg *config.Config) int {
	if cfg.SingleUID || os.Geteuid() != 0 {
		return -1
	}
	g, err := user.LookupGroup("pr-auth")
	if err != nil {
		return -1
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return -1
	}
	return gid
}

// problems reads both tables as authd would. The users table can only be read from a file.
func (e *editor) problems() (problem.List, error) {
	f, err := os.CreateTemp("", "users.*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(e.users.text())
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	trial := *e.cfg
	trial.Tables.Users = f.Name()
	list := table.Open(&trial, table.Options{}).Users.Load().Errors()
	for i := range list {
		list[i].File = e.users.path
	}
	_, more := password.Parse(e.passwords.path, e.passwords.text())
	return append(list, more...), nil
}

// save checks the changed tables and writes those that have changed, in this order. Errors that were there before do not
// stand in the way.
func (e *editor) save(files ...*textFile) error {
	after, err := e.problems()
	if err != nil {
		return err
	}
	var fresh problem.List
	for _, p := range after {
		if !slices.ContainsFunc(e.before, func(b problem.Problem) bool { return b.File == p.File && b.Text == p.Text }) {
			fresh = append(fresh, p)
		}
	}
	if len(fresh) > 0 {
		return fmt.Errorf("nothing changed:\n%w", fresh)
	}
	for _, f := range files { // before any is written
		if err := f.unchanged(); err != nil {
			return fmt.Errorf("nothing changed: %w", err)
		}
	}
	for _, f := range files {
		if err := f.save(); err != nil {
			return err
		}
	}
	return nil
}
