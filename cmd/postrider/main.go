// Command postrider is the administrator's tool.
package main

import (
	"fmt"
	"os"

	"postrider/internal/authd"
	"postrider/internal/check"
	"postrider/internal/config"
	"postrider/internal/itinerary"
	"postrider/internal/listen"
	"postrider/internal/mailbox"
	"postrider/internal/roster"
	"postrider/internal/spool"
	"postrider/internal/story"
)

// commands are the subcommands, in the order of the usage text.
var commands = []struct {
	name, help string
	main       func(args []string) int
}{
	{"check", "report every error in configuration, tables and spool", check.Main},
	{"show", "print what differs from the defaults", config.ShowMain},
	{"user", "add, change, list and remove mail users", authd.UserMain},
	{"why", "tell the story of a message", story.Main},
	{"route", "say how mail to an address would go, and why", itinerary.Main},
	{"who", "list who is logged in to imapd and pop3d", roster.WhoMain},
	{"kick", "end sessions of a user, or one by its id", roster.KickMain},
	{"mailbox", "check a Maildir, import mail from a file or a server", mailbox.Main},
	{"spool", "check queue files, requeue an edited one", spool.Main},
	{"listen", "bind sockets, drop privileges and run a daemon", listen.Main},
}

func main() {
	if len(os.Args) > 1 {
		for _, c := range commands {
			if c.name == os.Args[1] {
				os.Exit(c.main(os.Args[2:]))
			}
		}
	}
	fmt.Fprintln(os.Stderr, "usage: postrider command [argument ...]")
	for _, c := range commands {
		fmt.Fprintf(os.Stderr, "  %-7s %s\n", c.name, c.help)
	}
	os.Exit(2)
}
