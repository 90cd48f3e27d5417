// Package suite starts the real programs of the suite for tests: built binaries, sockets by `postrider listen`, a directory of
// their own, loopback only. As root it can give each daemon its own uid, as an installed suite has.
package suite

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Domain is the local domain of a suite that is not told another; Host is what it calls itself.
const (
	Domain = "example.test"
	Host   = "mail.example.test"
)

// noDNS is an address at which nobody answers, and that soon: no suite asks the resolver of the machine it runs on.
const noDNS = "127.0.0.1:1"

// IDs are the uids and gids that the programs get. They need no name in /etc/passwd.
type IDs struct {
	SMTPD, Relay, Local, Front, Auth, Mailbox int
	Read, Login, TLS                          int // groups
	First                                     int // first_valid_uid
	Separate                                  bool
}

// Separated are the ids of an installed suite, as numbers that no host uses: the mailbox user is below the ordinary ones.
func Separated() IDs {
	return IDs{SMTPD: 61001, Relay: 61002, Local: 61003, Front: 61004, Auth: 61005, Mailbox: 61010, Read: 61021, Login: 61022, TLS: 61023, First: 61030, Separate: true}
}

// Single is everything under one uid that is not root's.
func Single() IDs {
	uid := os.Getuid()
	if uid == 0 {
		uid = 61000
	}
	return IDs{SMTPD: uid, Relay: uid, Local: uid, Front: uid, Auth: uid, Mailbox: uid, Read: uid, Login: uid, TLS: uid, First: min(uid, 1000)}
}

// Options of a suite.
type Options struct {
	IDs     IDs
	Extra   string   // configuration to add, TOML: top-level keys first
	Bin     string   // binaries; default: built once for the test program
	Spool   string   // default: in the suite's directory
	Mail    string   // homes of virtual users; default: in the suite's directory
	Env     []string // for all daemons
	Keep    bool     // a spool and homes that are there are used as they are
	Daemons []string // that StartAll starts; default: Daemons

	Domain    string // default: the constants
	Host      string
	Resolver  string // DNS server, address:port; default: none that answers
	RelayPort int    // of hosts that are found by MX; 0 = 25

	Listen map[string][]string // more options of `postrider listen`, by daemon
}

// Suite is a running suite.
type Suite struct {
	Dir, Config, CA, Spool, Mail, Run string
	Domain, Host                      string
	Addr                              map[string]string // host:port by service
	IDs                               IDs

	opt  Options
	bin  string
	more map[string][]string // options of postrider listen
	tb   testing.TB
	logs *os.File // of all daemons; a file, as what they started may outlive them and write into it, too
	mu   sync.Mutex
	proc map[string]*process
}

type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error
}

// Daemons in the order of their start.
var Daemons = []string{"authd", "localdeliver", "smtpd", "relayd"}

// Incoming are the daemons without the one that sends: mail for other hosts stays in remote/new.
var Incoming = []string{"authd", "localdeliver", "smtpd"}

// Reading are the daemons of a host on which mail is received, submitted and read.
var Reading = []string{"authd", "localdeliver", "smtpd", "imapd", "pop3d"}

