//go:build faults

package fault

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// FAULT=name:n kills the process with SIGKILL the nth time that it comes by the point of that name, and with it all of its
// process group that it may signal, so that the whole daemon dies at that step.
var name, count = wanted()

var seen atomic.Int64

func wanted() (string, int64) {
	name, n, _ := strings.Cut(os.Getenv("FAULT"), ":")
	k, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		k = 1
	}
	return name, k
}

// Point kills the process if this is the step that the environment names.
func Point(p string) {
	if p == name && seen.Add(1) == count {
		syscall.Kill(0, syscall.SIGKILL)
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// Env is what a child process needs to know its fault.
func Env() []string {
	if v, ok := os.LookupEnv("FAULT"); ok {
		return []string{"FAULT=" + v}
	}
	return nil
}
