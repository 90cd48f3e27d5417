// Package listen is the edge of every server of the suite: the sockets it inherits, who is at their other end, how many
// of those there may be, the certificate that is shown to them, and how all of it ends. It is also the program that
// makes the sockets where no systemd does (Main).
//
// It trusts what started the process: descriptors and names in LISTEN_FDS and its companions. It trusts a PROXY header
// from the configured networks only, and from these it demands one. Of clients it believes the address that the kernel
// (or such a proxy) gives, and on Unix sockets the kernel's word for the uid.
package listen
