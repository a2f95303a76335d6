package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/site"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
	"github.com/radmatch/radmatch/mfa/push/webpush"
	"github.com/radmatch/radmatch/radius/wire"
)

// webPushSite starts a server that sends Web Push to a service of the test's own.
func webPushSite(t *testing.T) (*serverProcess, *pushtest.Service) {
	service := pushtest.NewService(t)
	p := newServer(t, siteHead+siteClient+"web: {push_services: [\""+service.Host()+
		"\"], push_ca_file: ca.pem, push_contact: \"mailto:postmaster@example.org\"}\nlog: {level: debug}\n")
	p.write("ca.pem", string(service.CA()))
	p.start()
	return p, service
}

// request makes one signed request as the phone, and returns status and body.
func (ph *testPhone) request(method, target string, body []byte) (int, string) {
	ph.p.t.Helper()
	auth, err := ph.sign(method, target, body)
	if err != nil {
		ph.p.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ph.p.t.Context(), method, "http://"+ph.p.web+target, bytes.NewReader(body))
	if err != nil {
		ph.p.t.Fatal(err)
	}
	req.Header.Set("Authorization", auth)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		ph.p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		ph.p.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (ph *testPhone) subscribe(s *pushtest.Service, name string) {
	ph.p.t.Helper()
	if status, text := ph.request("POST", "/api/v1/push/subscription", s.Subscribe(name)); status != http.StatusNoContent {
		ph.p.t.Fatalf("subscribe: status %d %s; want http.StatusNoContent", status, text)
	}
}

// TestWebPush: a login notifies the phone that has subscribed, through the real
// program; the approval lets it in; key and subscription outlast a restart.
func TestWebPush(t *testing.T) {
	t.Parallel()
	p, service := webPushSite(t)
	ph := p.enroll("alice")
	if out := p.cli("check", "--connect"); !strings.Contains(out, "web push: no device has subscribed") {
		t.Errorf("check: got %s; want \"web push: no device has subscribed\" in it", out)
	}
	ph.subscribe(service, "alice's phone")
	key := ph.webPushKey()

	s := p.nasSocket("127.0.0.1")
	r := s.start(signIn("alice", ""))
	m := service.Next()
	v := ph.prompt()
	if !strings.Contains(key, m.Sender) || m.Subscriber != "alice's phone" || m.Text != `{"kind":"prompt","id":"`+v.ID+`"}` || m.Contact != "mailto:postmaster@example.org" {
		t.Errorf("got %+v", m)
	}
	ph.decide(v, device.ActionApprove, "")
	s.gets(r, wire.AccessAccept)
	if out := p.cli("check", "--connect"); !strings.Contains(out, "web push "+service.Host()+": 1 devices, reached") {
		t.Errorf("check: %s", out)
	}

	p.stop()
	p.start()
	again := p.enroll("bob")
	if got := again.webPushKey(); got != key {
		t.Errorf("after a restart the key is %s, was %s", got, key)
	}
	p.nasSocket("127.0.0.1").start(signIn("alice", ""))
	if next := service.Next(); next.Subscriber != "alice's phone" || next.Size != m.Size {
		t.Errorf("after a restart: got %+v", next)
	}
	if text := p.log(); regexp.MustCompile(`/push/[A-Z2-7]{20}`).MatchString(text) {
		t.Error("got an endpoint in the log; want none")
	}
}

// pushManager stands in for the browser's way to a push service, which a test's
// browser does not have. Like the real one it wants the user's permission, a
// promise of notices, and a key of P-256; the subscription outlasts a reload.
const pushManager = `Object.assign(PushManager.prototype, {
	async getSubscription() {
		const key = localStorage.getItem('test.key');
		return key && {
			options: { applicationServerKey: Uint8Array.from(JSON.parse(key)).buffer },
			toJSON: () => (%s),
			unsubscribe: async () => { localStorage.removeItem('test.key'); return true; },
		};
	},
	async subscribe({ userVisibleOnly, applicationServerKey: key }) {
		if (Notification.permission !== 'granted') throw new DOMException('no permission', 'NotAllowedError');
		if (!userVisibleOnly || key.length !== 65 || key[0] !== 4) throw new DOMException('bad options', 'InvalidAccessError');
		localStorage.setItem('test.key', JSON.stringify([...key]));
		return this.getSubscription();
	},
});`

// TestWebPushPage: the page asks the user, subscribes with the server's key and
// tells the server; a sign-in notifies through the push service; the service worker
// shows a notice; the user opens the page and approves.
func TestWebPushPage(t *testing.T) {
	t.Parallel()
	p, service := webPushSite(t)
	b := startBrowser(t)
	page := b.open(t, onPhone)
	page.do("Page.addScriptToEvaluateOnNewDocument", object{"source": fmt.Sprintf(pushManager, service.Subscribe("alice's phone"))})
	page.visit(p.link("alice"))
	page.click("Add this device")
	page.sees("Notify me when a request comes, also while this page is closed.")
	page.click("Turn on")
	b.must("", "Browser.grantPermissions", object{"browserContextId": page.context, "permissions": []string{"notifications"}}, nil)
	page.until("!document.getElementById('setup').innerText.includes('Notifications')")
	page.click("Devices")
	page.until("document.querySelector('#device-list .marks').innerText.includes('notifications')")

	prompts := func() {
		t.Helper()
		page.click("Requests")
		answer := p.login("127.0.0.1", alice)
		m := service.Next()
		if m.Subscriber != "alice's phone" || !strings.Contains(m.Text, `"kind":"prompt"`) {
			t.Errorf("got %+v", m)
		}
		var key string
		if err := page.eval("btoa(String.fromCharCode(...JSON.parse(localStorage.getItem('test.key'))))", &key); err != nil ||
			strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(key) != m.Sender {
			t.Errorf("subscribed with %s, notified with %s (%v)", key, m.Sender, err)
		}
		page.push(m.Text)
		page.until("navigator.serviceWorker.ready.then((r) => r.getNotifications()).then((all) => all.length === 1 && all[0].title === 'Sign-in request')")
		page.click("Approve")
		gets(t, answer, "Access-Accept")
		page.click("Done")
	}
	prompts()

	// The server's key is another one: the page subscribes again when it is opened.
	if err := page.eval("localStorage.setItem('test.key', JSON.stringify([4, ...Array(64).fill(0)]))", nil); err != nil {
		t.Fatal(err)
	}
	page.do("Page.reload", nil)
	page.until("localStorage.getItem('test.key')?.includes(',0,0,0,0,0,0,') === false")
	page.sees("Connected")
	prompts()

	// Removed by the user: nothing is notified any more.
	page.click("Devices")
	page.until("document.querySelector('#device-list .actions')")
	if err := page.eval("document.querySelector('#device-list .bad').click()", nil); err != nil {
		t.Fatal(err)
	}
	page.click("Remove")
	page.sees("This device is no longer registered.")
	page.until("localStorage.getItem('test.key') === null")
}

// webPushKey asks for the server's key.
func (ph *testPhone) webPushKey() string {
	ph.p.t.Helper()
	status, text := ph.request("GET", "/api/v1/push/key", nil)
	if status != http.StatusOK || !strings.HasPrefix(text, `{"key":"B`) {
		ph.p.t.Fatalf("key: status %d %s", status, text)
	}
	return text
}

// TestWebPushServiceHangs: the login is approved on the open page meanwhile, and
// the server stops in time.
func TestWebPushServiceHangs(t *testing.T) {
	t.Parallel()
	p, service := webPushSite(t)
	asked := make(chan struct{}, 100)
	service.Answer(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	ph := p.enroll("alice")
	ph.subscribe(service, "alice's phone")
	s := p.nasSocket("127.0.0.1")
	start := time.Now()
	r := s.start(signIn("alice", ""))
	ph.decide(ph.prompt(), device.ActionApprove, "")
	s.gets(r, wire.AccessAccept)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the login took %v; want at most 5*time.Second", took)
	}
	s.start(signIn("alice", "192.0.2.7"))
	v := ph.prompt()
	select {
	case <-asked:
	case <-time.After(testTimeout):
		t.Fatal("got no request at the push service in time; want one")
	}
	ph.decide(v, device.ActionDeny, "")
	start = time.Now()
	p.stop()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the server took %v to stop; want at most 10*time.Second", took)
	}
}

