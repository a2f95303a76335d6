package webpush

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
)

// fakeService is a push service without a network: it answers each request by f
// and notes when it came.
type fakeService struct {
	mu    sync.Mutex
	f     func(*http.Request) (*http.Response, error)
	began time.Time
	at    []time.Duration
}

func (s *fakeService) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.at = append(s.at, time.Since(s.began).Round(100*time.Millisecond))
	s.mu.Unlock()
	return s.f(r)
}

// times is when the requests came.
func (s *fakeService) times() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.at)
}

func reply(code int, header ...string) (*http.Response, error) {
	r := &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(strings.Repeat("x", 1<<20)))}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r, nil
}

// dropped is a WebSubscriptionStore that notes what was dropped.
type dropped struct {
	mu   sync.Mutex
	list []string
}

func (d *dropped) SetWebSubscription(context.Context, string, *device.WebSubscription) error {
	return nil
}
func (d *dropped) DropWebSubscription(_ context.Context, device, endpoint string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, device+" "+endpoint)
	return nil
}

func (d *dropped) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

const secretPath = "/very-secret-path"

// bubble runs f with a sender to fcm.googleapis.com and updates.push.services.mozilla.com,
// whose answers are of service.
func bubble(t *testing.T, f func(t *testing.T, w *Sender, s *fakeService, logs *observer.ObservedLogs, d *dropped)) {
	synctest.Test(t, func(t *testing.T) {
		key, err := device.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		vapid, err := NewVAPID(key, "")
		if err != nil {
			t.Fatal(err)
		}
		core, logs := observer.New(zap.DebugLevel)
		d, s := &dropped{}, &fakeService{began: time.Now()}
		w := New(Options{VAPID: vapid, Store: d, Services: services(t, BrowserServices()[:2]...), Logger: zap.New(core)})
		w.client.Transport = s
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Run(ctx) }()
		f(t, w, s, logs, d)
		cancel()
		<-done
		for _, e := range logs.All() {
			if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, secretPath) {
				t.Errorf("the log has an endpoint: %s", text)
			}
		}
	})
}

func at(host string, n int) device.Device {
	return device.Device{ID: fmt.Sprintf("dev%d", n), User: mfa.NameOf("anna"), Web: &device.WebSubscription{
		Endpoint: fmt.Sprintf("https://%s%s/%d", host, secretPath, n), Key: octets(vectorReceiver), Auth: octets(vectorAuth)}}
}

const fcm, mozilla = "fcm.googleapis.com", "updates.push.services.mozilla.com"

func openPrompt(id string, life time.Duration) *mfa.Prompt {
	return &mfa.Prompt{ID: id, User: mfa.NameOf("anna"), Started: time.Now(), Expires: time.Now().Add(life)}
}

