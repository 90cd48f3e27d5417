package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/config"
)

// everyone is a host on which every name has the ids of this process.
type everyone struct{}

func (everyone) uid(name string) (uint32, error) { return uint32(os.Getuid()), known(name) }
func (everyone) gid(name string) (uint32, error) { return uint32(os.Getgid()), known(name) }

func known(name string) error {
	if strings.HasPrefix(name, "pr-") {
		return nil
	}
	return errors.New("unknown " + name)
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func chmod(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// newWorld is a host without faults.
func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	c := config.Default()
	c.Path = "postrider.toml"
	c.Hostname, c.Origin = "mail.example.org", "example.org"
	c.SpoolDir = filepath.Join(dir, "spool")
	c.Tables = config.Tables{
		Aliases: []string{write(t, filepath.Join(dir, "aliases"), "root: alice\n")},
		Passwd:  write(t, filepath.Join(dir, "passwd"), "root:x:0:0::/root:\nalice:x:5000:5000::/home/alice:\n"),
		Virtual: filepath.Join(dir, "virtual"),
		Domains: filepath.Join(dir, "domains"),
	}
	w := &world{Config: c, now: time.Now(), accounts: everyone{}, kernel: kernel{proc: filepath.Join(dir, "proc"), sys: filepath.Join(dir, "sys")}}
	chmod(t, c.Tables.Aliases[0], 0o644)
	chmod(t, c.Tables.Passwd, 0o644)
	for _, d := range layout() {
		path := filepath.Join(c.SpoolDir, d.path)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range layout() {
		if err := os.Chmod(filepath.Join(c.SpoolDir, d.path), d.mode); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) expect(t *testing.T, want ...string) {
	t.Helper()
	got := make([]string, len(w.problems))
	for i, p := range w.problems {
		got[i] = p.String()
	}
	if len(got) != len(want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tables()
	w.expect(t)
}

func TestTableErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	write(t, w.Tables.Aliases[0], "root\n")
	chmod(t, write(t, w.Tables.Domains, "example.net\n"), 0o644)
	w.tables()
	w.expect(t, "aliases:1: expected", "domains:1: expected")
}

func TestEndsNowhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		aliases    string
		postmaster string
		want       []string
	}{
		"nothing":            {"", "postmaster", []string{"mail for root ends nowhere", "mail for postmaster ends nowhere"}},
		"postmaster set":     {"", "x@example.net", []string{"mail for root ends nowhere"}},
		"remote":             {"root: x@example.net\n", "postmaster", nil},
		"stranger":           {"root: bob\n", "postmaster", []string{"mail for root ends", "mail for postmaster ends", "aliases:1: warning: root: unknown user: bob@example.org"}},
		"command":            {"root: |/bin/cmd\n", "postmaster", nil},
		"postmaster to root": {"root: \\root, alice\npostmaster: root\n", "postmaster", []string{"aliases:1: warning: root: root@example.org is in no table", "aliases:2: warning: postmaster: root@example.org is"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			write(t, w.Tables.Aliases[0], c.aliases)
			w.LocalDeliver.Postmaster = c.postmaster
			w.tables()
			w.problems.Sort()
			w.expect(t, c.want...)
		})
	}
}

func TestLoops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	write(t, w.Tables.Aliases[0], "root: alice\na: b\nb: a\n")
	chmod(t, write(t, w.Tables.Domains, "v.example virtual\n"), 0o644)
	chmod(t, write(t, w.Tables.Virtual, "x@v.example y@v.example\ny@v.example x@v.example\nz@other.example alice\n@v.example nobody\n"), 0o644)
	w.tables()
	w.problems.Sort()
	text := w.problems.Error()
	for _, want := range []string{"aliases:2: a: aliases lead to each other", "aliases:3: b: aliases lead", "virtual:1: x@v.example: aliases lead", "virtual:2: y@v.example: aliases lead",
		"virtual:3: warning: other.example is not in the domains table", "virtual:4: warning: @v.example: unknown user: nobody@example.org"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if len(w.problems) != 6 {
		t.Errorf("%d problems:\n%s", len(w.problems), text)
	}
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Tables.Passwords = write(t, filepath.Join(t.TempDir(), "passwords"), "alice\n")
	chmod(t, w.Tables.Passwords, 0o640)
	w.passwords()
	w.expect(t, "passwords:1: ")

	w.problems = nil
	write(t, w.Tables.Passwords, "")
	chmod(t, w.Tables.Passwords, 0o644)
	w.passwords()
	w.expect(t, "passwords: mode 0644: a secret that others may reach")

	w.problems = nil
	chmod(t, w.Tables.Passwords, 0o640)
	w.accounts = other{}
	w.passwords()
	w.expect(t, "passwords: pr-auth cannot read it: give it to group pr-auth with mode 0640")
}

func TestPublic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	chmod(t, w.Tables.Passwd, 0o640)
	w.tables()
	w.expect(t, "passwd: warning: mode 0640: the daemons may be unable to read it")
}