// New lays a suite out without starting it. What it made is removed at the end of the test.
func New(tb testing.TB, o Options) *Suite {
	tb.Helper()
	o = o.complete(tb)
	dir, err := os.MkdirTemp("", "pr")
	check(tb, err)
	check(tb, os.Chmod(dir, 0o755))
	s := &Suite{Dir: dir, bin: dir + "/bin", opt: o, more: o.Listen, tb: tb, IDs: o.IDs, proc: map[string]*process{}, Addr: map[string]string{},
		Domain: o.Domain, Host: o.Host, Config: dir + "/etc/postrider.toml", CA: dir + "/tls/ca.pem", Spool: o.Spool, Mail: o.Mail, Run: dir + "/run"}
	if s.Spool == "" {
		s.Spool = dir + "/spool"
	}
	if s.Mail == "" {
		s.Mail = dir + "/mail"
	}
	s.linkPrograms(o.Bin)
	s.logs, err = os.OpenFile(dir+"/log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	check(tb, err)
	tb.Cleanup(func() {
		s.Kill()
		s.logs.Close()
		if tb.Failed() {
			tb.Logf("log of %s:\n%s", dir, s.Log())
		}
		os.RemoveAll(dir)
	})
	s.layOut(o)
	return s
}

// complete puts in what is not said.
func (o Options) complete(tb testing.TB) Options {
	tb.Helper()
	if o.IDs.SMTPD == 0 {
		o.IDs = Single()
	}
	if o.Bin == "" {
		o.Bin = Build(tb)
	}
	if o.Daemons == nil {
		o.Daemons = Daemons
	}
	o.Domain, o.Host, o.Resolver = cmp.Or(o.Domain, Domain), cmp.Or(o.Host, Host), cmp.Or(o.Resolver, noDNS)
	return o
}

// Start is New and all daemons.
func Start(tb testing.TB, o Options) *Suite {
	tb.Helper()
	s := New(tb, o)
	s.StartAll()
	return s
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (s *Suite) mkdir(path string, mode os.FileMode, uid, gid int) {
	s.tb.Helper()
	check(s.tb, os.MkdirAll(path, 0o755))
	if os.Getuid() == 0 {
		check(s.tb, os.Chown(path, uid, gid))
	}
	check(s.tb, os.Chmod(path, mode))
}

// File writes a file below the suite's directory, readable by all.
func (s *Suite) File(name, text string) {
	s.tb.Helper()
	check(s.tb, os.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o644))
}

func (s *Suite) layOut(o Options) {
	s.tb.Helper()
	i := s.IDs
	for _, d := range []string{"etc", "tls", "run", "state"} {
		s.mkdir(filepath.Join(s.Dir, d), 0o755, 0, 0)
	}
	s.mkdir(s.Dir+"/state/authd", 0o700, i.Auth, i.Auth)
	if !o.Keep {
		s.layOutSpool()
		s.mkdir(s.Mail, 0o711, i.Mailbox, i.Mailbox)
		for _, u := range Users {
			s.mkdir(filepath.Join(s.Mail, u), 0o700, i.Mailbox, i.Mailbox)
		}
	}
	for _, name := range []string{"smtp", "submission", "submissions", "lmtp", "imap", "imaps", "pop3", "pop3s"} {
		s.Addr[name] = freePort(s.tb)
	}
	s.certify()
	s.File("etc/aliases", "postmaster: alice\nroot: alice\n")
	s.File("etc/domains", s.Domain+" local\n")
	s.File("etc/virtual", "")
	s.File("etc/users", s.usersTable())
	s.File("etc/passwd", "")
	s.Secret("etc/passwords", "", i.Auth)
	s.Secret("etc/relay_auth", "", i.Relay)
	s.File("etc/transport", "")
	s.File("etc/tls_policy", "")
	s.Configure(o.Extra)
}

// Users are the virtual users of every suite; Password is that of each.
var Users = []string{"alice", "bob", "carol"}

// Password of every user.
const Password = "correct horse"

func (s *Suite) usersTable() string {
	var b strings.Builder
	for _, u := range Users {
		b.WriteString(s.UserLine(u))
	}
	return b.String()
}

// Secret writes a file below the suite's directory, readable by one group only.
func (s *Suite) Secret(name, text string, gid int) {
	s.tb.Helper()
	s.File(name, text)
	s.secret(name, gid)
}

// secret makes a file readable by one group only.
func (s *Suite) secret(name string, gid int) {
	path := filepath.Join(s.Dir, name)
	if os.Getuid() == 0 {
		check(s.tb, os.Chown(path, 0, gid))
	}
	check(s.tb, os.Chmod(path, 0o640))
}

func (s *Suite) layOutSpool() {
	i := s.IDs
	s.mkdir(s.Spool, 0o755, 0, 0)
	s.mkdir(s.Spool+"/stage", os.ModeSetgid|0o700, i.SMTPD, i.Read)
	for via, uid := range map[string]int{"local": i.Local, "remote": i.Relay} {
		s.mkdir(filepath.Join(s.Spool, via), 0o711, uid, uid)
		s.mkdir(filepath.Join(s.Spool, via, "new"), os.ModeSticky|0o730, uid, i.SMTPD)
	}
}

// Configure writes the configuration, with extra lines at its top and after its tables.
func (s *Suite) Configure(extra string) {
	s.tb.Helper()
	top, tables, _ := strings.Cut("\n"+extra, "\n[")
	if tables != "" {
		tables = "[" + tables
	}
	if s.opt.RelayPort != 0 {
		tables = withKey(tables, "[relayd]", fmt.Sprintf("port = %d", s.opt.RelayPort))
	}
	s.File("etc/postrider.toml", fmt.Sprintf(`version = 1
hostname = %q
origin = %q
single_uid = %v
first_valid_uid = %d
spool_dir = %q
run_dir = %q
state_dir = %q
mailbox_user = "%d"
mail_root = %q
resolver = %q
%s

[tables]
aliases = [%q]
users = %q
passwords = %q
domains = %q
virtual = %q
passwd = %q
transport = %q
tls_policy = %q
relay_auth = %q

[tls]
certificate = %q
key = %q

%s
`, s.Host, s.Domain, !s.IDs.Separate, s.IDs.First, s.Spool, s.Run, s.Dir+"/state", s.IDs.Mailbox, s.Mail, s.opt.Resolver, top,
		s.Dir+"/etc/aliases", s.Dir+"/etc/users", s.Dir+"/etc/passwords", s.Dir+"/etc/domains", s.Dir+"/etc/virtual", s.Dir+"/etc/passwd",
		s.Dir+"/etc/transport", s.Dir+"/etc/tls_policy", s.Dir+"/etc/relay_auth", s.Dir+"/tls/cert.pem", s.Dir+"/tls/key.pem", tables))
}

// withKey puts a line into a table of a configuration, which it makes if there is none.
func withKey(tables, header, line string) string {
	if !strings.Contains(tables, header+"\n") {
		tables += "\n" + header + "\n"
	}
	return strings.Replace(tables, header+"\n", header+"\n"+line+"\n", 1)
}

// Certify makes a new authority and certificate.
func (s *Suite) Certify() {
	s.tb.Helper()
	check(s.tb, os.Remove(s.Dir+"/tls/cert.pem"))
	s.certify()
}

func (s *Suite) certify() {
	out, err := exec.Command(s.bin+"/mkrun", "cert", s.Dir+"/tls", s.Host, s.Domain, "localhost", "127.0.0.1").CombinedOutput()
	if err != nil {
		s.tb.Fatalf("certificate: %v: %s", err, out)
	}
	check(s.tb, os.Chmod(s.Dir+"/tls/ca.pem", 0o644))
	check(s.tb, os.Chmod(s.Dir+"/tls/cert.pem", 0o644))
	s.secret("tls/key.pem", s.IDs.TLS)
}

// AddPassword gives a user Password, by `postrider user`.
func (s *Suite) AddPassword(user string) {
	s.tb.Helper()
	out, err := s.RunStdin(Password+"\n", "postrider", "user", "passwd", "-c", s.Config, "-stdin", user)
	if err != nil {
		s.tb.Fatalf("postrider user passwd: %v: %s", err, out)
	}
}

// listenArgs are the sockets and rights of each daemon, as its unit gives them.
func (s *Suite) listenArgs(daemon string) []string {
	i := s.IDs
	a := slices.Clone(s.more[daemon])
	if os.Getuid() == 0 {
		uid := map[string]int{"smtpd": i.SMTPD, "localdeliver": i.Local, "authd": i.Auth, "relayd": i.Relay, "imapd": i.Front, "pop3d": i.Front}[daemon]
		front := fmt.Sprintf("%d,%d", i.Login, i.TLS)
		groups := map[string]string{"smtpd": front, "imapd": front, "pop3d": front,
			"localdeliver": fmt.Sprintf("%d,%d", i.Read, i.Login), "authd": "", "relayd": strconv.Itoa(i.Read)}[daemon]
		a = append(a, "-user", strconv.Itoa(uid), "-group", strconv.Itoa(uid))
		if i.Separate && groups != "" {
			a = append(a, "-groups", groups)
		}
		if i.Separate && (daemon == "localdeliver" || daemon == "authd") {
			a = append(a, "-caps", "setuid,setgid")
		}
	}
	owner := func(uid, gid int) string {
		if os.Getuid() != 0 {
			return ""
		}
		return fmt.Sprintf(",owner=%d:%d", uid, gid)
	}
	switch daemon {
	case "smtpd":
		for _, name := range []string{"smtp", "submission", "submissions", "lmtp"} {
			a = append(a, "-socket", name+"="+s.Addr[name])
		}
		a = append(a, "-socket", "submit=unix:"+s.Run+"/submit,mode=0666"+owner(i.SMTPD, i.SMTPD))
		a = append(a, "-socket", "submit.int=unix:"+s.Run+"/submit.int,mode=0660"+owner(i.SMTPD, i.Read))
	case "authd":
		a = append(a, "-socket", "auth=unix:"+s.Run+"/auth,mode=0660"+owner(i.Auth, i.Login))
	case "imapd":
		a = append(a, "-socket", "imap="+s.Addr["imap"], "-socket", "imaps="+s.Addr["imaps"])
		a = append(a, "-socket", "imap.ctl=unix:"+s.Run+"/imap.ctl,mode=0666"+owner(i.Front, i.Front))
	case "pop3d":
		a = append(a, "-socket", "pop3="+s.Addr["pop3"], "-socket", "pop3s="+s.Addr["pop3s"])
		a = append(a, "-socket", "pop3.ctl=unix:"+s.Run+"/pop3.ctl,mode=0666"+owner(i.Front, i.Front))
	case "localdeliver":
		a = append(a, "-socket", "local.ctl=unix:"+s.Run+"/local.ctl,mode=0666"+owner(i.Local, i.Local))
	case "relayd":
		a = append(a, "-socket", "relay.ctl=unix:"+s.Run+"/relay.ctl,mode=0666"+owner(i.Relay, i.Relay))
	}
	return a
}

// StartDaemon starts one daemon and waits until it answers.
func (s *Suite) StartDaemon(name string, env ...string) {
	s.tb.Helper()
	args := append([]string{"listen"}, s.listenArgs(name)...)
	args = append(args, "--", s.bin+"/"+name, "-c", s.Config)
	cmd := exec.Command(s.bin+"/postrider", args...)
	cmd.Env = append(append(os.Environ(), s.opt.Env...), env...)
	cmd.Stdout, cmd.Stderr = s.logs, s.logs
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ready := s.notifySocket(cmd)
	check(s.tb, cmd.Start())
	p := &process{cmd: cmd, done: make(chan struct{})}
	s.mu.Lock()
	s.proc[name] = p
	s.mu.Unlock()
	go func() { p.err = cmd.Wait(); close(p.done) }()
	select {
	case <-ready:
	case <-p.done:
		s.tb.Fatalf("%s ended at its start: %v\n%s", name, p.err, s.Log())
	case <-time.After(30 * time.Second):
		s.tb.Fatalf("%s was not ready after 30 s\n%s", name, s.Log())
	}
}

// notifySocket gives the daemon a NOTIFY_SOCKET and returns a channel that is closed at its READY=1.
func (s *Suite) notifySocket(cmd *exec.Cmd) <-chan struct{} {
	dir, err := os.MkdirTemp(s.Dir, "n")
	check(s.tb, err)
	check(s.tb, os.Chmod(dir, 0o755))
	path := dir + "/s"
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	check(s.tb, err)
	check(s.tb, os.Chmod(path, 0o777))
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+path)
	ready := make(chan struct{})
	go func() {
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(40 * time.Second))
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			if strings.Contains(string(b[:n]), "READY=1") {
				close(ready)
				return
			}
		}
	}()
	return ready
}

