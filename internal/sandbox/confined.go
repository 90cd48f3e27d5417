//go:build !unconfined

package sandbox

// confines is false only in builds with the tag "unconfined", with which tests show what Restrict keeps out.
const confines = true
