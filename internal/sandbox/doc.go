// Package sandbox takes rights away from processes and starts the few that must run under another uid.
//
// # States
//
// A launcher (localdeliver, authd) is two processes, because confinement is inherited: what must start freer children
// cannot be confined itself.
//
//	manager   the daemon's own uid. Starts the spawner first, then drops every capability and confines itself. It parses
//	          envelopes and dialogues; it can ask for workers and can do nothing to them but close their sockets.
//	spawner   the manager's program again, the same uid, CAP_SETUID and CAP_SETGID. Reads requests of fixed size, which
//	          hold integers only, from a socketpair. Opens no file, no socket. Its seccomp filter is inherited by all below.
//	starter   one per start: the same program, executed with the two capabilities (ambient), and the only place where the
//	          uid changes: no groups, gid, uid, no capabilities; then it executes the worker.
//	worker    the user's uid, no capability in any set, no_new_privs, environment, working directory and descriptors
//	          known: 0 and 1 are /dev/null, 2 the daemon's log, 3 its end of a socketpair, whose other end is the manager's.
//
// # Trust
//
// The manager is trusted until it parses its first input. Taken over, it may have workers started for every uid that
// Limits allow, as many as they allow, with the arguments fixed at compile time. It cannot change the limits (they were
// arguments of the spawner's start), cannot trace the spawner (the kernel asks for a superset of its capabilities) and
// cannot start a process with a capability. It can kill or stop the spawner: that is its own service.
//
// The spawner, were it taken over, is held by the kernel: set*uid and set*gid take no argument below the limits, the
// mailbox user excepted; setgroups takes nothing but the empty list; no new or other user namespace (a map may name any
// uid to a holder of CAP_SETUID); no foreign system call table. What remains: CAP_SETUID lets it write the uid map of a
// namespace that an accomplice with a shell made outside (the kernel keeps uid 0 out of that too), and claim any uid in
// SCM_CREDENTIALS messages, which no program of this suite believes (they use SO_PEERCRED).
//
// A hostile user owns every worker under that uid: may stop, kill, trace it, take its descriptors (pidfd_getfd), write
// into the log through descriptor 2, and shut that down where it is a socket (systemd's journal): for the daemon too, which
// must not end of that; send anything through its socket. So a worker's answers are that user's claims, and whatever is
// passed to it is that user's to read. A program that is installed without read permission (mode 0711) keeps the other
// processes of the user out from its first moment on, and NoCoreDumps from its call on; neither keeps out who takes the
// worker over from within. That user cannot reach the spawner or a starter before it has become
// that user: uid changes in a process of its own, never in a child that shares the spawner's memory and keeps it waiting
// (vfork), which a SIGSTOP at the right moment would turn into a spawner that starts nothing for anybody. Stopped
// workers count against the uid's own limit (Limits.PerUID), and the spawner ends them through Worker.Kill, which sends
// the signal from a process under the same uid.
//
// When the manager ends, the spawner sees the end of its socketpair and ends; workers see the end of theirs and have to
// end by themselves. The spawner ignores SIGTERM, SIGINT and SIGHUP, so that a manager can drain when a whole service is
// signalled.
//
// # Threads
//
// Linux keeps capabilities, Landlock domains and no_new_privs per thread. All functions here act on every thread of the
// process, which the runtime offers to programs built without cgo only (CGO_ENABLED=0); in others they return ENOTSUP.
package sandbox
