package authd

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postrider/internal/config"
	"postrider/internal/password"
	"postrider/internal/table"
)

const userUsage = `usage: postrider user add    [-c file] [-uid u] [-gid g] [-home dir] [-quota size] [-options list]
                             [password options] name
       postrider user passwd [-c file] [password options] name
       postrider user list   [-c file] [name]
       postrider user del    [-c file] [-label label] name
password options: [-label label] [-services list] [-noscram] [-stdin | -generate | -nopassword]
`

// Exit statuses of UserMain.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// UserMain is `postrider user`: it edits the tables users and passwords. It returns the exit status.
func UserMain(args []string) int {
	return runUser(args, terminal{os.Stdin, os.Stdout, os.Stderr})
}

func runUser(args []string, t terminal) int {
	c, err := parseUserCommand(args, t.err)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(t.err, "postrider user: %v\n", err)
		}
		io.WriteString(t.err, userUsage)
		return exitUsage
	}
	if err := c.run(t); err != nil {
		fmt.Fprintf(t.err, "postrider user %s: %v\n", c.verb, err)
		return exitFailed
	}
	return exitOK
}

// userCommand is a parsed command line.
type userCommand struct {
	verb, config, name                 string
	uid, gid, home, quota, options     string
	label, services                    string
	labelled                           bool
	stdin, generate, noPassword, plain bool
}

// parseUserCommand reads the arguments; options may stand before and after the name.
func parseUserCommand(args []string, output io.Writer) (*userCommand, error) {
	if len(args) == 0 || !slices.Contains([]string{"add", "passwd", "list", "del"}, args[0]) {
		return nil, errors.New("expected add, passwd, list or del")
	}
	c := &userCommand{verb: args[0]}
	f := c.flags(output)
	args = args[1:]
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if f.NArg() == 0 {
			break
		}
		if c.name != "" {
			return nil, errors.New("more than one name")
		}
		c.name, args = f.Arg(0), f.Args()[1:]
	}
	f.Visit(func(f *flag.Flag) { c.labelled = c.labelled || f.Name == "label" })
	return c, c.check()
}

func (c *userCommand) flags(output io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("postrider user "+c.verb, flag.ContinueOnError)
	f.SetOutput(output)
	f.Usage = func() {}
	f.StringVar(&c.config, "c", config.DefaultPath, "configuration file")
	if c.verb == "add" {
		f.StringVar(&c.uid, "uid", "", "uid or user name that owns the mailbox")
		f.StringVar(&c.gid, "gid", "", "gid or group name")
		f.StringVar(&c.home, "home", "", "home directory")
		f.StringVar(&c.quota, "quota", "", "size of the mailbox, at most")
		f.StringVar(&c.options, "options", "", "comma-separated options of users(5)")
		f.BoolVar(&c.noPassword, "nopassword", false, "set no password")
	}
	if c.verb != "list" {
		f.StringVar(&c.label, "label", "", "name of this password")
	}
	if c.verb == "add" || c.verb == "passwd" {
		f.StringVar(&c.services, "services", "*", "services that the password is for")
		f.BoolVar(&c.plain, "noscram", false, "make no SCRAM keys")
		f.BoolVar(&c.stdin, "stdin", false, "read the password from standard input")
		f.BoolVar(&c.generate, "generate", false, "make a password and print it")
	}
	return f
}

func (c *userCommand) check() error {
	ways := 0
	for _, way := range []bool{c.stdin, c.generate, c.noPassword} {
		if way {
			ways++
		}
	}
	switch {
	case c.name == "" && c.verb != "list":
		return errors.New("a name is missing")
	case ways > 1:
		return errors.New("-stdin, -generate and -nopassword exclude each other")
	}
	if c.name != "" {
		if err := password.CheckName(c.name); err != nil {
			return err
		}
	}
	for _, field := range []string{c.uid, c.gid, c.home, c.quota, c.options} {
		if strings.ContainsAny(field, ":\n") {
			return fmt.Errorf("%q has a character that no field can have", field)
		}
	}
	if _, err := password.ParseServices(c.services); err != nil && c.services != "" {
		return err
	}
	return password.CheckLabel(c.label)
}

// run does the command on the tables that the configuration names.
func (c *userCommand) run(t terminal) error {
	cfg, err := config.Load(c.config)
	if err != nil {
		return err
	}
	if c.verb == "list" {
		return c.list(cfg, t.out)
	}
	if cfg.Tables.Users == "" || cfg.Tables.Passwords == "" {
		return errors.New("the configuration names no users or no passwords table")
	}
	if err := c.canonical(cfg); err != nil {
		return err
	}
	pw, err := c.newPassword(t) // before the lock and the tables: somebody may type for minutes
	if err != nil {
		return err
	}
	if err := c.edit(cfg, pw); err != nil {
		return err
	}
	if c.generate {
		fmt.Fprintln(t.out, pw)
	}
	return nil
}

