package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is a real Chromium, driven by the DevTools protocol over two pipes:
// JSON messages, each followed by a NUL. Its methods may be called concurrently.
type browser struct {
	t   testing.TB
	out *os.File

	mu     sync.Mutex
	next   int
	calls  map[int]chan devtools
	tabs   map[string]*tab // by session
	closed bool
}

// devtools is a message of the protocol: a command, its answer, or an event.
type devtools struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// startBrowser starts Chromium with a profile of its own and more options. It ends
// with the test.
func startBrowser(t testing.TB, more ...string) *browser {
	t.Helper()
	program := needPeer(t, "chromium")
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, append(more, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
		"--force-color-profile=srgb", "--lang=en-GB", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")...)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // descriptors 3 and 4
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LANG=en_GB.UTF-8", "TZ=UTC")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	b := &browser{t: t, out: in, calls: map[int]chan devtools{}, tabs: map[string]*tab{}}
	go b.read(out)
	t.Cleanup(func() {
		_, _ = b.call("", "Browser.close", nil) // waits until the profile is written, which TempDir removes
		late := time.AfterFunc(testTimeout, func() { cmd.Process.Kill() })
		defer late.Stop()
		_ = cmd.Wait()
		in.Close()
		out.Close()
	})
	return b
}

// read hands on what Chromium says until it ends.
func (b *browser) read(pipe *os.File) {
	r := bufio.NewReaderSize(pipe, 1<<20)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			break
		}
		var m devtools
		if json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m) != nil {
			continue
		}
		b.mu.Lock()
		answer, tab := b.calls[m.ID], b.tabs[m.Session]
		delete(b.calls, m.ID)
		b.mu.Unlock()
		switch {
		case answer != nil:
			answer <- m
		case tab != nil:
			tab.event(m)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, answer := range b.calls {
		close(answer)
	}
}

// call sends a command and waits for its answer.
func (b *browser) call(session, method string, params any) (json.RawMessage, error) {
	if params == nil {
		params = struct{}{}
	}
	body, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	answer := make(chan devtools, 1)
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, errors.New("chromium has ended")
	}
	b.next++
	m := devtools{ID: b.next, Session: session, Method: method, Params: body}
	b.calls[m.ID] = answer
	text, err := json.Marshal(m)
	if err == nil {
		_, err = b.out.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case a, ok := <-answer:
		if !ok {
			return nil, fmt.Errorf("%s: chromium has ended", method)
		}
		if a.Error != nil {
			return nil, fmt.Errorf("%s: %s", method, a.Error.Message)
		}
		return a.Result, nil
	case <-time.After(testTimeout):
		return nil, fmt.Errorf("%s: no answer", method)
	}
}

