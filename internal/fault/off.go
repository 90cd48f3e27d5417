//go:build !faults

// Package fault marks the steps between which a crash must lose nothing. In ordinary builds a point does nothing; in builds
// with the tag "faults" the environment can name one at which the process kills itself.
package fault

// Point marks a step.
func Point(string) {}

// Env is what a child process needs to know its fault.
func Env() []string { return nil }
