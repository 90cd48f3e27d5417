package sandbox

import (
	"encoding/binary"
	"fmt"
	"os/exec"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

func helperCommand(args ...string) *exec.Cmd { return exec.Command(helper, args...) }

// machine runs a filter on a system call as the kernel would. Its loads are big-endian where the kernel's are the
// machine's own, so the packet is laid out to suit: the lower half of each argument first, as on a little-endian one.
func machine(t *testing.T, rules []rule) func(arch, call uint32, args ...uint32) uint32 {
	t.Helper()
	var raw []bpf.RawInstruction
	for _, in := range assemble(unix.AUDIT_ARCH_X86_64, rules) {
		raw = append(raw, bpf.RawInstruction{Op: in.Code, Jt: in.Jt, Jf: in.Jf, K: in.K})
	}
	program, all := bpf.Disassemble(raw)
	if !all {
		t.Fatal("filter has instructions that are none")
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return func(arch, call uint32, args ...uint32) uint32 {
		packet := make([]byte, 64)
		binary.BigEndian.PutUint32(packet[offsetCall:], call)
		binary.BigEndian.PutUint32(packet[offsetArch:], arch)
		for i, arg := range args {
			binary.BigEndian.PutUint32(packet[offsetArguments+8*i:], arg)
		}
		verdict, err := vm.Run(packet)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(verdict)
	}
}

const (
	allowed = unix.SECCOMP_RET_ALLOW
	refused = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
)

var filterSets = map[string]Limits{
	"ordinary": {FirstUID: 1000, MailboxUID: mailID, MailboxGID: 901},
	"users":    {FirstUID: 1000, FirstGID: 100},
	"low":      {FirstUID: 1},
	"single":   {SingleUID: true},
}

var someIDs = []uint32{0, 1, 8, 33, 99, 100, 899, mailID, 901, 999, 1000, 1001, 65533, nobody, nobody16, 65536,
	1<<31 - 1, 1 << 31, unchanged - 1, unchanged}

// The filter and the check in Go say the same.
func TestIdentityFilter(t *testing.T) {
	t.Parallel()
	for name, limits := range filterSets {
		uids, gids := limits.identities(daemonID, daemonID)
		run := machine(t, identityRules(uids, gids))
		verdict := func(ok bool) uint32 {
			if ok {
				return allowed
			}
			return refused
		}
		for _, id := range append([]uint32{daemonID}, someIDs...) {
			uidOK, gidOK := uids.has(id), gids.has(id)
			leave := id == unchanged
			checks := []struct {
				call uint32
				ok   bool
				args []uint32
			}{
				{unix.SYS_SETUID, uidOK, []uint32{id}},
				{unix.SYS_SETGID, gidOK, []uint32{id}},
				{unix.SYS_SETREUID, uidOK || leave, []uint32{unchanged, id}},
				{unix.SYS_SETREGID, gidOK || leave, []uint32{id, unchanged}},
				{unix.SYS_SETRESUID, uidOK || leave, []uint32{unchanged, unchanged, id}},
				{unix.SYS_SETRESUID, uidOK || leave, []uint32{id, id, id}},
				{unix.SYS_SETRESGID, gidOK || leave, []uint32{id, unchanged, unchanged}},
				{unix.SYS_SETFSUID, false, []uint32{id}},
				{unix.SYS_SETFSGID, false, []uint32{id}},
				{unix.SYS_SETGROUPS, id == 0, []uint32{id}},
			}
			for _, c := range checks {
				if got := run(unix.AUDIT_ARCH_X86_64, c.call, c.args...); got != verdict(c.ok) {
					t.Errorf("%s: call %d of %v: verdict %#x, want %#x", name, c.call, c.args, got, verdict(c.ok))
				}
			}
		}
	}
}

func TestIdentitySets(t *testing.T) {
	t.Parallel()
	tests := []struct {
		limits string
		uid    uint32
		want   bool
	}{
		{"ordinary", 0, false}, {"ordinary", 33, false}, {"ordinary", 899, false}, {"ordinary", mailID, true},
		{"ordinary", 901, false}, {"ordinary", 1000, true}, {"ordinary", nobody, false}, {"ordinary", 4e9, true},
		{"ordinary", unchanged, false}, {"low", 0, false}, {"low", 1, true},
		{"single", daemonID, true}, {"single", 0, false}, {"single", 1000, false}, {"single", unchanged, false},
	}
	for _, test := range tests {
		uids, _ := filterSets[test.limits].identities(daemonID, daemonID)
		if got := uids.has(test.uid); got != test.want {
			t.Errorf("%s: %d: %v", test.limits, test.uid, got)
		}
	}
	_, gids := filterSets["users"].identities(daemonID, daemonID)
	if !gids.has(100) || gids.has(99) {
		t.Error("users: first gid is not 100")
	}
}

func TestFilterOfOtherCalls(t *testing.T) {
	t.Parallel()
	uids, gids := filterSets["ordinary"].identities(daemonID, daemonID)
	run := machine(t, identityRules(uids, gids))
	tests := []struct {
		name       string
		arch, call uint32
		arg        uint32
		want       uint32
	}{
		{"read", unix.AUDIT_ARCH_X86_64, unix.SYS_READ, 0, allowed},
		{"thread", unix.AUDIT_ARCH_X86_64, unix.SYS_CLONE, unix.CLONE_VM | unix.CLONE_THREAD, allowed},
		{"fork in a user namespace", unix.AUDIT_ARCH_X86_64, unix.SYS_CLONE, unix.CLONE_NEWUSER | 17, refused},
		{"own files", unix.AUDIT_ARCH_X86_64, unix.SYS_UNSHARE, unix.CLONE_FILES, allowed},
		{"user namespace", unix.AUDIT_ARCH_X86_64, unix.SYS_UNSHARE, unix.CLONE_NEWUSER | unix.CLONE_NEWNS, refused},
		{"namespace of another", unix.AUDIT_ARCH_X86_64, unix.SYS_SETNS, 3, refused},
		{"32 bit", unix.AUDIT_ARCH_I386, unix.SYS_READ, 0, unix.SECCOMP_RET_KILL_PROCESS},
		{"x32", unix.AUDIT_ARCH_X86_64, x32Bit + unix.SYS_SETUID, 1000, unix.SECCOMP_RET_KILL_PROCESS},
	}
	for _, test := range tests {
		if got := run(test.arch, test.call, test.arg); got != test.want {
			t.Errorf("%s: verdict %#x, want %#x", test.name, got, test.want)
		}
	}
}

func TestLimitsTravel(t *testing.T) {
	t.Parallel()
	limits := Limits{FirstUID: 1000, FirstGID: 100, MailboxUID: 900, MailboxGID: 901, SingleUID: true, Workers: 20, PerUID: 4}
	got, err := parseLimits(limits.String())
	if err != nil || got != limits {
		t.Errorf("%v, %v; want %v", got, err, limits)
	}
	for _, bad := range []string{
		"", "1", "1000,0,0,0,0,10", "1000,0,0,0,0,10,4,5", "0,0,0,0,0,10,4", "1000,0,0,0,0,0,4", "1000,0,0,0,0,10,0",
		"-1,0,0,0,0,10,4", "4294967296,0,0,0,0,10,4", "1000,0,0,0,0,65537,4", " 1000,0,0,0,0,10,4",
	} {
		if l, err := parseLimits(bad); err == nil {
			t.Errorf("%q: %v, want an error", bad, l)
		}
	}
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add(request{op: opStart, kind: 'p', sequence: 7, uid: 1000, gid: 1000}.encode())
	f.Add(request{op: opKill, pid: 4711}.encode())
	f.Add(make([]byte, requestSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRequest(b)
		if err == nil && string(r.encode()) != string(b) {
			t.Errorf("%x came back as %x", b, r.encode())
		}
	})
}

func FuzzDecodeReport(f *testing.F) {
	f.Add(report{op: opDone, outcome: outcomeErrno, sequence: 7, status: 11}.encode())
	f.Add(report{op: opEnded, pid: 4711, status: 9}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeReport(b)
		if err == nil && string(r.encode()) != string(b) {
			t.Errorf("%x came back as %x", b, r.encode())
		}
	})
}

func FuzzParseLimits(f *testing.F) {
	f.Add(Limits{FirstUID: 1000, Workers: 64, PerUID: 4}.String())
	f.Add("1,2,3,4,1,6,7")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := parseLimits(s)
		if err != nil {
			return
		}
		if again, err := parseLimits(l.String()); err != nil || again != l {
			t.Error(fmt.Sprint(s, again, err))
		}
	})
}
