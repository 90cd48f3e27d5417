package job

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"postrider/internal/reply"
)

func written(t testing.TB, write func(e *Encoder) error) []byte {
	t.Helper()
	var b bytes.Buffer
	e := NewEncoder(&b)
	if err := errors.Join(write(e), e.Flush()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func someJob() *Job {
	return &Job{
		Unique: "1.id.host", Sender: "alice@example.org", Recipient: "bob@example.org", Original: "b@example.org", User: "bob",
		Extension: "x", Home: "/home/bob", Maildir: "/home/bob/Maildir", Size: 1 << 40, Again: true,
	}
}

func someResult() *Result {
	return &Result{Kind: Forward, File: "1.id.host,S=1,W=2", Addresses: []string{"a@b", "c"}, Reply: reply.New(250, 0, 0, "forwarded"), Patient: true}
}

func someHello() Hello {
	return Hello{Version: Version, Roots: []string{"/home/bob", "/srv"}, MaxForwards: 100, Origin: "example.org", Delimiter: "+", Mailboxes: "/var/vmail", Mount: "mail1", BounceFull: true}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	b := written(t, func(e *Encoder) error {
		return errors.Join(e.Hello(someHello()), e.Batch(3), e.Job(someJob()), e.Result(someResult()))
	})
	d := NewDecoder(bytes.NewReader(b))
	if h, err := d.Hello(); err != nil || !reflect.DeepEqual(h, someHello()) {
		t.Errorf("%+v, %v", h, err)
	}
	if n, err := d.Batch(); err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	if j, err := d.Job(); err != nil || !reflect.DeepEqual(j, someJob()) {
		t.Errorf("%+v, %v", j, err)
	}
	if r, err := d.Result(); err != nil || !reflect.DeepEqual(r, someResult()) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := d.Batch(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestLies(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Result){
		"delivered nowhere": func(r *Result) { *r = Result{Kind: Delivered, Reply: reply.New(250, 0, 0, "")} },
		"failed for now":    func(r *Result) { *r = Result{Kind: Failed, Reply: reply.New(450, 0, 0, "")} },
		"deferred for ever": func(r *Result) { *r = Result{Kind: Deferred, Reply: reply.New(550, 0, 0, "")} },
		"two minds": func(r *Result) {
			*r = Result{Kind: Failed, Reply: &reply.Reply{Code: 550, Enhanced: reply.Enhanced{4, 0, 0}}}
		},
		"forwarded to nobody":   func(r *Result) { r.Addresses = nil },
		"failed and forwarded":  func(r *Result) { r.Kind, r.Reply = Failed, reply.New(550, 0, 0, "") },
		"unknown kind":          func(r *Result) { r.Kind = 4 },
		"no reply":              func(r *Result) { r.Reply = nil },
		"too many addresses":    func(r *Result) { r.Addresses = make([]string, MaxAddresses+1) },
		"overlong address":      func(r *Result) { r.Addresses[0] = strings.Repeat("x", maxText+1) },
		"code out of all range": func(r *Result) { r.Reply.Code = 2500 },
	} {
		r := someResult()
		change(r)
		b := written(t, func(e *Encoder) error { return e.Result(r) })
		if got, err := NewDecoder(bytes.NewReader(b)).Result(); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, change := range map[string]func(*Job){
		"path in the name": func(j *Job) { j.Unique = "../x" },
		"no home":          func(j *Job) { j.Home = "" },
		"line break":       func(j *Job) { j.Sender = "a\r\nB: c" },
		"negative size":    func(j *Job) { j.Size = -1 },
	} {
		j := someJob()
		change(j)
		b := written(t, func(e *Encoder) error { return e.Job(j) })
		if got, err := NewDecoder(bytes.NewReader(b)).Job(); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// FuzzResult reads what a worker may send.
func FuzzResult(f *testing.F) {
	f.Add(written(f, func(e *Encoder) error { return e.Result(someResult()) }))
	f.Add([]byte{0, 0, 0, 1, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewDecoder(bytes.NewReader(b)).Result()
		if err != nil {
			return
		}
		if len(r.Addresses) > MaxAddresses || strings.ContainsAny(r.Reply.Text, "\r\x00") {
			t.Errorf("%+v", r)
		}
		again := written(t, func(e *Encoder) error { return e.Result(r) })
		back, err := NewDecoder(bytes.NewReader(again)).Result()
		if err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%+v came back as %+v, %v", r, back, err)
		}
	})
}

// FuzzJob reads what a manager may send.
func FuzzJob(f *testing.F) {
	f.Add(written(f, func(e *Encoder) error { return e.Job(someJob()) }))
	f.Add(written(f, func(e *Encoder) error { return e.Hello(someHello()) }))
	f.Fuzz(func(t *testing.T, b []byte) {
		NewDecoder(bytes.NewReader(b)).Hello()
		j, err := NewDecoder(bytes.NewReader(b)).Job()
		if err == nil && (j.Size < 0 || j.Home[0] != '/' || strings.ContainsAny(j.Recipient+j.Sender+j.Original, "\r\n")) {
			t.Errorf("%+v", j)
		}
	})
}
