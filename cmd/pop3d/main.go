// Command pop3d serves the mail of users by POP3; see pop3d(8). It is the front: it takes connections and logins, and hands them
// to the users' session processes. All of it is internal/front.
package main

import (
	"postrider/internal/config"
	"postrider/internal/daemon"
	"postrider/internal/front"
)

func main() { daemon.Main("pop3d", run) }

// run serves until SIGTERM.
func run(d *daemon.Daemon, cfg *config.Config) error { return front.Run(d, cfg, front.POP3) }
