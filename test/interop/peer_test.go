//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/test/suite"
)

// peer is a server of other people's, from Debian's packages. Nothing is installed: it runs in namespaces of its own, in what the
// packages hold laid over the host's files, with all that it writes in memory but for its /srv.
type peer struct {
	t       *testing.T
	dir     string
	addr    string            // where it listens
	pkgs    string            // Debian's names
	files   map[string]string // by path: what the packages do not have
	command string            // run by sh; stays in the foreground
	stop    func()

	configure func(port, host string) // its files, for the suite that its mail goes to
}

// accounts are those that the packages would make, and vmail, whose the mail is.
const accounts = `root:x:0:0::/root:/bin/sh
postfix:x:61901:61901::/var/spool/postfix:/bin/false
Debian-exim:x:61903:61903::/var/spool/exim4:/bin/false
opensmtpd:x:61904:61904::/var/lib/opensmtpd/empty:/bin/false
opensmtpq:x:61905:61905::/var/lib/opensmtpd/empty:/bin/false
dovecot:x:61906:61906::/usr/lib/dovecot:/bin/false
dovenull:x:61907:61907::/nonexistent:/bin/false
unbound:x:61908:61908::/var/lib/unbound:/bin/false
vmail:x:61910:61910::/srv/mail:/bin/sh
nobody:x:65534:65534::/:/bin/false
`

const groups = `root:x:0:
mail:x:8:
postfix:x:61901:
postdrop:x:61902:
Debian-exim:x:61903:
opensmtpd:x:61904:
opensmtpq:x:61905:
dovecot:x:61906:
dovenull:x:61907:
unbound:x:61908:
vmail:x:61910:
nogroup:x:65534:
`

// serve is run in the namespaces, with the peer's directory, the unpacked packages, and the command.
const serve = `set -e
cd "$1"
mkdir -p top layers
mount -t tmpfs tmpfs layers # layers of an overlay may not contain each other
mkdir layers/work
cp -a conf "$2" layers/
mount -t overlay overlay -o "lowerdir=$PWD/layers/${2##*/}:/,upperdir=$PWD/layers/conf,workdir=$PWD/layers/work" top
mount --bind srv top/srv
mount -t proc proc top/proc
mount --rbind /dev top/dev
: > laid
exec chroot top sh -c "$3"
`

// newPeer lays out a peer that calls itself by the first of the names, with a certificate for them.
func newPeer(t *testing.T, ip string, pkgs, command string, names ...string) *peer {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: runs servers in namespaces of their own")
	}
	dir, err := os.MkdirTemp("", "prpeer")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &peer{t: t, dir: dir, addr: ip + ":" + freePort(t, ip), pkgs: pkgs, command: command, stop: func() {}, configure: func(string, string) {}}
	for _, d := range []string{"", "conf", "conf/etc", "conf/etc/tls", "srv", "srv/mail"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
		must(t, os.Chmod(filepath.Join(dir, d), 0o755))
	}
	must(t, os.Chown(dir+"/srv/mail", 61910, 61910))
	runs(t, "", need(t, "openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN="+names[0],
		"-addext", "subjectAltName=DNS:"+strings.Join(names, ",DNS:"), "-keyout", dir+"/conf/etc/tls/key.pem", "-out", dir+"/conf/etc/tls/cert.pem")
	must(t, os.Chmod(dir+"/conf/etc/tls/key.pem", 0o644))
	p.files = map[string]string{
		"etc/passwd": accounts, "etc/group": groups, "etc/mailname": names[0] + "\n", "etc/hosts": "127.0.0.1 localhost\n",
		"etc/resolv.conf": "nameserver 127.0.0.1\n", "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\n",
	}
	return p
}

// certificate is the path of the peer's, which nobody else signed.
func (p *peer) certificate() string { return p.dir + "/conf/etc/tls/cert.pem" }

func (p *peer) ip() string { ip, _, _ := net.SplitHostPort(p.addr); return ip }

func (p *peer) port() (port int) {
	_, text, _ := net.SplitHostPort(p.addr)
	fmt.Sscan(text, &port)
	return port
}

