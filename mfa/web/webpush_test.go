package web

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
	"github.com/radmatch/radmatch/mfa/push/webpush"
)

// webPushRig is a rig whose server sends Web Push to a service of the test's own.
type webPushRig struct {
	*rig
	service *pushtest.Service
	sender  *webpush.Sender
}

func newWebPushRig(t *testing.T) *webPushRig {
	service := pushtest.NewService(t)
	key, err := device.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	vapid, err := webpush.NewVAPID(key, "https://mfa.example.org")
	if err != nil {
		t.Fatal(err)
	}
	listed, err := webpush.ParseService(service.Host())
	if err != nil {
		t.Fatal(err)
	}
	r := &webPushRig{service: service}
	r.rig = newRigWith(t, func(s *Server, st *pushtest.Store) {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(service.CA())
		r.sender = webpush.New(webpush.Options{VAPID: vapid, Store: st, Services: []webpush.Service{listed}, Roots: roots, Logger: s.Logger})
		s.Approver.WebPush = r.sender
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.sender.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func (r *webPushRig) subscribe(t *testing.T, device string) {
	t.Helper()
	q := request{method: "POST", target: "/api/v1/push/subscription", body: string(r.service.Subscribe(device)), sign: device}
	if status, b, _ := r.do(t, q); status != http.StatusNoContent {
		t.Fatalf("subscribe: got %d %+v; want http.StatusNoContent", status, b)
	}
}

func (r *webPushRig) web(t *testing.T, device string) *device.WebSubscription {
	t.Helper()
	d, err := r.store.Device(t.Context(), device)
	if err != nil {
		t.Fatal(err)
	}
	return d.Web
}

// approve has the phone approve the one prompt that waits.
func (r *webPushRig) approve(t *testing.T, number string, done <-chan error) {
	t.Helper()
	l, err := r.phone("anna1").Prompts(t.Context())
	if err != nil || len(l.Prompts) != 1 {
		t.Fatalf("got %+v, %v", l, err)
	}
	if answer, err := r.phone("anna1").Decide(t.Context(), l.Prompts[0], device.ActionApprove, number); answer.Outcome != device.OutcomeApproved || err != nil {
		t.Errorf("got %+v, %v", answer, err)
	}
	if err := <-done; err != nil {
		t.Errorf("Push: got error %v; want none", err)
	}
}

// TestWebPushNotifies: a device that has subscribed gets one encrypted message a
// prompt, which says nothing of the sign-in, and decides as ever.
func TestWebPushNotifies(t *testing.T) {
	r := newWebPushRig(t)
	resp := r.send(t, request{target: "/api/v1/push/key", sign: "anna1"})
	var key struct{ Key string }
	if err := json.NewDecoder(resp.Body).Decode(&key); err != nil || key.Key != r.sender.PublicKey() {
		t.Errorf("key: %+v, %v", key, err)
	}
	resp.Body.Close()
	r.subscribe(t, "anna1")
	r.subscribe(t, "bob1")
	resp = r.send(t, request{target: "/api/v1/devices", sign: "anna2"})
	var list struct{ Devices []deviceView }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil || len(list.Devices) != 2 {
		t.Errorf("devices: got %+v, %v; want no error, 2 Devices", list, err)
	}
	resp.Body.Close()
	for _, d := range list.Devices {
		if d.Push != (d.Device == "anna1") {
			t.Errorf("%s: push %v", d.Device, d.Push)
		}
	}
	done := r.prompt(t, "p1", "42")
	m := r.service.Next()
	if m.Subscriber != "anna1" || m.Text != `{"kind":"prompt","id":"p1"}` || m.Contact != "https://mfa.example.org" || m.Topic == "" || m.TTL < 58 {
		t.Errorf("got %+v", m)
	}
	r.approve(t, "42", done)
	r.prompt(t, "p2", "")
	if again := r.service.Next(); again.Size != m.Size || !strings.Contains(again.Text, "p2") {
		t.Errorf("got %+v after %+v", again, m)
	}
	if status, _, _ := r.do(t, request{method: "DELETE", target: "/api/v1/push/subscription", sign: "anna1"}); status != http.StatusNoContent || r.web(t, "anna1") != nil {
		t.Errorf("unsubscribe: %d", status)
	}
	r.prompt(t, "p3", "")
	r.subscribe(t, "anna2")
	r.prompt(t, "p4", "")
	if m := r.service.Next(); m.Subscriber != "anna2" || !strings.Contains(m.Text, "p4") {
		t.Errorf("after the end of a subscription: got %+v", m)
	}
	if n := r.service.Requests(); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
	for _, e := range r.logs.All() {
		if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, "/push/") && !strings.Contains(text, "/api/") {
			t.Errorf("the log has an endpoint: %s", text)
		}
	}
}

// TestWebPushServiceFails: whatever a service does, the open page gets the prompt
// and the decision counts.
func TestWebPushServiceFails(t *testing.T) {
	for name, f := range map[string]http.HandlerFunc{
		"hang": func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"429":  func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Retry-After", "30"); w.WriteHeader(429) },
		"500":  func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) },
		"410":  func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(410) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/push/elsewhere", http.StatusTemporaryRedirect)
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for line := make([]byte, 1<<16); ; {
				if _, err := w.Write(line); err != nil {
					return
				}
			}
		},
		"cut": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newWebPushRig(t)
			r.service.Answer(f)
			r.subscribe(t, "anna1")
			done := r.prompt(t, "p1", "")
			for deadline := time.Now().Add(10 * time.Second); r.service.Requests() == 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("got no request at the push service in time; want one")
				}
			}
			start := time.Now()
			r.approve(t, "", done)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("the decision took %v; want at most 5*time.Second", took)
			}
			if name == "redirect" && r.service.Requests() > 1 {
				t.Error("got the redirect followed; want one request")
			}
		})
	}
}

