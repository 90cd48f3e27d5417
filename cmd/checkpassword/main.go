// Command checkpassword asks PAM and NSS for authd; see checkpassword(8).
//
// It is the only program of the suite that may run foreign code (PAM and NSS modules) and the only one built with cgo: with
// `-tags pam` and libpam's headers. Without the tag it answers later to every password and finds users as os/user can.
//
// # States
//
// The server owns the listening socket. It reads nothing from a connection: it starts itself again with the connection as
// descriptor 0, at most maxChildren times at once, and ends a child that takes too long. A child reads one question, asks
// one module stack, answers, and ends; what a module leaves behind (threads, memory, a hung connection) goes with it.
//
// # Trust
//
// Who can open the socket can try passwords of users at or above first_valid_uid and ask who anybody is: its mode is for
// authd alone. A hostile question reaches PAM as a name, a password and an address, each bounded and free of NUL and
// control characters.
package main

import (
	"flag"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"postrider/internal/config"
	"postrider/internal/logline"
	"postrider/internal/sandbox"
)

func main() {
	runtime.LockOSThread() // what confine sets for this thread, its children inherit
	path := flag.String("c", config.DefaultPath, "configuration `file`")
	child := flag.Bool("child", false, "answer the one question on descriptor 0 (used by the server)")
	first := flag.Uint("first-valid-uid", 1000, "lowest `uid` whose password is checked (with -child)")
	flag.Parse()
	log := logline.New("checkpassword", logline.Text)
	if flag.NArg() > 0 {
		log.Fatal("unexpected argument %q", flag.Arg(0))
	}
	if err := confine(); err != nil {
		log.Fatal("confine: %v", err)
	}
	if *child {
		os.Exit(answerOne(os.Stdin, uint32(*first), log))
	}
	cfg, err := config.Load(*path)
	if err != nil {
		log.Fatal("%v", err)
	}
	lowest := cfg.FirstValidUID
	if cfg.SingleUID {
		lowest = 0
	}
	if err := serve([]string{"-child", "-first-valid-uid", strconv.FormatUint(uint64(lowest), 10)}, log); err != nil {
		log.Fatal("%v", err)
	}
}

// confine keeps passwords out of core files, this process out of the reach of others of its uid, and setuid programs from
// working. no_new_privs is set for the calling thread, the one that starts the children; a program with cgo cannot set it
// for all.
func confine() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return sandbox.NoCoreDumps()
}