// start writes the peer's files, starts it, and waits until it answers.
func (p *peer) start() {
	p.t.Helper()
	for name, text := range p.files {
		path := filepath.Join(p.dir, "conf", name)
		must(p.t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(p.t, os.WriteFile(path, []byte(text), 0o644))
	}
	cmd := exec.Command("sh", "-c", serve, "sh", p.dir, unpack(p.t, p.pkgs), p.command)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		p.t.Skipf("namespaces cannot be made here: %v", err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	p.stop = sync.OnceFunc(func() {
		cmd.Process.Kill() // the first process of its namespace: all others go with it
		<-ended
		if p.t.Failed() {
			p.t.Logf("%s: %s\n%s", p.pkgs, out.Bytes(), p.log())
		}
	})
	p.t.Cleanup(p.stop)
	suite.Wait(p.t, p.pkgs, func() bool {
		select {
		case <-ended:
			if _, err := os.Stat(p.dir + "/laid"); err != nil {
				p.t.Skipf("mounts cannot be made here: %s", out.Bytes())
			}
			p.t.Fatalf("%s does not start", p.pkgs)
		default:
		}
		return listens(p.addr)
	})
}

func listens(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// log is what the peer's logs in /srv say.
func (p *peer) log() string {
	var all strings.Builder
	files, _ := filepath.Glob(p.dir + "/srv/*log")
	for _, file := range files {
		text, _ := os.ReadFile(file)
		all.Write(text)
	}
	return all.String()
}

// maildir is that of a user of the peer.
func (p *peer) maildir(user string) string { return filepath.Join(p.dir, "srv/mail", user) }

// arrives waits for a message that has the text at its end, as it was sent, but for line ends, and returns what stands before.
func (p *peer) arrives(user, text string) (trace string) {
	p.t.Helper()
	want := strings.ReplaceAll(text, "\r\n", "\n")
	suite.WaitLong(p.t, time.Minute, fmt.Sprintf("%.200q at %s", text, p.maildir(user)), func() (ok bool) {
		trace, ok = find(suite.Maildir(p.maildir(user)), want)
		return ok
	})
	return trace
}

// find looks for a file that ends in a text, and returns what stands before.
func find(files []string, end string) (string, bool) {
	for _, file := range files {
		if i, err := os.Stat(file); err != nil || i.Size() < int64(len(end)) {
			continue
		}
		b, err := os.ReadFile(file)
		if before, ok := strings.CutSuffix(string(b), end); ok && err == nil {
			return before, true
		}
	}
	return "", false
}

// unpacked are directories with Debian's packages, and what these need and the host lacks.
var unpacked struct {
	sync.Mutex
	base  string
	roots map[string]string
}

// unpack fetches packages and unpacks them below a directory, once for all tests.
func unpack(t *testing.T, pkgs string) string {
	t.Helper()
	need(t, "apt-get", "apt")
	u := &unpacked
	u.Lock()
	defer u.Unlock()
	if root := u.roots[pkgs]; root != "" {
		return root
	}
	if u.roots == nil {
		var err error
		u.base, err = os.MkdirTemp("", "prdebs")
		must(t, err)
		u.roots = make(map[string]string)
	}
	dir, err := os.MkdirTemp(u.base, "root")
	must(t, err)
	debs := filepath.Join(dir, "var/debs")
	must(t, os.MkdirAll(debs+"/partial", 0o755))
	must(t, os.Chmod(dir, 0o755))
	if out, err := apt(t, append([]string{"-o", "Dir::Cache::archives=" + debs, "-o", "APT::Sandbox::User=root", "--download-only"}, strings.Fields(pkgs)...)...); err != nil {
		t.Skipf("Debian's %s cannot be had: %v: %.500s", pkgs, err, out)
	}
	runs(t, "", "sh", "-ec", `for deb in "$1"/var/debs/*.deb; do # none, where the host has all of it
  [ ! -e "$deb" ] || dpkg -x "$deb" "$1"
done
rm -r "$1/var/debs"
for d in bin sbin lib lib64; do # links to usr on the host
  [ ! -d "$1/$d" ] || { mkdir -p "$1/usr/$d"; cp -a "$1/$d/." "$1/usr/$d/"; rm -r "$1/$d"; }
done`, "sh", dir)
	u.roots[pkgs] = dir
	return dir
}

// aptTurn is held while apt-get runs: it locks its lists.
var aptTurn sync.Mutex

// apt runs apt-get install, and if it fails once more with new lists.
func apt(t *testing.T, args ...string) (string, error) {
	t.Helper()
	aptTurn.Lock()
	defer aptTurn.Unlock()
	install := append([]string{"-qq", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=60", "install"}, args...)
	out, err := run(t, exec.Command("apt-get", install...))
	if err == nil {
		return out, nil
	}
	if out, err := run(t, exec.Command("apt-get", "-qq", "update")); err != nil {
		return out, err
	}
	return run(t, exec.Command("apt-get", install...))
}

// freePort finds a port of a loopback address, below those that the kernel gives to connections.
func freePort(t *testing.T, ip string) string {
	t.Helper()
	for range 1000 {
		port := fmt.Sprint(10_000 + rand.IntN(20_000))
		if l, err := net.Listen("tcp", ip+":"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return ""
}