// issue writes a certificate and its key.
func issue(t *testing.T, dir, host string, from, to time.Time) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		host     string
		from, to time.Duration
		spoil    func(t *testing.T, w *world)
		want     []string
	}{
		"good":       {"mail.example.org", -day, 60 * day, nil, nil},
		"soon":       {"mail.example.org", -day, 13 * day, nil, []string{"cert.pem: warning: expires on"}},
		"expired":    {"mail.example.org", -9 * day, -day, nil, []string{"cert.pem: expired on"}},
		"not yet":    {"mail.example.org", day, 60 * day, nil, []string{"cert.pem: not valid before"}},
		"other name": {"www.example.org", -day, 60 * day, nil, []string{"cert.pem: warning: does not name mail.example.org"}},
		"none":       {"mail.example.org", -day, 60 * day, func(_ *testing.T, w *world) { w.TLS = config.TLS{} }, []string{"tls.certificate is not set"}},
		"missing":    {"mail.example.org", -day, 60 * day, func(_ *testing.T, w *world) { w.TLS.Certificate += "x"; w.TLS.Key += "x" }, []string{"cert.pemx: no such file", "key.pemx: no such file"}},
		"mismatch": {"mail.example.org", -day, 60 * day, func(t *testing.T, w *world) {
			_, w.TLS.Key = issue(t, t.TempDir(), "x", now, now)
		}, []string{"private key does not match"}},
		"open key": {"mail.example.org", -day, 60 * day, func(t *testing.T, w *world) { chmod(t, w.TLS.Key, 0o644) }, []string{"key.pem: mode 0644: a secret that others may reach"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.TLS.Certificate, w.TLS.Key = issue(t, t.TempDir(), c.host, now.Add(c.from), now.Add(c.to))
			if c.spoil != nil {
				c.spoil(t, w)
			}
			w.certificate()
			w.expect(t, c.want...)
		})
	}
}

func TestDirectories(t *testing.T) {
	t.Parallel()
	spool := func(w *world) {
		for _, d := range layout() {
			if d.owner == "" && os.Getuid() != 0 {
				continue // the root of the spool must be root's
			}
			info, err := os.Stat(w.SpoolDir)
			if err != nil {
				w.fail(w.SpoolDir, "%v", err)
				return
			}
			w.directory(d, info.Sys().(*syscall.Stat_t).Dev)
		}
	}
	for name, c := range map[string]struct {
		spoil func(w *world, dir string) error
		want  []string
	}{
		"good":   {func(*world, string) error { return nil }, nil},
		"mode":   {func(_ *world, dir string) error { return os.Chmod(dir+"/stage", 0o755) }, []string{"stage: has mode 0755, not 2700"}},
		"sticky": {func(_ *world, dir string) error { return os.Chmod(dir+"/local/new", 0o730) }, []string{"local/new: has mode 0730, not 1730"}},
		"gone":   {func(_ *world, dir string) error { return os.Remove(dir + "/remote/bad") }, []string{"remote/bad: no such file"}},
		"file": {func(_ *world, dir string) error {
			return errors.Join(os.Remove(dir+"/remote/bad"), os.WriteFile(dir+"/remote/bad", nil, 0o600))
		}, []string{"remote/bad: not a directory"}},
		"single uid": {func(w *world, dir string) error {
			w.SingleUID = true
			return errors.Join(os.Chmod(dir+"/stage", 0o755), os.Remove(dir+"/remote/bad"))
		}, nil},
		"no users": {func(w *world, dir string) error { w.accounts = nobody{}; return nil }, []string{
			"stage: there is no user pr-smtpd", "remote: there is no user pr-relay", "new: there", "cur: there", "log: there", "hold: there", "bad: there",
			"local: there is no user pr-local", "new: there", "cur: there", "log: there", "hold: there", "bad: there"}},
		"other owner": {func(w *world, dir string) error { w.accounts = other{}; return nil }, []string{
			"stage: owned by uid", "stage: has gid", "remote: owned", "new: owned", "new: has gid", "cur: owned", "log: owned", "hold: owned", "bad: owned",
			"local: owned", "new: owned", "new: has gid", "cur: owned", "log: owned", "hold: owned", "bad: owned"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if err := c.spoil(w, w.SpoolDir); err != nil {
				t.Fatal(err)
			}
			spool(w)
			w.expect(t, c.want...)
		})
	}
}

type nobody struct{}

func (nobody) uid(string) (uint32, error) { return 0, fs.ErrNotExist }
func (nobody) gid(string) (uint32, error) { return 0, fs.ErrNotExist }

type other struct{}

func (other) uid(string) (uint32, error) { return uint32(os.Getuid()) + 1, nil }
func (other) gid(string) (uint32, error) { return uint32(os.Getgid()) + 1, nil }

func TestNoSpool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.SpoolDir += "x"
	w.spool()
	w.expect(t, "spoolx: no such file or directory; make the spool")
}