// must sends a command that must succeed and reads its answer into out, if that
// is not nil.
func (b *browser) must(session, method string, params, out any) {
	b.t.Helper()
	result, err := b.call(session, method, params)
	if err == nil && out != nil {
		err = json.Unmarshal(result, out)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// object is a JSON object that a test writes.
type object map[string]any

// display is what a tab is shown on.
type display struct {
	width, height int
	scale         float64
	phone, dark   bool
}

var onPhone = display{width: 360, height: 740, scale: 1, phone: true}

// tab is a page in a browser profile of its own, or in that of another tab. A
// script error, something that the page's policy forbids, or a request to another
// host fails the test.
type tab struct {
	t       testing.TB
	b       *browser
	session string
	context string

	mu       sync.Mutex
	problems []string
	worker   string // registration of the service worker, once there is one
	origin   string // of its scope
}

// open opens a tab with a new profile.
func (b *browser) open(t testing.TB, s display) *tab {
	t.Helper()
	var made struct{ BrowserContextID string }
	b.must("", "Target.createBrowserContext", object{"disposeOnDetach": true}, &made)
	p := b.openIn(t, made.BrowserContextID, s)
	t.Cleanup(func() {
		_, _ = b.call("", "Target.disposeBrowserContext", object{"browserContextId": p.context})
	})
	return p
}

// openIn opens another tab of a profile.
func (b *browser) openIn(t testing.TB, context string, s display) *tab {
	t.Helper()
	var made struct{ TargetID string }
	b.must("", "Target.createTarget", object{"url": "about:blank", "browserContextId": context}, &made)
	var attached struct{ SessionID string }
	b.must("", "Target.attachToTarget", object{"targetId": made.TargetID, "flatten": true}, &attached)
	p := &tab{t: t, b: b, session: attached.SessionID, context: context}
	b.mu.Lock()
	b.tabs[p.session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "ServiceWorker", "Network"} {
		p.do(domain+".enable", nil)
	}
	p.look(s)
	t.Cleanup(p.check)
	return p
}

// look changes what the page is shown on.
func (p *tab) look(s display) {
	p.t.Helper()
	scheme := "light"
	if s.dark {
		scheme = "dark"
	}
	p.do("Emulation.setDeviceMetricsOverride", object{"width": s.width, "height": s.height, "deviceScaleFactor": s.scale, "mobile": s.phone})
	p.do("Emulation.setEmulatedMedia", object{"features": []object{
		{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}}})
}

func (p *tab) do(method string, params any) {
	p.t.Helper()
	p.b.must(p.session, method, params, nil)
}

// ownServer is where a page may send requests.
var ownServer = regexp.MustCompile(`^https?://localhost:\d+/`)

// event notes what the browser complains of.
func (p *tab) event(m devtools) {
	var e struct {
		Type  string `json:"type"`
		Entry struct {
			Source, Level, Text, URL string
		} `json:"entry"`
		Args             []struct{ Value any } `json:"args"`
		ExceptionDetails json.RawMessage       `json:"exceptionDetails"`
		Message          string                `json:"message"`
		Request          struct{ URL string }
		Registrations    []struct{ RegistrationID, ScopeURL string }
	}
	_ = json.Unmarshal(m.Params, &e)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case m.Method == "Runtime.exceptionThrown":
		p.problems = append(p.problems, "exception: "+string(e.ExceptionDetails))
	case m.Method == "Runtime.consoleAPICalled" && (e.Type == "error" || e.Type == "warning"):
		p.problems = append(p.problems, fmt.Sprintf("console: %v", e.Args))
	case strings.Contains(e.Entry.Text, "Push API in incognito mode"):
		// A test's browser context counts as incognito: there is nothing to subscribe to.
	case m.Method == "Log.entryAdded" && e.Entry.Source != "network" && (e.Entry.Level == "error" || e.Entry.Level == "warning"):
		p.problems = append(p.problems, fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL))
	case m.Method == "Network.requestWillBeSent" && !ownServer.MatchString(e.Request.URL):
		p.problems = append(p.problems, "a request to "+e.Request.URL)
	case m.Method == "Page.javascriptDialogOpening":
		p.problems = append(p.problems, "a dialog by a script: "+e.Message)
	case m.Method == "ServiceWorker.workerRegistrationUpdated":
		for _, r := range e.Registrations {
			p.worker, p.origin = r.RegistrationID, strings.TrimSuffix(r.ScopeURL, "/")
		}
	}
}

// check fails the test for what the browser complained of.
func (p *tab) check() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		p.t.Errorf("the browser complains of %s", problem)
	}
	p.problems = nil
}

func (p *tab) visit(url string) {
	p.t.Helper()
	var went struct{ ErrorText string }
	p.b.must(p.session, "Page.navigate", object{"url": url}, &went)
	if went.ErrorText != "" {
		p.t.Fatalf("%s: got %s; want no text", url, went.ErrorText)
	}
}

