package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/radius/wire"
)

// says answers with a status and, where it is not 0, Retry-After.
func says(status, retryAfter int) chatFault {
	return func(w http.ResponseWriter, _ *http.Request, _ int) {
		if retryAfter > 0 {
			w.Header().Set("Retry-After", fmt.Sprint(retryAfter))
		}
		http.Error(w, chatHidden, status)
	}
}

// once is a fault that passes.
func once(f chatFault) chatFault {
	return func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 1 {
			f(w, r, n)
		}
	}
}

func hangs(_ http.ResponseWriter, r *http.Request, _ int) { <-r.Context().Done() }

// raw sends octets in place of an answer, and closes.
func raw(text string) chatFault {
	return func(w http.ResponseWriter, _ *http.Request, _ int) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(c, text)
			_ = c.Close()
		}
	}
}

// endless answers with a status and a body without an end.
func endless(status int) chatFault {
	return func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.WriteHeader(status)
		for range 100 << 10 {
			if _, err := io.WriteString(w, strings.Repeat(chatHidden+" ", 1<<7)); err != nil {
				return
			}
		}
	}
}

func redirects(w http.ResponseWriter, r *http.Request, _ int) {
	http.Redirect(w, r, "/"+chatHidden+"/elsewhere", http.StatusTemporaryRedirect)
}

// chatFaultCase is how a provider's server fails.
type chatFaultCase struct {
	name      string
	fault     chatFault
	prompts   int    // how many prompts it gets
	reason    string // outcome and reason of the login; empty: the user's answer counts
	says      string // in the log; empty with a reason: the answer is an Access-Reject
	meanwhile bool   // the user answers before the server does
}

var chatFaults = []chatFaultCase{
	{"500", says(500, 0), 1, "discard mfa_error", "status 500", false},
	{"403", says(403, 0), 1, "discard mfa_error", "status 403", false},
	{"redirect", redirects, 1, "discard mfa_error", "answers with a redirect (307), which is not followed", false},
	{"500 and no end", endless(500), 1, "discard mfa_error", "status 500", false},
	{"429 for good", says(429, 1), 3, "discard mfa_error", "status 429", false},
	{"429 once, for a day", once(says(429, 86400)), 2, "", "", false},
	{"503 once", once(says(503, 0)), 2, "", "", false},
	{"200 and no end", endless(200), 1, "", "", false},
	{"closes", raw(""), 1, "", "", false},
	{"no HTTP", raw("SSH-2.0-" + chatHidden + "\r\n\r\n"), 1, "", "", false},
	{"huge header", raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), 1, "", "", false},
	{"hangs", hangs, 1, "", "", false},
	{"hangs, answered meanwhile", hangs, 1, "", "", true},
	{"hangs, and nobody answers", hangs, 1, "reject push_no_response", "", false},
}

// TestChatFaults: whatever a provider's server does, no login is accepted without the
// user, no device gets a prompt twice, no secret is logged, and the next login of
// the same user goes well.
func TestChatFaults(t *testing.T) {
	t.Parallel()
	for _, kind := range chatKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newChatServer(t, kind)
			p, users := c.start(t, len(chatFaults))
			t.Run("with", func(t *testing.T) {
				for i, f := range chatFaults {
					t.Run(f.name, func(t *testing.T) {
						t.Parallel()
						own := *p
						own.t = t
						f.run(c, &own, users[i])
					})
				}
			})
			if text := p.log(); strings.Contains(text, chatHidden) || strings.Contains(text, "/push/") {
				t.Errorf("the log has what must not be seen:\n%s", text)
			}
		})
	}
}

// Run is a login that meets the fault, and one after it.
func (f chatFaultCase) run(c *chatServer, p *serverProcess, user string) {
	s := p.nasSocket("127.0.0.1")
	c.misbehave(user, f.fault)
	r := s.start(signIn(user, "192.0.2.1"))
	var shown chatPrompt
	for range f.prompts {
		shown = c.next(p.t, user)
		if !f.meanwhile {
			c.done(p.t, user)
		}
	}
	if f.reason == "" {
		p.chatApproved(s, r, shown)
	} else {
		p.awaitEvent(user, f.reason, 1)
		if f.says == "" {
			if a, _ := s.answer(r); a.Code != wire.AccessReject {
				p.t.Errorf("got %s", a.Code)
			}
		} else {
			s.silent()
			p.await("server.log", `"user":"`+user+`".*`+regexp.QuoteMeta(f.says))
		}
		if got := shown(p, device.ActionApprove); got != http.StatusGone {
			p.t.Errorf("an approval when it was over: status: got %d; want %d", got, http.StatusGone)
		}
	}
	if n := c.asked(user); n != f.prompts {
		p.t.Errorf("got %d prompts; want %d", n, f.prompts)
	}
	c.misbehave(user, nil)
	p.chatApproved(s, s.start(signIn(user, "192.0.2.2")), c.next(p.t, user))
}

