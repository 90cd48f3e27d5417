// Sendmail is the classic interface to the mail system; newaliases, mailq and runq are links to it.
package main

import (
	"os"

	"postrider/internal/sendmail"
)

func main() { os.Exit(sendmail.Main(os.Args)) }
