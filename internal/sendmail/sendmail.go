// Package sendmail is the classic interface through which programs hand over mail: sendmail(8) with its options and exit
// codes, also as newaliases, mailq and runq. It has no privilege: it runs as its caller, sends by a socket that anybody may
// use, and the server at its other end trusts nothing that it says. What it has to get right for its caller's sake is that a
// message is sent whole or not at all, and that what went wrong is said.
package sendmail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postrider/internal/config"
	"postrider/internal/mailq"
)

// patience is how long a busy mail system is asked again: callers such as cron drop what they cannot send.
const patience = 30 * time.Second

// program is one call.
type program struct {
	name           string
	options        *options
	config         *config.Config
	stdin          io.Reader
	stdout, stderr io.Writer
	account        func() (login, fullName string, err error) // of the caller
	temporary      func() (*os.File, error)
	patience       time.Duration
}

// Main is the program; argv includes its name, which decides what it does. It returns the exit status.
func Main(argv []string) int {
	if len(argv) == 0 {
		return exitUsage
	}
	if programName(argv[0]) == "mailq" {
		return mailq.Main(argv[1:])
	}
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, account: caller, temporary: unnamedFile, patience: patience}
	return p.main(context.Background(), argv)
}

func (p *program) main(ctx context.Context, argv []string) int {
	p.name = filepath.Base(argv[0])
	var err error
	if p.options, err = parse(argv[0], argv[1:]); err != nil {
		return p.fail(exitUsage, err)
	}
	for _, w := range p.options.warnings {
		p.complain("warning: %s", w)
	}
	if p.config, err = config.Load(p.options.config); err != nil {
		p.config = config.Default() // neither a wrong line nor a missing right to read it shall stop mail
		if p.options.config != config.DefaultPath {
			p.complain("warning: the defaults are used: %v", err)
		}
	}
	return p.run(ctx)
}

func (p *program) run(ctx context.Context) int {
	switch p.options.mode {
	case modeMail:
		return p.mail(ctx)
	case modeSMTP:
		return p.smtp(ctx)
	case modeVerify:
		return p.verify(ctx)
	case modeQueue:
		r := mailq.Request{SpoolDir: p.config.SpoolDir, RunDir: p.config.RunDir}
		return r.Run(ctx, p.stdout, p.stderr)
	case modeAliases:
		return p.checkAliases()
	case modeFlush:
		return p.flush(ctx)
	}
	return exitOK
}

// fail says what ends the program and returns its status.
func (p *program) fail(status int, err error) int {
	p.complain("%v", err)
	return status
}

func (p *program) complain(format string, args ...any) {
	fmt.Fprintf(p.stderr, "%s: %s\n", p.name, fmt.Sprintf(format, args...))
}

// caller is the account of the real uid, by passwd(5). A uid without one goes by what its environment says, which is as
// good as -f.
func caller() (login, fullName string, err error) {
	uid := strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(uid); err == nil {
		return u.Username, expand(u.Name, u.Username), nil
	}
	for _, key := range []string{"LOGNAME", "USER"} {
		if login = os.Getenv(key); login != "" {
			return login, "", nil
		}
	}
	return "", "", errors.New("no login name for uid " + uid + ": name a sender with -f")
}

// expand puts the login name in the place of & in a full name, as passwd(5) has it.
func expand(fullName, login string) string {
	if !strings.Contains(fullName, "&") {
		return fullName
	}
	r, n := utf8.DecodeRuneInString(login)
	return strings.ReplaceAll(fullName, "&", string(unicode.ToUpper(r))+login[n:])
}