// TestSubscriptionIsOver: a subscription that the service does not know any more
// is removed.
func TestSubscriptionIsOver(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusGone} {
		r := newWebPushRig(t)
		r.service.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		r.subscribe(t, "anna1")
		r.prompt(t, "p1", "")
		for deadline := time.Now().Add(10 * time.Second); r.web(t, "anna1") != nil; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("after %d it is kept", status)
			}
		}
	}
}

// TestSharedSubscription: a browser has one subscription, which the devices of all
// its accounts share; when one of them goes, the other is still notified.
func TestSharedSubscription(t *testing.T) {
	r := newWebPushRig(t)
	shared := string(r.service.Subscribe("browser"))
	for _, device := range []string{"bob1", "anna1"} {
		if status, b, _ := r.do(t, request{method: "POST", target: "/api/v1/push/subscription", body: shared, sign: device}); status != http.StatusNoContent {
			t.Fatalf("%s subscribes: got %d %+v; want http.StatusNoContent", device, status, b)
		}
	}
	r.prompt(t, "p1", "")
	if m := r.service.Next(); m.Subscriber != "browser" || !strings.Contains(m.Text, "p1") {
		t.Errorf("got %+v", m)
	}
	r.store.Remove("bob1")
	r.prompt(t, "p2", "")
	if m := r.service.Next(); m.Subscriber != "browser" || !strings.Contains(m.Text, "p2") {
		t.Errorf("after the other account has gone: got %+v", m)
	}
}

// TestSubscribeRefuses: what would have the server ask another host, or is not
// signed, changes nothing.
func TestSubscribeRefuses(t *testing.T) {
	r := newWebPushRig(t)
	good := string(r.service.Subscribe("anna1"))
	const target = "/api/v1/push/subscription"
	inside := func(host string) string { return strings.Replace(good, r.service.Host(), host, 1) }
	for _, c := range []struct {
		name   string
		q      request
		status int
		code   string
	}{
		{"unsigned", request{body: good}, 400, "bad_request"},
		{"another port of this machine", request{body: inside("127.0.0.1:22"), sign: "anna1"}, 422, "push_service"},
		{"cloud metadata", request{body: inside("169.254.169.254"), sign: "anna1"}, 422, "push_service"},
		{"a name", request{body: inside("intranet.example.org"), sign: "anna1"}, 422, "push_service"},
		{"user info", request{body: inside(r.service.Host() + "@127.0.0.1"), sign: "anna1"}, 400, "bad_request"},
		{"http", request{body: strings.Replace(good, "https", "http", 1), sign: "anna1"}, 400, "bad_request"},
		{"no JSON", request{body: "x", sign: "anna1"}, 400, "bad_request"},
		{"no content type", request{body: good, sign: "anna1", header: http.Header{"Content-Type": nil}}, 400, "bad_request"},
		{"large", request{body: good + strings.Repeat(" ", 9<<10), sign: "anna1"}, 413, "too_large"},
		{"method", request{method: "GET", body: "", sign: "anna1"}, 404, "not_found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.q.target = target; c.q.method == "" {
				c.q.method = "POST"
			}
			if status, b, _ := r.do(t, c.q); status != c.status || b.Code != c.code {
				t.Errorf("got %d %q, want %d %q", status, b.Code, c.status, c.code)
			}
		})
	}
	if r.web(t, "anna1") != nil || r.service.Requests() != 0 {
		t.Error("got the subscription changed or the service asked; want neither")
	}
}

// TestNoWebPush: a server without it has nothing there.
func TestNoWebPush(t *testing.T) {
	r := newRig(t)
	for _, q := range []request{{target: "/api/v1/push/key"}, {method: "POST", target: "/api/v1/push/subscription", body: "{}"},
		{method: "DELETE", target: "/api/v1/push/subscription"}} {
		q.sign = "anna1"
		if status, b, _ := r.do(t, q); status != 404 || b.Code != "not_found" {
			t.Errorf("%s %s: got %d %q", q.method, q.target, status, b.Code)
		}
	}
}
