package sendmail

import (
	"reflect"
	"strings"
	"testing"

	"postrider/internal/config"
)

// want is a command line's meaning where it differs from sending mail with the defaults.
func want(change func(*options)) *options {
	o := &options{config: config.DefaultPath, args: []string{}}
	if change != nil {
		change(o)
	}
	return o
}

func ptr(s string) *string { return &s }

// TestCallers are the command lines of programs that call sendmail.
func TestCallers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		caller, line string
		want         *options
	}{
		{"bsd-mailx", "sendmail -i -t", want(func(o *options) { o.ignoreDots, o.headers = true, true })},
		{"bsd-mailx -r", "sendmail -i -f bob@x -t", want(func(o *options) { o.ignoreDots, o.headers, o.sender = true, true, ptr("bob@x") })},
		{"s-nail", "sendmail -i -f bob@x -- alice@y carol", want(func(o *options) {
			o.ignoreDots, o.sender, o.args = true, ptr("bob@x"), []string{"alice@y", "carol"}
		})},
		{"mailutils", "sendmail -oi -f user@host -t", want(func(o *options) { o.ignoreDots, o.headers, o.sender = true, true, ptr("user@host") })},
		{"mutt", "sendmail -oem -oi -f a@x -N failure,delay -R hdrs -- b@y", want(func(o *options) {
			o.ignoreDots, o.sender, o.notify, o.ret, o.args = true, ptr("a@x"), []string{"failure", "delay"}, "hdrs", []string{"b@y"}
		})},
		{"mutt 8bit", "sendmail -oem -oi -B8BITMIME -- b@y", want(func(o *options) { o.ignoreDots, o.body, o.args = true, "8bitmime", []string{"b@y"} })},
		{"git send-email", "/usr/sbin/sendmail -i bob@x carol@x", want(func(o *options) { o.ignoreDots, o.args = true, []string{"bob@x", "carol@x"} })},
		{"php", "sendmail -t -i -fwww@example.org", want(func(o *options) { o.ignoreDots, o.headers, o.sender = true, true, ptr("www@example.org") })},
		{"cron", "sendmail -FCronDaemon -i -B8BITMIME -oem root", want(func(o *options) {
			o.fullName, o.ignoreDots, o.body, o.args = "CronDaemon", true, "8bitmime", []string{"root"}
		})},
		{"logwatch", "sendmail -t", want(func(o *options) { o.headers = true })},
		{"python", "sendmail -t -oi", want(func(o *options) { o.ignoreDots, o.headers = true, true })},
		{"queue only", "sendmail -oi -t -odq", want(func(o *options) { o.ignoreDots, o.headers = true, true })},
		{"joined", "sendmail -ti", want(func(o *options) { o.ignoreDots, o.headers = true, true })},
		{"joined with argument", "sendmail -tifbob", want(func(o *options) { o.ignoreDots, o.headers, o.sender = true, true, ptr("bob") })},
		{"alpine", "sendmail -bs -odb -oem", want(func(o *options) { o.mode = modeSMTP })},
		{"nmh", "sendmail -bs", want(func(o *options) { o.mode = modeSMTP })},
		{"null sender", "sendmail -f <> bob", want(func(o *options) { o.sender, o.args = ptr("<>"), []string{"bob"} })},
		{"the rest", "sendmail -G -U -n -m -c -x -h 5 -L tag -p ESMTP -X /dev/null -A c -e m -em -O QueueDirectory=/tmp -odi -oee -om -o7 -o8 -oMr SMTP -d0.1 -J bob",
			want(func(o *options) { o.args = []string{"bob"} })},
		{"sendmail macros", "sendmail -oMrSMTP -oMshost bob", want(func(o *options) { o.args = []string{"bob"} })},
		{"separate -o", "sendmail -o i -b m -B 7bit bob", want(func(o *options) { o.ignoreDots, o.body, o.args = true, "7bit", []string{"bob"} })},
		{"ignore dots", "sendmail -O IgnoreDots=True bob", want(func(o *options) { o.ignoreDots, o.args = true, []string{"bob"} })},
		{"envelope id", "sendmail -V id-1 -N never -R FULL bob", want(func(o *options) {
			o.envID, o.notify, o.ret, o.args = "id-1", []string{"never"}, "full", []string{"bob"}
		})},
		{"options end at the first recipient", "sendmail bob -f evil", want(func(o *options) { o.args = []string{"bob", "-f", "evil"} })},
		{"a dash is no option", "sendmail - bob", want(func(o *options) { o.args = []string{"-", "bob"} })},
		{"verify", "sendmail -bv bob", want(func(o *options) { o.mode, o.args = modeVerify, []string{"bob"} })},
		{"queue", "sendmail -bp -v", want(func(o *options) { o.mode, o.verbose = modeQueue, true })},
		{"aliases", "sendmail -bi", want(func(o *options) { o.mode = modeAliases })},
		{"aliases file", "sendmail -bi -oA/tmp/a", want(func(o *options) { o.mode, o.aliases = modeAliases, "/tmp/a" })},
		{"newaliases", "/usr/bin/newaliases", want(func(o *options) { o.mode = modeAliases })},
		{"alternative", "newaliases.postrider", want(func(o *options) { o.mode = modeAliases })},
		{"flush", "sendmail -q", want(func(o *options) { o.mode = modeFlush })},
		{"runq", "runq", want(func(o *options) { o.mode = modeFlush })},
		{"flush one", "sendmail -qI0123456789bcdfgh", want(func(o *options) { o.mode, o.flushID = modeFlush, "0123456789bcdfgh" })},
		{"flush site", "sendmail -qRexample.org", want(func(o *options) { o.mode, o.flushOnly = modeFlush, []selection{{'R', false, "example.org"}} })},
		{"flush by parts", "sendmail -q!Sbob -qI0123", want(func(o *options) {
			o.mode, o.flushOnly = modeFlush, []selection{{'S', true, "bob"}, {'I', false, "0123"}}
		})},
		{"flush quarantined", "sendmail -qQ", want(func(o *options) { o.mode = modeFlush })},
		{"flush not", "sendmail -q!", want(func(o *options) { o.mode = modeFlush })},
		{"interval", "sendmail -q30m", want(func(o *options) { o.mode, o.interval = modeNothing, true })},
		{"interval and recipients", "sendmail -q30m bob", want(func(o *options) { o.interval, o.args = true, []string{"bob"} })},
		{"mail and interval", "sendmail -bm -qp30m bob", want(func(o *options) { o.interval, o.args = true, []string{"bob"} })},
		{"interval and header", "sendmail -t -q30m", want(func(o *options) { o.interval, o.headers = true, true })},
		{"host status", "sendmail -bh", want(func(o *options) { o.mode = modeNothing })},
		{"config", "sendmail -C /tmp/c bob", want(func(o *options) { o.config, o.args = "/tmp/c", []string{"bob"} })},
	} {
		words := strings.Fields(c.line)
		got, err := parse(words[0], words[1:])
		if err != nil {
			t.Errorf("%s: %v", c.caller, err)
			continue
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.caller, got, c.want)
		}
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"sendmail -z bob", "sendmail -f", "sendmail -tf", "sendmail -B16BIT bob", "sendmail -bd", "sendmail -bd -q30m", "sendmail -bt", "sendmail -bz", "sendmail -M id",
		"sendmail -bs bob", "sendmail -bi x", "sendmail -bp bob", "sendmail -bh bob", "sendmail -bH bob", "sendmail -bh -q30m bob",
		"sendmail -q bob", "sendmail -bm -q bob", "sendmail -bh -t", "sendmail -q -t", "sendmail -t -bv bob", "sendmail -t -bs", "sendmail -XV+= bob", "sendmail --help", "newaliases x",
	} {
		words := strings.Fields(line)
		if o, err := parse(words[0], words[1:]); err == nil {
			t.Errorf("%s: %+v", line, o)
		}
	}
}

func TestOptionWarnings(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"-N never,failure", "-N failure,failure", "-N x", "-R half", "-V a\x01b", "-V " + strings.Repeat("x", 101)} {
		o, err := parse("sendmail", append(strings.Fields(line), "bob"))
		if err != nil || len(o.warnings) != 1 || o.notify != nil || o.ret != "" || o.envID != "" {
			t.Errorf("%q: %+v, %v", line, o, err)
		}
	}
}

func FuzzOptions(f *testing.F) {
	for _, s := range []string{"-t -i", "-oi -fbob -- a b", "-bs", "-q", "-N failure -R hdrs x", "-oMr X y", "-", "-ti -F", "-bp"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words := strings.Split(s, " ")
		o, err := parse("sendmail", words)
		if (o == nil) == (err == nil) && err != nil {
			return
		}
		if err == nil && len(o.args) > len(words) {
			t.Fatalf("%q: recipients from nowhere: %q", s, o.args)
		}
	})
}