// edit makes the change while no other editor can.
func (c *userCommand) edit(cfg *config.Config, pw string) error {
	unlock, err := lockFile(context.Background(), cfg.Tables.Users+".lock")
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: run this as the owner of %s", err, filepath.Dir(cfg.Tables.Users))
	}
	if err != nil {
		return err
	}
	defer unlock()
	e, err := openTables(cfg)
	if err != nil {
		return err
	}
	switch c.verb {
	case "add":
		return c.add(e, pw)
	case "passwd":
		return c.passwd(e, pw)
	}
	return c.del(e)
}

// canonical brings the name to the form in which authd looks it up. What has no such form can only be removed.
func (c *userCommand) canonical(cfg *config.Config) error {
	id, err := identify(domainsOf(cfg, table.Open(cfg, table.Options{})), c.name)
	if err != nil {
		return err
	}
	if !id.ours && c.verb != "del" {
		return fmt.Errorf("%s is no user name, or of a domain that is not in %s", c.name, cfg.Tables.Domains)
	}
	c.name = id.key()
	return nil
}

// add appends a user, with a password unless it is to have none.
func (c *userCommand) add(e *editor, pw string) error {
	if len(e.users.find(c.name)) > 0 {
		return fmt.Errorf("%s is in %s already", c.name, e.users.path)
	}
	if c.uid == "" && c.home == "" && !strings.Contains(c.name, "@") {
		if _, ok, err := table.Open(e.cfg, table.Options{}).Passwd.Lookup(c.name); err == nil && ok {
			return fmt.Errorf("%s is a user of the system and needs only a password: postrider user passwd %s", c.name, c.name)
		}
	}
	fields := []string{c.name, c.uid, c.gid, c.home, c.quota, c.options}
	e.users.set(nil, strings.TrimRight(strings.Join(fields, ":"), ":"))
	if c.noPassword {
		return e.save(e.users)
	}
	return c.setPassword(e, pw, e.users, e.passwords)
}

// passwd sets the password with this label of a user who exists.
func (c *userCommand) passwd(e *editor, pw string) error {
	_, inSystem, err := table.Open(e.cfg, table.Options{}).Passwd.Lookup(c.name)
	if err != nil {
		return err
	}
	inTable := len(e.users.find(c.name)) > 0
	if !inTable && !inSystem && e.cfg.Authd.Checkpassword == "" { // else NSS may know the user
		return fmt.Errorf("there is no user %s", c.name)
	}
	return c.setPassword(e, pw, e.passwords)
}

// newPassword is the password to set, empty if there is none.
func (c *userCommand) newPassword(t terminal) (string, error) {
	switch {
	case c.verb == "del" || c.noPassword:
		return "", nil
	case c.generate:
		return rand.Text(), nil
	case c.stdin:
		return t.readLine()
	}
	return t.askPassword(c.name)
}

// setPassword stores the secrets of a password and saves the files.
func (c *userCommand) setPassword(e *editor, pw string, files ...*textFile) error {
	entry, err := c.entry(e, pw)
	if err != nil {
		return err
	}
	e.passwords.set(e.passwords.find(c.name, c.label), entry.String())
	return e.save(files...)
}

// entry makes the line of a password.
func (c *userCommand) entry(e *editor, pw string) (password.Entry, error) {
	entry := password.Entry{Name: c.name, Label: c.label}
	var err error
	if entry.Services, err = password.ParseServices(c.services); err != nil {
		return entry, err
	}
	hash, err := password.NewArgon2id(pw, int64(e.cfg.Authd.HashMemory))
	if err != nil {
		return entry, err
	}
	entry.Secrets = []password.Secret{hash}
	if c.plain {
		return entry, nil
	}
	salt, iterations, err := scramParameters(e.passwords, entry)
	if err != nil {
		return entry, err
	}
	keys, err := password.NewSCRAM(pw, salt, iterations)
	entry.Secrets = append(entry.Secrets, keys)
	return entry, err
}

// scramParameters returns those of the user's other passwords, which have to share them, or new ones.
func scramParameters(passwords *textFile, entry password.Entry) ([]byte, int, error) {
	entries, _ := password.Parse(passwords.path, passwords.text())
	for _, other := range entries[entry.Name] {
		if k, ok := other.SCRAM(); ok && other.Label != entry.Label {
			return k.Salt, k.Iterations, nil
		}
	}
	salt, err := password.NewSCRAMSalt()
	return salt, password.SCRAMIterations, err
}

// del removes one password of a user, or the user with all passwords. The mail stays.
func (c *userCommand) del(e *editor) error {
	if c.labelled {
		found := e.passwords.find(c.name, c.label)
		if len(found) == 0 {
			return fmt.Errorf("%s has no password with the label %q", c.name, c.label)
		}
		e.passwords.remove(found)
		return e.save(e.passwords)
	}
	inUsers, inPasswords := e.users.find(c.name), e.passwords.find(c.name)
	if len(inUsers)+len(inPasswords) == 0 {
		return fmt.Errorf("there is no user %s in the tables", c.name)
	}
	e.users.remove(inUsers)
	e.passwords.remove(inPasswords)
	var files []*textFile
	if len(inPasswords) > 0 {
		files = append(files, e.passwords)
	}
	if len(inUsers) > 0 {
		files = append(files, e.users)
	}
	return e.save(files...)
}