// eval evaluates an expression, in which a promise is awaited, and reads its
// value into out, if that is not nil.
func (p *tab) eval(expression string, out any) error {
	result, err := p.b.call(p.session, "Runtime.evaluate", object{
		"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true})
	if err != nil {
		return err
	}
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	if err := json.Unmarshal(result, &r); err != nil {
		return err
	}
	if r.ExceptionDetails != nil {
		return errors.New(r.ExceptionDetails.Exception.Description)
	}
	if out == nil || len(r.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(r.Result.Value, out)
}

// text returns what a user sees of the page.
func (p *tab) text() string {
	var text string
	_ = p.eval("document.body ? document.body.innerText : ''", &text)
	return text
}

// markup returns the page as it stands, with what is hidden from the eye.
func (p *tab) markup() string {
	p.t.Helper()
	var text string
	if err := p.eval("document.documentElement.outerHTML", &text); err != nil {
		p.t.Fatal(err)
	}
	return text
}

// until waits for an expression to be true.
func (p *tab) until(expression string) {
	p.t.Helper()
	for deadline := time.Now().Add(testTimeout); ; time.Sleep(20 * time.Millisecond) {
		var ok bool
		// An error is one of a page that is being left.
		if p.eval("!!("+expression+")", &ok) == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Fatalf("not in time: %s; the page says:\n%s\nthe browser: %q", expression, p.text(), p.problems)
		}
	}
}

// sees waits for a text.
func (p *tab) sees(text string) {
	p.t.Helper()
	p.until("document.body.innerText.includes(" + strconv.Quote(text) + ")")
}

// control is a script that finds what a user would call name: a button, link,
// field or summary that is shown, and for a card, that takes a press already.
func control(name string) string {
	return `[...document.querySelectorAll('button, a, input, summary')].filter((e) => e.offsetParent !== null &&
		(!document.querySelector('dialog[open]') || e.closest('dialog[open]')) && !e.closest('.card:not(.armed, .result)') &&
		[e.innerText, e.getAttribute('aria-label'), e.labels?.[0]?.innerText].some((n) => n?.trim() === ` + strconv.Quote(name) + `))[0]`
}

// click presses the button, link or field of that name with a mouse, where it is
// on the screen: what something else covers is not pressed.
func (p *tab) click(name string) {
	p.t.Helper()
	p.until(control(name) + " && !" + control(name) + ".disabled")
	var at struct{ X, Y float64 }
	if err := p.eval(`(() => { const e = `+control(name)+`; e.scrollIntoView({block: 'center', behavior: 'instant'});
		const r = e.getBoundingClientRect(); return {x: r.x + r.width / 2, y: r.y + r.height / 2}; })()`, &at); err != nil {
		p.t.Fatal(err)
	}
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		p.do("Input.dispatchMouseEvent", object{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1})
	}
}

// enter puts text into the field of that name, in place of what it holds.
func (p *tab) enter(name, text string) {
	p.t.Helper()
	p.click(name)
	if err := p.eval("document.activeElement.select()", nil); err != nil {
		p.t.Fatal(err)
	}
	p.do("Input.insertText", object{"text": text})
}

// press presses a key of the keyboard.
func (p *tab) press(key string) {
	p.t.Helper()
	codes := map[string]int{"Tab": 9, "Enter": 13, "Escape": 27}
	down := object{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
	if key == "Enter" {
		down["text"] = "\r"
	}
	p.do("Input.dispatchKeyEvent", down)
	p.do("Input.dispatchKeyEvent", object{"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": codes[key]})
}

// push has the browser hand a message of the push service to the service worker.
func (p *tab) push(data string) {
	p.t.Helper()
	p.until("navigator.serviceWorker.ready.then((r) => r.active.state === 'activated')")
	p.mu.Lock()
	message := object{"origin": p.origin, "registrationId": p.worker, "data": data}
	p.mu.Unlock()
	p.do("ServiceWorker.deliverPushMessage", message)
}

// shot returns what the tab shows as a PNG.
func (p *tab) shot() []byte {
	p.t.Helper()
	var got struct{ Data []byte }
	p.b.must(p.session, "Page.captureScreenshot", object{"format": "png"}, &got)
	return got.Data
}
