package main

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/radius"
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
	rings     int    // how often it is asked to ring
	reason    string // outcome and reason of the login; empty: the person's answer counts
	says      string // in the log; empty with a reason: the answer is an Access-Reject
	meanwhile bool   // the person answers before the server does
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

// TestChatFaults: whatever a provider's server does, nobody gets in without the
// person, nobody is rung at twice, no secret is logged, and the next login of
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

// run is a login that meets the fault, and one after it.
func (f chatFaultCase) run(c *chatServer, p *serverProcess, user string) {
	s := p.seat("127.0.0.1")
	c.misbehave(user, f.fault)
	r := s.start(signIn(user, "192.0.2.1"))
	var shown ring
	for range f.rings {
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
			if a, _ := s.answer(r); a.Code != radius.AccessReject {
				p.t.Errorf("got %s", a.Code)
			}
		} else {
			s.silent()
			p.await("server.log", `"user":"`+user+`".*`+regexp.QuoteMeta(f.says))
		}
		if got := shown(p, push.ActionApprove); got != http.StatusGone {
			p.t.Errorf("an approval when it was over: status %d", got)
		}
	}
	if n := c.asked(user); n != f.rings {
		p.t.Errorf("rang %d times, want %d", n, f.rings)
	}
	c.misbehave(user, nil)
	p.chatApproved(s, s.start(signIn(user, "192.0.2.2")), c.next(p.t, user))
}

// chatApproved approves what is shown, once, and demands that it lets in.
func (p *serverProcess) chatApproved(s *seat, r request, shown ring) {
	p.t.Helper()
	if got := shown(p, push.ActionApprove); got != http.StatusOK {
		p.t.Errorf("approve: status %d", got)
	}
	if a, _ := s.answer(r); a.Code != radius.AccessAccept {
		p.t.Errorf("got %s", a.Code)
	}
	for _, again := range []push.Action{push.ActionApprove, push.ActionDeny} {
		if got := shown(p, again); got != http.StatusGone {
			p.t.Errorf("%s afterwards: status %d", again, got)
		}
	}
}