// chatApproved approves what is shown, once, and demands that it lets in.
func (p *serverProcess) chatApproved(s *nasSocket, r request, shown chatPrompt) {
	p.t.Helper()
	if got := shown(p, device.ActionApprove); got != http.StatusOK {
		p.t.Errorf("approve: status: got %d; want %d", got, http.StatusOK)
	}
	if a, _ := s.answer(r); a.Code != wire.AccessAccept {
		p.t.Errorf("got %s", a.Code)
	}
	for _, again := range []device.Action{device.ActionApprove, device.ActionDeny} {
		if got := shown(p, again); got != http.StatusGone {
			p.t.Errorf("%s afterwards: status: got %d; want %d", again, got, http.StatusGone)
		}
	}
}

// linkForgery changes what an ntfy link says, and keeps its signature.
func linkForgery(old, now string) chatForgery {
	return func(target string, body []byte, _ http.Header) (string, []byte) {
		at := strings.LastIndexByte(target, '/') + 1
		link, _ := base64.RawURLEncoding.DecodeString(target[at:])
		text := strings.Replace(string(link[sha256.Size:]), old, now, 1)
		return target[:at] + base64.RawURLEncoding.EncodeToString(append(link[:sha256.Size], text...)), body
	}
}

// answerForgery signs another answer, or this one otherwise.
func answerForgery(secret string, age time.Duration, old, now string) chatForgery {
	return func(target string, body []byte, header http.Header) (string, []byte) {
		maps.Copy(header, signedAnswer(body, secret, time.Now().Add(-age)))
		return target, []byte(strings.Replace(string(body), old, now, 1))
	}
}

// TestChatForgeries: what is not the answer that was made for this prompt, as it
// was made, decides nothing; then the genuine one does.
func TestChatForgeries(t *testing.T) {
	t.Parallel()
	for _, kind := range chatKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newChatServer(t, kind)
			p, users := c.start(t, 2)
			s := p.nasSocket("127.0.0.1")
			var waits []request
			var shown []chatPrompt
			for _, user := range users {
				waits = append(waits, s.start(signIn(user, "192.0.2.1")))
				shown = append(shown, c.next(t, user))
			}
			var others string // target of the other user's answer
			c.forging(func(target string, body []byte, _ http.Header) (string, []byte) {
				others = target
				return "/push/" + kind, nil
			})
			shown[1](p, device.ActionApprove)
			p.awaitKept(2, 1)
			for _, f := range map[string][]struct {
				name   string
				forge  chatForgery
				status int
			}{
				"ntfy": {
					{"a denial made an approval", linkForgery(`"deny"`, `"approve"`), 401},
					{"good for longer", linkForgery(`"e":`, `"e":9`), 401},
					{"another signature", func(target string, body []byte, _ http.Header) (string, []byte) {
						const end = len("/push/ntfy/") + 42
						return others[:end] + target[end:], body
					}, 401},
					{"cut", func(target string, body []byte, _ http.Header) (string, []byte) { return target[:60], body }, 400},
					{"too long", func(target string, body []byte, _ http.Header) (string, []byte) {
						return target + strings.Repeat("A", 4000), body
					}, 400},
				},
				"webhook": {
					{"a denial made an approval", answerForgery(chatSecret, 0, "deny", "approve"), 401},
					{"another secret", answerForgery(strings.Repeat("x", 32), 0, "", ""), 401},
					{"old", answerForgery(chatSecret, 6*time.Minute, "", ""), 401},
					{"of the future", answerForgery(chatSecret, -6*time.Minute, "", ""), 401},
					{"at another's address", func(_ string, body []byte, _ http.Header) (string, []byte) { return others, body }, 401},
					{"of another provider", func(target string, body []byte, _ http.Header) (string, []byte) {
						return strings.Replace(target, "/chat/", "/talk/", 1), body
					}, 410},
					{"unsigned", func(target string, body []byte, header http.Header) (string, []byte) {
						header.Del("X-Radmatch-Signature")
						return target, body
					}, 401},
				},
			}[kind] {
				c.forging(f.forge)
				if got := shown[0](p, device.ActionDeny); got != f.status {
					t.Errorf("%s: status %d, want %d", f.name, got, f.status)
				}
			}
			p.awaitKept(2, 1)
			c.forging(nil)
			for i := range users {
				p.chatApproved(s, waits[i], shown[i])
			}
		})
	}
}