// Limit replaces the options of Options.Listen for the next start of a daemon.
func (s *Suite) Limit(daemon string, options ...string) {
	s.more = maps.Clone(s.more)
	if s.more == nil {
		s.more = make(map[string][]string)
	}
	s.more[daemon] = options
}

// StartAll starts every daemon of the suite.
func (s *Suite) StartAll() {
	s.tb.Helper()
	for _, d := range s.opt.Daemons {
		s.StartDaemon(d)
	}
}

// Ended returns a channel that is closed when the daemon has ended.
func (s *Suite) Ended(daemon string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc[daemon].done
}

// Signal sends a signal to one daemon.
func (s *Suite) Signal(daemon string, sig syscall.Signal) {
	s.tb.Helper()
	s.mu.Lock()
	p := s.proc[daemon]
	s.mu.Unlock()
	check(s.tb, p.cmd.Process.Signal(sig))
}

// Stop ends one daemon by SIGTERM and waits for it.
func (s *Suite) Stop(daemon string) {
	s.tb.Helper()
	s.Signal(daemon, syscall.SIGTERM)
	s.Gone(daemon)
}

// Gone waits until a daemon has ended.
func (s *Suite) Gone(daemon string) {
	s.tb.Helper()
	select {
	case <-s.Ended(daemon):
	case <-time.After(30 * time.Second):
		s.tb.Fatalf("%s did not end in 30 s", daemon)
	}
}

