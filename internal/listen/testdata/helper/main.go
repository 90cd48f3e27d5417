// Helper is `postrider listen` and a daemon for the tests of package listen. It must be built without cgo.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/listen"
	"postrider/internal/sandbox"
)

// Report is what a daemon sees of what it was given.
type Report struct {
	PID       int
	Names     map[string][]string // addresses by name
	Err       string
	Left      []string // LISTEN_ variables after Inherited
	Env, Args []string
	FDs       []int
	Dir       string
	Umask     int
	NoFile    uint64
	Status    map[string]string
}

func main() {
	switch os.Args[1] {
	case "listen":
		os.Exit(listen.Main(os.Args[2:]))
	case "report":
		report(os.Args[2:])
	case "serve": // reports, and keeps its sockets open until it is told to end
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		listeners := report(os.Args[2:])
		<-ctx.Done()
		stop()
		runtime.KeepAlive(listeners)
	case "dial": // connects after it has lost everything
		if err := sandbox.NoCoreDumps(); err != nil {
			fmt.Println(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		c, err := listen.DialUnix(ctx, os.Args[2])
		if err != nil {
			fmt.Println(err)
			return
		}
		c.Close()
		fmt.Println("connected")
	case "pid": // executes a report with LISTEN_PID as it should be
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
		syscall.Exec("/proc/self/exe", []string{"helper", "report"}, os.Environ())
	}
}

// report returns the inherited sockets, which are closed when nobody holds them.
func report(args []string) map[string][]net.Listener {
	r := Report{PID: os.Getpid(), Args: args, Env: os.Environ(), Names: map[string][]string{}, Status: status()}
	r.Umask = syscall.Umask(0)
	r.Dir, _ = os.Getwd()
	var limit syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	r.NoFile = limit.Max
	for fd := 3; fd < 64; fd++ {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			r.FDs = append(r.FDs, fd)
		}
	}
	listeners, err := listen.Inherited()
	if err != nil {
		r.Err = err.Error()
	}
	for name, named := range listeners {
		for _, l := range named {
			r.Names[name] = append(r.Names[name], l.Addr().String())
		}
	}
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "LISTEN_") {
			r.Left = append(r.Left, variable)
		}
	}
	json.NewEncoder(os.Stdout).Encode(r)
	return listeners
}

// status joins the lines of all threads.
func status() map[string]string {
	all := map[string]string{}
	tasks, _ := filepath.Glob("/proc/self/task/*/status")
	for _, task := range tasks {
		b, _ := os.ReadFile(task)
		for line := range strings.Lines(string(b)) {
			name, value, _ := strings.Cut(line, ":")
			value = strings.Join(strings.Fields(value), " ")
			switch name {
			case "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs":
				if old, ok := all[name]; ok && old != value {
					value = "threads differ"
				}
				all[name] = value
			}
		}
	}
	return all
}