// TestRetries: what a service may take later is tried again, as long as the
// prompt waits and not without end.
func TestRetries(t *testing.T) {
	for _, c := range []struct {
		name string
		life time.Duration
		f    func(try int) (*http.Response, error)
		want string // when requests came, rounded as the pauses allow
		drop int
	}{
		{"taken", time.Minute, func(int) (*http.Response, error) { return reply(201) }, "[0s]", 0},
		{"ok", time.Minute, func(int) (*http.Response, error) { return reply(200) }, "[0s]", 0},
		{"429 with seconds", time.Minute, func(try int) (*http.Response, error) {
			if try == 1 {
				return reply(429, "Retry-After", "7")
			}
			return reply(201)
		}, "[0s 7s]", 0},
		{"429 with a date", time.Minute, func(try int) (*http.Response, error) {
			if try == 1 {
				return reply(429, "Retry-After", time.Now().Add(9*time.Second).UTC().Format(http.TimeFormat))
			}
			return reply(201)
		}, "[0s 9s]", 0},
		{"429 beyond the prompt", 20 * time.Second, func(int) (*http.Response, error) { return reply(429, "Retry-After", "21") }, "[0s]", 0},
		{"503", time.Minute, func(try int) (*http.Response, error) { return reply(503, "Retry-After", "5") }, "[0s 5s 10s 15s]", 0},
		{"410", time.Minute, func(int) (*http.Response, error) { return reply(410) }, "[0s]", 1},
		{"404", time.Minute, func(int) (*http.Response, error) { return reply(404) }, "[0s]", 1},
		{"400", time.Minute, func(int) (*http.Response, error) { return reply(400) }, "[0s]", 0},
		{"403", time.Minute, func(int) (*http.Response, error) { return reply(403) }, "[0s]", 0},
		{"413", time.Minute, func(int) (*http.Response, error) { return reply(413) }, "[0s]", 0},
		{"redirect", time.Minute, func(int) (*http.Response, error) { return reply(307, "Location", "https://127.0.0.1/") }, "[0s]", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *Sender, s *fakeService, logs *observer.ObservedLogs, d *dropped) {
				s.f = func(*http.Request) (*http.Response, error) {
					return c.f(len(s.times()))
				}
				stop := w.Notify(t.Context(), openPrompt("p1", c.life), []device.Device{at(fcm, 1)})
				time.Sleep(2 * time.Minute)
				stop()
				if got := fmt.Sprint(s.times()); got != c.want {
					t.Errorf("requests at %s, want %s", got, c.want)
				}
				if list := d.all(); len(list) != c.drop || c.drop == 1 && list[0] != "dev1 "+at(fcm, 1).Web.Endpoint {
					t.Errorf("dropped %v", list)
				}
			})
		})
	}
}

// TestPauses: without Retry-After the pauses grow, and are never alike for all.
func TestPauses(t *testing.T) {
	bubble(t, func(t *testing.T, w *Sender, s *fakeService, logs *observer.ObservedLogs, d *dropped) {
		s.f = func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }
		defer w.Notify(t.Context(), openPrompt("p1", time.Minute), []device.Device{at(fcm, 1)})()
		time.Sleep(2 * time.Minute)
		at := s.times()
		if len(at) != maxTries {
			t.Fatalf("requests at %v", at)
		}
		for i := 1; i < len(at); i++ {
			most := firstPause << (i - 1)
			if pause := at[i] - at[i-1]; pause < most/2-100*time.Millisecond || pause > most+100*time.Millisecond {
				t.Errorf("pause %d: %v", i, pause)
			}
		}
		if n := logs.FilterLevelExact(zap.WarnLevel).Len(); n != 1 {
			t.Errorf("got %d warnings in a minute; want 1", n)
		}
	})
}

// TestDecidedIsNotNotified: a prompt that is over is neither sent nor tried again,
// and a request that is out for it ends.
func TestDecidedIsNotNotified(t *testing.T) {
	bubble(t, func(t *testing.T, w *Sender, s *fakeService, logs *observer.ObservedLogs, d *dropped) {
		s.f = func(*http.Request) (*http.Response, error) { return reply(429, "Retry-After", "7") }
		stop := w.Notify(t.Context(), openPrompt("p1", time.Minute), []device.Device{at(fcm, 1)})
		synctest.Wait()
		stop()
		ended := false
		s.f = func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			ended = true
			return nil, r.Context().Err()
		}
		stop = w.Notify(t.Context(), openPrompt("p2", time.Minute), []device.Device{at(fcm, 1)})
		synctest.Wait()
		stop()
		synctest.Wait()
		if !ended {
			t.Error("got a request that goes on; want it ended")
		}
		time.Sleep(2 * time.Minute)
		if got := fmt.Sprint(s.times()); got != "[0s 0s]" {
			t.Errorf("requests at: got %s; want \"[0s 0s]\"", got)
		}
	})
}