// TestWebPushServiceAnswers: whatever a push service answers, the login is
// approved on the open page; a subscription that is over is forgotten, and what
// can be sent later is sent again; and the next request is notified.
func TestWebPushServiceAnswers(t *testing.T) {
	t.Parallel()
	p, service := webPushSite(t)
	ph, s := p.enroll("alice"), p.nasSocket("127.0.0.1")
	for i, c := range []struct {
		status, asked int
		over          bool
	}{{410, 1, true}, {404, 1, true}, {429, 2, false}, {500, 2, false}, {503, 2, false}, {307, 1, false}, {403, 1, false}} {
		ph.subscribe(service, fmt.Sprint("phone ", i))
		before := service.Requests()
		service.Answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Location", "https://"+service.Host()+"/elsewhere")
			http.Error(w, strings.Repeat("x", 1<<20), c.status)
		})
		r := s.start(signIn("alice", fmt.Sprint("192.0.2.", i)))
		v := ph.prompt()
		p.until(fmt.Sprint(c.status, ": asked"), func() bool { return service.Requests()-before >= c.asked })
		if c.over {
			p.until(fmt.Sprint(c.status, ": forgotten"), func() bool {
				return strings.Contains(p.cli("check", "--connect"), "web push: no device has subscribed")
			})
		}
		ph.decide(v, device.ActionApprove, "")
		s.gets(r, wire.AccessAccept)
		if n := service.Requests() - before; c.asked == 1 && n != 1 {
			t.Errorf("%d: asked %d times, want once", c.status, n)
		}
		service.Answer(nil)
		if c.over {
			ph.subscribe(service, fmt.Sprint("phone ", i)) // as the page does when it is opened
		}
		r = s.start(signIn("alice", fmt.Sprint("192.0.2.1", i)))
		v = ph.prompt()
		for m := service.Next(); !strings.Contains(m.Text, v.ID); m = service.Next() {
			// of the prompt before, which was sent again
		}
		ph.decide(v, device.ActionApprove, "")
		s.gets(r, wire.AccessAccept)
	}
	if text := p.log(); regexp.MustCompile(`/push/[A-Z2-7]{20}`).MatchString(text) {
		t.Error("got an endpoint in the log; want none")
	}
}

// TestWebPushBadCA: what is configured and cannot be used stops the start.
func TestWebPushBadCA(t *testing.T) {
	t.Parallel()
	p := newServer(t, siteHead+siteClient+"web: {push_ca_file: ca.pem}\n")
	for _, text := range []string{"", "no certificate"} {
		if text != "" {
			p.write("ca.pem", text)
		} else if err := os.RemoveAll(p.path("ca.pem")); err != nil {
			t.Fatal(err)
		}
		if out, code := p.output("serve"); code != console.ExitConfig || !strings.Contains(out, "web.push_ca_file: ") {
			t.Errorf("%q: exit %d: got %s; want console.ExitConfig, \"web.push_ca_file: \" in it", text, code, out)
		}
	}
}

// TestPushServicesByDefault: the list stands in the configuration's default and in
// the code that knows which services are not the operator's own.
func TestPushServicesByDefault(t *testing.T) {
	cfg, err := site.ReadConfig("../../../testdata/config/ok/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := webpush.BrowserServices(); !slices.Equal(cfg.Web.PushServices, want) {
		t.Errorf("web.push_services is %q by default; the code knows %q", cfg.Web.PushServices, want)
	}
}
