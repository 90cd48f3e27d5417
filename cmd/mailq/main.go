// Mailq lists the mail queue.
package main

import (
	"os"

	"postrider/internal/mailq"
)

func main() { os.Exit(mailq.Main(os.Args[1:])) }