func TestFilesystem(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		line   string
		allow  bool
		kernel func(proc, sys string) error
		want   []string
	}{
		"xfs":              {"1 1 9:1 / SPOOL rw - xfs /dev/x rw", false, nil, nil},
		"nearest":          {"1 1 9:1 / / rw - nfs x rw\n1 1 9:1 / SPOOL rw shared:1 - xfs /dev/x rw\n1 1 9:1 / SPOOLx rw - nfs x rw", false, nil, nil},
		"nfs":              {"1 1 0:1 / SPOOL rw - nfs4 x rw", false, nil, []string{"spool: on nfs4, whose renames"}},
		"nfs allowed":      {"1 1 0:1 / SPOOL rw - nfs4 x rw", true, nil, []string{"warning: on nfs4"}},
		"fuse":             {"1 1 0:1 / SPOOL rw - fuse.sshfs x rw", false, nil, []string{"spool: on fuse.sshfs"}},
		"tmpfs":            {"1 1 0:1 / SPOOL rw - tmpfs x rw", false, nil, []string{"warning: on tmpfs"}},
		"ext2":             {"1 1 9:1 / SPOOL rw - ext2 x rw", false, nil, []string{"warning: on ext2 without a journal"}},
		"options":          {"1 1 9:1 / SPOOL ro - xfs x rw,data=writeback,nobarrier", false, nil, []string{"mounted read-only", "warning: mounted with data=writeback", "warning: mounted with nobarrier"}},
		"ext4 journal":     {"1 1 9:1 / SPOOL rw - ext4 x rw", false, journaled, nil},
		"ext4 no journal":  {"1 1 9:1 / SPOOL rw - ext4 x rw", false, bare, []string{"warning: on ext4 without a journal"}},
		"ext4, kernel shy": {"1 1 9:1 / SPOOL rw - ext4 x rw", false, nil, nil},
		"nothing":          {"", false, nil, []string{"warning: filesystem not checked"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.AllowRemoteSpool = c.allow
			spool, err := filepath.EvalSymlinks(w.SpoolDir)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(w.kernel.proc+"/self", 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, w.kernel.proc+"/self/mountinfo", strings.ReplaceAll(c.line, "SPOOL", spool)+"\n")
			if c.kernel != nil {
				if err := c.kernel(w.kernel.proc, w.kernel.sys); err != nil {
					t.Fatal(err)
				}
			}
			w.filesystem()
			w.problems.Sort()
			got := w.problems.Errors()
			w.problems = append(got, w.problems.Warnings()...)
			w.expect(t, c.want...)
		})
	}
}

func TestMailFilesystem(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"1 1 9:1 / MAIL rw - xfs /dev/x rw": nil,
		"1 1 0:1 / MAIL rw - nfs4 x rw":     {"warning: on nfs4"},
		"1 1 0:1 / MAIL rw - tmpfs x rw":    {"warning: on tmpfs"},
	} {
		w := newWorld(t)
		mail, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		w.MailRoot = mail
		if err := os.MkdirAll(w.kernel.proc+"/self", 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, w.kernel.proc+"/self/mountinfo", strings.ReplaceAll(line, "MAIL", mail)+"\n")
		w.mailFilesystem()
		w.expect(t, want...)
		w.problems, w.RemoteMail = nil, true
		w.mailFilesystem()
		for _, p := range w.problems {
			if strings.Contains(p.String(), "nfs4") {
				t.Errorf("with remote_mail: %v", p)
			}
		}
	}
}

func TestIndexDir(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.SingleUID = false
	w.indexDir()
	w.expect(t)
	for mode, want := range map[fs.FileMode]string{0o755: "chmod 1733", 0o777: "chmod 1733", fs.ModeSticky | 0o733: ""} {
		w := newWorld(t)
		w.SingleUID, w.IndexDir = false, t.TempDir()
		if err := os.Chmod(w.IndexDir, mode); err != nil {
			t.Fatal(err)
		}
		if w.indexDir(); want == "" {
			w.expect(t)
		} else {
			w.expect(t, want)
		}
	}
	w.IndexDir = t.TempDir() + "/none"
	w.indexDir()
	w.expect(t, "make it with install -d -m 1733")
}

// bare is a kernel with an ext4 on device 9:1 = vdz and the journal of another one.
func bare(proc, sys string) error {
	return errors.Join(os.MkdirAll(proc+"/fs/ext4/vdz", 0o700), os.MkdirAll(proc+"/fs/jbd2/vdz1-8", 0o700), os.MkdirAll(sys+"/dev/block", 0o700),
		os.Symlink("../../devices/block/vdz", sys+"/dev/block/9:1"))
}

func journaled(proc, sys string) error {
	return errors.Join(bare(proc, sys), os.MkdirAll(proc+"/fs/jbd2/vdz-8", 0o700))
}

func TestRunReportsConfiguration(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "c.toml"), "version = 1\nfoo = 1\nbar = 2\n")
	problems := Run(path)
	if got := problems.Error(); got != path+":2: unknown key foo\n"+path+":3: unknown key bar" {
		t.Errorf("got %s", got)
	}
	var out, errs strings.Builder
	if status := run([]string{"-c", path}, &out, &errs); status != 1 || errs.String() != problems.Error()+"\n" || out.String() != "" {
		t.Errorf("status %d, %q, %q", status, out.String(), errs.String())
	}
	if status := run([]string{"surplus"}, &out, &errs); status != 2 {
		t.Errorf("status %d", status)
	}
}