// foreignTLS puts TLS before the server, with a certificate that moves the cursor,
// and returns its address.
func (c *chatServer) foreignTLS(t *testing.T) string {
	server, dir := httptest.NewUnstartedServer(c), t.TempDir()
	newAuthority(t).install(dir, time.Now().Add(time.Hour), "a\x1b[2J.example.org")
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + "/" + chatHidden
}

// TestChatHealth: check --connect tells of a provider's server what is wrong with
// it and what to do, soon, and shows nothing that is secret.
func TestChatHealth(t *testing.T) {
	t.Parallel()
	const off = "http://127.0.0.1:1/" + chatHidden
	for _, kind := range chatKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := newChatServer(t, kind)
			p := newServer(t, "")
			p.write("chat.key", chatSecret)
			for _, tt := range []struct {
				name   string
				url    string
				answer chatFault
				says   string // behind the address of the server; empty: it is well
				hint   string
			}{
				{"well", c.url(), nil, "", ""},
				{"500", c.url(), says(500, 0), "http: status 500", "see its log"},
				{"429", c.url(), says(429, 60), "http: status 429", "see its log"},
				{"401", c.url(), says(401, 0), "http: status 401", map[string]string{"ntfy": "log", "webhook": "same secret"}[kind]},
				{"404", c.url(), says(404, 0), "http: status 404", "path"},
				{"redirect", c.url(), redirects, "http: status 307", "redirects are not followed"},
				{"someone else's page", c.url(), says(200, 0), map[string]string{"ntfy": "http: it does not say that it is healthy"}[kind], "no ntfy server"},
				{"no HTTP", c.url(), raw("SSH-2.0-" + chatHidden + "\r\n\r\n"), "http: no answer: what came is not HTTP", "see its log"},
				{"no end", c.url(), endless(500), "http: status 500", "see its log"},
				{"hangs", c.url(), hangs, "http: no answer: context deadline exceeded", "does not answer: see its log"},
				{"closes", c.url(), raw(""), "http: no answer: EOF", "does not answer: see its log"},
				{"huge header", c.url(), raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"), "http: no answer: ", "see its log"},
				{"no TLS", strings.Replace(c.url(), "http", "https", 1), nil, "tls: ", "the port speaks no TLS"},
				{"a name of escapes", c.foreignTLS(t), nil, "tls: tls: failed to verify certificate: x509: certificate is valid for a�[2J.example.org, not localhost", "ca_file"},
				{"nobody listens", off, nil, "connect: ", "is the address right"},
				{"no such name", "https://nowhere.invalid/" + chatHidden, nil, "dns: ", "cannot be resolved"},
			} {
				p.write("radmatch.yaml", chatSite(c.entry(tt.url)))
				c.answerHealth(nil)
				if tt.answer != nil {
					c.answerHealth(func(w http.ResponseWriter, r *http.Request) { tt.answer(w, r, 1) })
				}
				began := time.Now()
				code, out, errs := p.run("check", "--connect")
				switch line := regexp.MustCompile(`(?m)^\S+/radmatch.yaml:\d+: push\[0\]: https?://[^/ ]+: (.*)\n  hint: (.*)$`).FindStringSubmatch(out); {
				case tt.says == "":
					if code != console.ExitOK || !strings.Contains(out, "push chat: its server answers\n") {
						t.Errorf("%s: exit %d: got %s%s; want console.ExitOK, \"push chat: its server answers\n\" in it", tt.name, code, out, errs)
					}
				case code != console.ExitConfig || line == nil || !strings.HasPrefix(line[1], tt.says) || !strings.Contains(line[2], tt.hint):
					t.Errorf("%s: exit %d, want %q with a hint of %q: %s%s", tt.name, code, tt.says, tt.hint, out, errs)
				}
				if strings.Contains(out+errs, chatHidden) || len(out) > 4096 || time.Since(began) > 10*time.Second {
					t.Errorf("%s: after %v: %s%s", tt.name, time.Since(began), out, errs)
				}
			}
		})
	}
}
