//go:build faults

package fault

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// FAULT=name:n kills the process with SIGKILL the nth time that it comes by the point of that name.
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
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