// Kill ends everything by SIGKILL: daemons, spawners and workers.
func (s *Suite) Kill() {
	s.mu.Lock()
	ps := s.proc
	s.proc = map[string]*process{}
	s.mu.Unlock()
	for s.killPrograms() > 0 {
	}
	for _, p := range ps {
		<-p.done
	}
}

// linkPrograms gives the suite programs of its own, so that their processes can be told from those of other suites.
func (s *Suite) linkPrograms(from string) {
	s.tb.Helper()
	check(s.tb, os.Mkdir(s.bin, 0o755))
	entries, err := os.ReadDir(from)
	check(s.tb, err)
	for _, e := range entries {
		check(s.tb, os.Link(filepath.Join(from, e.Name()), filepath.Join(s.bin, e.Name())))
	}
}

// killPrograms kills every process that runs a program of the suite and returns how many there were.
func (s *Suite) killPrograms() (n int) {
	for pid := range s.processes() {
		if syscall.Kill(pid, syscall.SIGKILL) == nil && !zombie(pid) {
			n++
		}
	}
	return n
}

// processes are all processes that run a program of the suite, with their arguments. Only these can be read by everybody: the
// daemons hide the rest of /proc even from their own uid.
func (s *Suite) processes() map[int][]string {
	found := make(map[int][]string)
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		b, err := os.ReadFile(file)
		args := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
		if pid, bad := strconv.Atoi(strings.Split(file, "/")[2]); err == nil && bad == nil && strings.HasPrefix(args[0], s.bin+"/") {
			found[pid] = args
		}
	}
	return found
}

