//go:build interop

package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"postrider/test/suite"
)

// browser is a headless Chromium, by WebDriver.
type browser struct {
	t    *testing.T
	peer *peer
	base string // URL of the session
}

// newBrowser starts one that puts what it downloads into its /srv/downloads.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	p := newPeer(t, "127.0.0.1", "chromium chromium-driver fonts-dejavu-core", "", "browser.test")
	p.command = fmt.Sprintf("mkdir -p /srv/home && LC_ALL=C.UTF-8 HOME=/srv/home exec chromedriver --port=%d >/srv/chromedriver.log 2>&1", p.port())
	must(t, os.Mkdir(p.dir+"/srv/downloads", 0o755))
	p.start()
	b := &browser{t, p, "http://" + p.addr + "/session"}
	options := map[string]any{
		"args": []string{"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-sync", "--user-data-dir=/srv/chromium", "--window-size=1280,900", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"},
		"prefs": map[string]any{"download.default_directory": "/srv/downloads", "download.prompt_for_download": false},
	}
	var session struct{ SessionID string }
	must(t, b.call("POST", "", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"goog:chromeOptions": options}}}, &session))
	b.base += "/" + session.SessionID
	t.Cleanup(func() {
		if t.Failed() {
			b.shoot("failure")
		}
		b.call("DELETE", "", nil, nil)
	})
	return b
}

// call has a command carried out and puts its value where told.
func (b *browser) call(method, path string, parameters, value any) error {
	var body bytes.Buffer
	if parameters != nil {
		if err := json.NewEncoder(&body).Encode(parameters); err != nil {
			return err
		}
	}
	request, err := http.NewRequest(method, b.base+path, &body)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: time.Minute}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var reply struct{ Value json.RawMessage }
	if err := json.NewDecoder(response.Body).Decode(&reply); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %.500s", path, reply.Value)
	}
	if value == nil {
		return nil
	}
	return json.Unmarshal(reply.Value, value)
}

func (b *browser) load(url string) {
	b.t.Helper()
	must(b.t, b.call("POST", "/url", map[string]any{"url": url}, nil))
}

// evaluate puts what an expression of JavaScript is in the page where told.
func (b *browser) evaluate(expression string, value any) error {
	return b.call("POST", "/execute/sync", map[string]any{"script": "return " + expression, "args": []any{}}, value)
}

// until waits until an expression is true.
func (b *browser) until(expression string) {
	b.t.Helper()
	suite.WaitLong(b.t, 30*time.Second, expression, func() (ok bool) {
		return b.evaluate("!!("+expression+")", &ok) == nil && ok
	})
}

// shows waits until a text is on the page.
func (b *browser) shows(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// element is the one element that is chosen by a CSS selector or, after a slash, by XPath.
func (b *browser) element(selector string) (element map[string]string, err error) {
	using := "css selector"
	if strings.HasPrefix(selector, "/") {
		using = "xpath"
	}
	var found []map[string]string
	if err := b.call("POST", "/elements", map[string]any{"using": using, "value": selector}, &found); err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%d elements", len(found))
	}
	return found[0], nil
}

// with does something with an element as soon as it is there and takes it.
func (b *browser) with(selector string, do func(element map[string]string) error) {
	b.t.Helper()
	var err error
	defer func() {
		if b.t.Failed() {
			b.t.Logf("%s: %v", selector, err)
		}
	}()
	suite.WaitLong(b.t, 30*time.Second, selector, func() bool {
		var element map[string]string
		if element, err = b.element(selector); err == nil {
			err = do(element)
		}
		return err == nil
	})
}

// elementKey is that of an element's id in what WebDriver says.
const elementKey = "element-6066-11e4-a52e-4f735466cecf"

// finds waits until an element is there.
func (b *browser) finds(selector string) {
	b.t.Helper()
	b.with(selector, func(map[string]string) error { return nil })
}

// keyEnter is a key in WebDriver's code.
const keyEnter = "\uE007"

// click presses the mouse's button on an element.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.with(selector, func(element map[string]string) error {
		return b.call("POST", "/element/"+element[elementKey]+"/click", map[string]any{}, nil)
	})
}

// drag presses the mouse's button on an element and lets it go on another one.
func (b *browser) drag(from, to string) {
	b.t.Helper()
	b.with(from, func(one map[string]string) error {
		other, err := b.element(to)
		if err != nil {
			return err
		}
		actions := []any{
			map[string]any{"type": "pointerMove", "origin": one, "x": 0, "y": 0},
			map[string]any{"type": "pointerDown", "button": 0},
			map[string]any{"type": "pointerMove", "origin": "pointer", "x": -20, "y": 0, "duration": 100},
			map[string]any{"type": "pointerMove", "origin": other, "x": 0, "y": 0, "duration": 200},
			map[string]any{"type": "pointerUp", "button": 0},
		}
		return b.call("POST", "/actions", map[string]any{"actions": []any{map[string]any{"type": "pointer", "id": "mouse", "actions": actions}}}, nil)
	})
}

// types enters a text into an element.
func (b *browser) types(selector, text string) {
	b.t.Helper()
	b.with(selector, func(element map[string]string) error {
		return b.call("POST", "/element/"+element[elementKey]+"/value", map[string]any{"text": text}, nil)
	})
}

// within does something in a frame of the page.
func (b *browser) within(selector string, do func()) {
	b.t.Helper()
	b.with(selector, func(element map[string]string) error {
		return b.call("POST", "/frame", map[string]any{"id": element}, nil)
	})
	do()
	must(b.t, b.call("POST", "/frame", map[string]any{"id": nil}, nil))
}

// shoot keeps a picture of the page.
func (b *browser) shoot(name string) {
	b.t.Helper()
	var encoded string
	if err := b.call("GET", "/screenshot", nil, &encoded); err != nil {
		b.t.Errorf("no picture: %v", err)
		return
	}
	png, err := base64.StdEncoding.DecodeString(encoded)
	must(b.t, err)
	picture(b.t, name, png)
}
