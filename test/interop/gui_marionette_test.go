//go:build interop

package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// marionette is a connection to Mozilla's remote control: each packet is a length, a colon and JSON; a command [0, id, name,
// parameters] is answered by [1, id, error, result].
type marionette struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	id   int
	lib  string // what all scripts share
}

// dialMarionette connects and has scripts run with the program's own rights.
func dialMarionette(t *testing.T, addr, lib string) *marionette {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	m := &marionette{t: t, conn: conn, r: bufio.NewReader(conn), lib: lib}
	m.packet() // it greets
	m.call("WebDriver:NewSession", nil, nil)
	m.call("WebDriver:SetTimeouts", map[string]any{"script": 60_000}, nil)
	m.call("Marionette:SetContext", map[string]any{"value": "chrome"}, nil)
	return m
}

func (m *marionette) packet() []byte {
	m.t.Helper()
	m.conn.SetDeadline(time.Now().Add(90 * time.Second))
	size, err := m.r.ReadString(':')
	must(m.t, err)
	n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
	must(m.t, err)
	b := make([]byte, n)
	_, err = io.ReadFull(m.r, b)
	must(m.t, err)
	return b
}

// call has a command carried out and puts its result where told.
func (m *marionette) call(name string, parameters map[string]any, result any) {
	m.t.Helper()
	if parameters == nil {
		parameters = map[string]any{}
	}
	m.id++
	b, err := json.Marshal([]any{0, m.id, name, parameters})
	must(m.t, err)
	_, err = fmt.Fprintf(m.conn, "%d:%s", len(b), b)
	must(m.t, err)
	var reply [4]json.RawMessage
	must(m.t, json.Unmarshal(m.packet(), &reply))
	if string(reply[2]) != "null" {
		m.t.Fatalf("%s: %.2000s", name, reply[2])
	}
	if result != nil {
		must(m.t, json.Unmarshal(reply[3], result))
	}
}

// script calls a function, written in JavaScript, and puts what it returns, or promises, where told. What it throws ends the test.
func (m *marionette) script(function string, result any, args ...any) {
	m.t.Helper()
	if args == nil {
		args = []any{}
	}
	call := m.lib + `const args = Array.from(arguments), done = args.pop();
Promise.resolve().then(() => (` + function + `)(...args)).then(value => done({value: value ?? null}), e => done({error: e + "\n" + e.stack}));`
	var reply struct {
		Value struct {
			Value json.RawMessage
			Error string
		}
	}
	m.call("WebDriver:ExecuteAsyncScript", map[string]any{"script": call, "args": args, "sandbox": "system", "newSandbox": true}, &reply)
	if reply.Value.Error != "" {
		m.t.Fatalf("%s\nin %.2000q with %q", reply.Value.Error, function, args)
	}
	if result != nil {
		must(m.t, json.Unmarshal(reply.Value.Value, result))
	}
}

// click presses the mouse's button in the middle of an element, which a function finds. What all scripts share has the
// function middle.
func (m *marionette) click(element string, args ...any) {
	m.t.Helper()
	var at [2]int
	m.script("async (...args) => middle(await ("+element+")(...args))", &at, args...)
	m.call("WebDriver:PerformActions", map[string]any{"actions": []any{map[string]any{"type": "pointer", "id": "mouse", "parameters": map[string]any{"pointerType": "mouse"},
		"actions": []any{
			map[string]any{"type": "pointerMove", "x": at[0], "y": at[1]},
			map[string]any{"type": "pointerDown", "button": 0},
			map[string]any{"type": "pointerUp", "button": 0},
		}}}}, nil)
}

// press presses keys together.
func (m *marionette) press(keys ...string) {
	m.t.Helper()
	var down, up []any
	for _, key := range keys {
		down = append(down, map[string]any{"type": "keyDown", "value": key})
		up = append([]any{map[string]any{"type": "keyUp", "value": key}}, up...)
	}
	m.call("WebDriver:PerformActions", map[string]any{"actions": []any{map[string]any{"type": "key", "id": "keyboard", "actions": append(down, up...)}}}, nil)
}

func (m *marionette) types(text string) {
	m.t.Helper()
	for _, r := range text {
		m.press(string(r))
	}
}

// Keys in WebDriver's code.
const (
	keyReturn  = "\uE006"
	keyControl = "\uE009"
	keyDelete  = "\uE017"
)
