package push_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push"
)

// What the tests of ntfy and webhook share.

const providerSecret = "0123456789abcdef0123456789abcdef"

// registered is device.Registrations: who is at which provider, by "user/provider".
type registered map[string][]device.Device

func (r registered) DevicesOf(_ context.Context, user mfa.Name, provider string) ([]device.Device, error) {
	return r[user.Key().String()+"/"+provider], nil
}

// site is a provider's server of someone else's and our callbacks.
type site struct {
	mu        sync.Mutex
	shown     map[string]sent // by prompt
	gone      map[string]bool
	posts     int
	answer    func(w http.ResponseWriter, r *http.Request, posts int) bool // true: it has answered; nil: none
	server    *httptest.Server
	callbacks *push.Callbacks
	public    *httptest.Server
	parts     push.ProviderParts
}

// sent is a prompt as the server got it.
type sent struct {
	answerURL string            // webhook
	buttons   map[string]string // ntfy: address by label
	click     string
}

func newSite(t *testing.T, handler func(s *site) http.Handler) *site {
	s := &site{shown: map[string]sent{}, gone: map[string]bool{}, callbacks: &push.Callbacks{}}
	s.server = httptest.NewServer(handler(s))
	t.Cleanup(s.server.Close)
	s.public = httptest.NewServer(s.callbacks.Handler())
	t.Cleanup(s.public.Close)
	s.parts = push.ProviderParts{
		Name: "chat", PublicURL: s.public.URL, Callbacks: s.callbacks,
		Registrations: registered{"anna/chat": {{ID: "d1", User: mfa.NameOf("anna"), Name: "anna's phone", Provider: "chat"}}},
		Resolve:       func(path string) string { return path },
		ReadSecret: func(path string) (string, error) {
			text, err := os.ReadFile(path)
			return string(text), err
		},
	}
	return s
}

// interfere counts a request with a prompt, and lets the test answer it.
func (s *site) interfere(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	s.posts++
	n, answer := s.posts, s.answer
	s.mu.Unlock()
	return answer != nil && answer(w, r, n)
}

func (s *site) show(id string, m sent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown[id] = m
}

func (s *site) prompt(id string) (sent, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.shown[id]
	return m, ok
}

func (s *site) prompted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posts
}

// until waits for a condition.
func until(ctx context.Context, what string, f func() bool) error {
	for !f() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("not %s: %w", what, ctx.Err())
		}
	}
	return nil
}

func (s *site) waitShown(ctx context.Context, id string) error {
	return until(ctx, "shown", func() bool { _, ok := s.prompt(id); return ok })
}

func (s *site) waitGone(ctx context.Context, id string) error {
	return until(ctx, "gone", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.gone[id] })
}

func secretFile(t *testing.T, text string) string {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func testPrompt(id, number string) mfa.Prompt {
	now := time.Now()
	return mfa.Prompt{ID: id, User: mfa.NameOf("anna"), Client: "vpn", Number: number, Started: now, Expires: now.Add(time.Minute),
		Requests: []mfa.PromptRequest{{Time: now, Client: "vpn", EndUser: "198.51.100.7\x1b[2J", Source: "192.0.2.1:1"}}}
}

type pushed struct {
	approval mfa.Approval
	err      error
}

func startPush(ctx context.Context, p mfa.Pusher, prompt mfa.Prompt) <-chan pushed {
	done := make(chan pushed, 1)
	go func() {
		a, err := p.Push(ctx, prompt)
		done <- pushed{a, err}
	}()
	return done
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// failures is how servers fail, and how many prompts each may get.
var failures = []struct {
	name    string
	answer  func(w http.ResponseWriter, r *http.Request, posts int) bool
	prompts int    // requests that reach the server
	says    string // in the error; empty: the prompt is shown in the end
}{
	{"500", status(500), 1, "status 500"},
	{"403", status(403), 1, "status 403"},
	{"redirect", func(w http.ResponseWriter, r *http.Request, _ int) bool {
		http.Redirect(w, r, "http://"+r.Host+"/elsewhere", http.StatusTemporaryRedirect)
		return true
	}, 1, "redirect"},
	{"429 for good", status(429), 3, "status 429"},
	{"429 at first", func(w http.ResponseWriter, r *http.Request, posts int) bool {
		return posts == 1 && status(429)(w, r, posts)
	}, 2, ""},
	{"503 at first", func(w http.ResponseWriter, r *http.Request, posts int) bool {
		return posts == 1 && status(503)(w, r, posts)
	}, 2, ""},
}

func status(code int) func(http.ResponseWriter, *http.Request, int) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		http.Error(w, "token tk_secret "+strings.Repeat("x", 1<<16), code)
		return true
	}
}

// testFailures runs failures against a provider.
func testFailures(t *testing.T, start func(t *testing.T) (*site, mfa.Pusher)) {
	for _, c := range failures {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, p := start(t)
			s.answer = c.answer
			ctx, cancel := context.WithCancel(bounded(t))
			done := startPush(ctx, p, testPrompt("p1", ""))
			if c.says == "" {
				if err := s.waitShown(bounded(t), "p1"); err != nil {
					t.Fatal(err)
				}
				cancel()
			}
			got := <-done
			cancel()
			if got.err == nil || !strings.Contains(got.err.Error(), c.says) || strings.Contains(got.err.Error(), "secret") {
				t.Errorf("got %v, want an error with %q and nothing that the server said", got.err, c.says)
			}
			if n := s.prompted(); n != c.prompts {
				t.Errorf("got %d prompts; want %d", n, c.prompts)
			}
		})
	}
	t.Run("hang", func(t *testing.T) { testHang(t, start) })
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		s, p := start(t)
		s.server.Close()
		got := <-startPush(bounded(t), p, testPrompt("p1", ""))
		if got.err == nil || strings.Contains(got.err.Error(), "/hook") {
			t.Errorf("got %v, want an error without the path", got.err)
		}
	})
}

// testHang: who took a request and does not answer may have shown it. It is not
// asked again, the prompt goes on to its end, and a decision still counts.
func testHang(t *testing.T, start func(t *testing.T) (*site, mfa.Pusher)) {
	t.Parallel()
	s, p := start(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	s.answer = func(http.ResponseWriter, *http.Request, int) bool { <-release; return true }
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond) // above the provider's timeout
	defer cancel()
	got := <-startPush(ctx, p, testPrompt("p1", ""))
	if ctx.Err() == nil {
		t.Errorf("ended early: got %v; want Err set", got.err)
	}
	if n := s.prompted(); n != 1 {
		t.Errorf("got %d requests; want 1", n)
	}
}