// TestHangingService: it holds up neither the prompt nor another service, costs
// a bounded number of goroutines, and none once the server has stopped.
func TestHangingService(t *testing.T) {
	bubble(t, func(t *testing.T, w *Sender, s *fakeService, logs *observer.ObservedLogs, d *dropped) {
		var other []time.Duration
		s.f = func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == mozilla {
				s.mu.Lock()
				other = append(other, time.Since(s.began))
				s.mu.Unlock()
				return reply(201)
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		before := runtime.NumGoroutine()
		for i := range 3 * maxNotices {
			defer w.Notify(t.Context(), openPrompt(fmt.Sprint("p", i), time.Minute), []device.Device{at(fcm, i)})()
		}
		defer w.Notify(t.Context(), openPrompt("other", time.Minute), []device.Device{at(mozilla, 1)})()
		synctest.Wait()
		if took := time.Since(s.began); took != 0 {
			t.Errorf("notifying took: got %v; want 0", took)
		}
		if len(other) != 1 || other[0] != 0 {
			t.Errorf("the other service was asked at %v; want 1 of them, 0", other)
		}
		if n := runtime.NumGoroutine(); n > before+10*queueWorkers {
			t.Errorf("%d goroutines, %d before", n, before)
		}
		time.Sleep(sendTimeout + time.Second)
		if n := len(s.times()); n < 2*queueWorkers || n > 4*queueWorkers {
			t.Errorf("%d requests in %v", n, sendTimeout)
		}
		if n := logs.FilterLevelExact(zap.WarnLevel).Len(); n > 2 {
			t.Errorf("got %d warnings; want at most 2", n)
		}
		synctest.Wait()
	})
}

// TestFullQueue: what is beyond it is dropped, and one line says so.
func TestFullQueue(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	w := New(Options{Services: services(t, fcm), Logger: zap.New(core)})
	for i := range maxNotices + 10 { // nobody runs
		defer w.Notify(t.Context(), openPrompt(fmt.Sprint("p", i), time.Minute), []device.Device{at(fcm, i)})()
	}
	if n := len(w.queues[0].queue); n != maxNotices || logs.Len() != 1 {
		t.Errorf("%d wait, %d warnings", n, logs.Len())
	}
}

// TestWorksAgain: the end of an outage is one line too.
func TestWorksAgain(t *testing.T) {
	bubble(t, func(t *testing.T, w *Sender, s *fakeService, logs *observer.ObservedLogs, d *dropped) {
		var code atomic.Int64
		code.Store(400)
		s.f = func(*http.Request) (*http.Response, error) { return reply(int(code.Load())) }
		for i := range 90 {
			if i == 70 {
				code.Store(201)
			}
			defer w.Notify(t.Context(), openPrompt(fmt.Sprint("p", i), time.Minute), []device.Device{at(fcm, 1)})()
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		defer w.Notify(t.Context(), openPrompt("last", time.Minute), []device.Device{at(fcm, 1)})()
		synctest.Wait()
		if n := logs.FilterLevelExact(zap.WarnLevel).Len(); n != 2 {
			t.Errorf("got %d warnings; want 2", n)
		}
		if n := logs.FilterMessage("web push: messages are delivered again").Len(); n != 1 {
			t.Errorf("got %d lines that it works; want 1", n)
		}
	})
}

// TestWhoIsNotified: each browser of the user once, and nobody else.
func TestWhoIsNotified(t *testing.T) {
	bubble(t, func(t *testing.T, w *Sender, s *fakeService, logs *observer.ObservedLogs, d *dropped) {
		var paths []string
		s.f = func(r *http.Request) (*http.Response, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			paths = append(paths, r.URL.Path)
			return reply(201)
		}
		twice := at(fcm, 1)
		twice.ID = "dev9"
		defer w.Notify(t.Context(), openPrompt("p1", time.Minute), []device.Device{at(fcm, 1), {ID: "none"}, twice, at("example.org", 3)})()
		synctest.Wait()
		if len(paths) != 1 || paths[0] != secretPath+"/1" {
			t.Errorf("notified %v", paths)
		}
		again := openPrompt("p1", time.Minute)
		again.Resumed = true
		defer w.Notify(t.Context(), again, []device.Device{at(fcm, 1)})()
		synctest.Wait()
		if len(paths) != 1 {
			t.Errorf("a prompt is notified again after a restart: got %v; want 1 of them", paths)
		}
		defer (*Sender)(nil).Notify(t.Context(), openPrompt("p1", time.Minute), []device.Device{at(fcm, 1)})()
	})
}