func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return err != nil || strings.HasPrefix(rest, "Z")
}

// Log is everything the daemons wrote.
func (s *Suite) Log() string {
	text, err := os.ReadFile(s.logs.Name())
	check(s.tb, err)
	return string(text)
}

// Wait polls until ok, at most 20 seconds.
func (s *Suite) Wait(what string, ok func() bool) {
	s.tb.Helper()
	Wait(s.tb, what, ok)
}

// Wait polls until ok, at most 20 seconds.
func Wait(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	WaitLong(tb, 20*time.Second, what, ok)
}

// WaitLong polls until ok, at most for the given time.
func WaitLong(tb testing.TB, most time.Duration, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(most); !ok(); {
		if time.Now().After(deadline) {
			tb.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// WaitLog waits for a text in the log.
func (s *Suite) WaitLog(text string) {
	s.tb.Helper()
	s.Wait(fmt.Sprintf("%q in the log", text), func() bool { return strings.Contains(s.Log(), text) })
}

// RunStdin runs a program of the suite with input, as the test's own user.
func (s *Suite) RunStdin(stdin, name string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Maildir lists the messages in new/ and cur/ of a Maildir.
func Maildir(dir string) []string {
	a, _ := filepath.Glob(dir + "/new/*")
	b, _ := filepath.Glob(dir + "/cur/*")
	return append(a, b...)
}

// Mailbox is the Maildir of a virtual user.
func (s *Suite) Mailbox(user string) string { return filepath.Join(s.Mail, user, "Maildir") }

// Mails waits until a virtual user has n messages, and returns their texts.
func (s *Suite) Mails(user string, n int) []string {
	s.tb.Helper()
	s.Wait(fmt.Sprintf("%d messages for %s", n, user), func() bool { return len(Maildir(s.Mailbox(user))) >= n })
	var texts []string
	for _, f := range Maildir(s.Mailbox(user)) {
		b, err := os.ReadFile(f)
		check(s.tb, err)
		texts = append(texts, string(b))
	}
	if len(texts) != n {
		s.tb.Fatalf("%s has %d messages, not %d", user, len(texts), n)
	}
	return texts
}

// Queue lists the files of a channel's directory, subdirectories included.
func (s *Suite) Queue(via, state string) []string {
	a, _ := filepath.Glob(filepath.Join(s.Spool, via, state, "*"))
	var files []string
	for _, p := range a {
		if st, err := os.Lstat(p); err == nil && st.IsDir() {
			b, _ := filepath.Glob(p + "/*")
			files = append(files, b...)
		} else {
			files = append(files, p)
		}
	}
	return files
}

// given are the ports of all suites of this process: one that is not bound yet would be found free again.
var given sync.Map

// freePort finds a port on loopback, below those that the kernel gives to the tests and connections of other processes.
func freePort(tb testing.TB) string {
	tb.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if _, taken := given.LoadOrStore(addr, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	tb.Fatal("no free port")
	return ""
}
