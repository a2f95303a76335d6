package push_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
)

func mac(secret, direction, timestamp string, body []byte) string {
	m := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(m, "%s\n%s\n%s", direction, timestamp, body)
	return "sha256=" + hex.EncodeToString(m.Sum(nil))
}

// receiver is the server at the other end of a webhook.
func receiver(t *testing.T) func(s *site) http.Handler {
	return func(s *site) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Header.Get("X-Radmatch-Signature") != mac(providerSecret, "radmatch-webhook-prompt-1", r.Header.Get("X-Radmatch-Timestamp"), body) {
				http.Error(w, "signature", http.StatusUnauthorized)
				return
			}
			var m struct {
				Type      string
				ID        string
				AnswerURL string `json:"answer_url"`
				Prompt    map[string]any
			}
			if err := json.Unmarshal(body, &m); err != nil {
				t.Error(err)
			}
			switch m.Type {
			case "prompt":
				if s.interfere(w, r) {
					return
				}
				if bytes.Contains(body, []byte(`"42"`)) || bytes.ContainsRune(body, 0x1b) || m.Prompt["user"] != "anna" {
					t.Errorf("sent %s", body)
				}
				s.show(m.ID, sent{answerURL: m.AnswerURL})
			case "withdraw":
				s.mu.Lock()
				s.gone[m.ID] = true
				s.mu.Unlock()
			case "test":
			default:
				t.Errorf("sent %s", body)
			}
		})
	}
}

func startWebhook(t *testing.T) (*site, mfa.Pusher) {
	s := newSite(t, receiver(t))
	h, err := push.OpenWebhook(&push.WebhookSettings{URL: s.server.URL + "/hook", SecretFile: secretFile(t, providerSecret), Timeout: time.Second}, s.parts)
	if err != nil {
		t.Fatal(err)
	}
	return s, h
}

// answerWith posts an answer.
type answerWith struct {
	url, secret, direction, body string
	age                          time.Duration
	method                       string
}

func (a answerWith) post(ctx context.Context) (int, string, error) {
	timestamp := strconv.FormatInt(time.Now().Add(-a.age).Unix(), 10)
	r, err := http.NewRequestWithContext(ctx, a.method, a.url, strings.NewReader(a.body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("X-Radmatch-Timestamp", timestamp)
	r.Header.Set("X-Radmatch-Signature", mac(a.secret, a.direction, timestamp, []byte(a.body)))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func genuine(url, body string) answerWith {
	return answerWith{url: url, secret: providerSecret, direction: "radmatch-webhook-answer-1", body: body, method: http.MethodPost}
}

func TestWebhookConformance(t *testing.T) {
	t.Parallel()
	actions := map[pushtest.Answer]string{pushtest.Approve: "approve", pushtest.Deny: "deny", pushtest.NotMe: "not_me"}
	pushtest.Run(t, func(t *testing.T) pushtest.Rig {
		s, p := startWebhook(t)
		return pushtest.Rig{
			Pusher: p, User: "anna", Nobody: "nobody", Shown: s.waitShown, Gone: s.waitGone,
			Respond: func(ctx context.Context, id string, a pushtest.Answer, number string) error {
				m, _ := s.prompt(id)
				body, _ := json.Marshal(map[string]string{"id": id, "decision": actions[a], "number": number})
				code, text, err := genuine(m.answerURL, string(body)).post(ctx)
				if err == nil && code != http.StatusOK {
					err = errors.New(text)
				}
				return err
			},
		}
	})
}

func TestWebhookFailures(t *testing.T) {
	t.Parallel()
	testFailures(t, startWebhook)
}

// TestWebhookForgeries: what is not a fresh answer to this prompt, signed with
// the secret, decides nothing; the genuine one then does, once.
func TestWebhookForgeries(t *testing.T) {
	t.Parallel()
	const yes = `{"id":"p1","decision":"approve"}`
	for _, c := range []struct {
		name   string
		change func(a *answerWith)
		want   int
	}{
		{"another secret", func(a *answerWith) { a.secret = strings.Repeat("x", 32) }, 401},
		{"our own message sent back", func(a *answerWith) { a.direction = "radmatch-webhook-prompt-1" }, 401},
		{"old", func(a *answerWith) { a.age = 6 * time.Minute }, 401},
		{"of the future", func(a *answerWith) { a.age = -6 * time.Minute }, 401},
		{"signed for another prompt", func(a *answerWith) { a.body = strings.Replace(yes, "p1", "p2", 1) }, 401},
		{"sent for another prompt", func(a *answerWith) { a.url = strings.Replace(a.url, "p1", "p2", 1) }, 410},
		{"sent as another provider", func(a *answerWith) { a.url = strings.Replace(a.url, "chat", "talk", 1) }, 410},
		{"GET", func(a *answerWith) { a.method = http.MethodGet }, 405},
		{"not JSON", func(a *answerWith) { a.body = "approve" }, 400},
		{"no decision", func(a *answerWith) { a.body = `{"id":"p1"}` }, 400},
		{"another decision", func(a *answerWith) { a.body = `{"id":"p1","decision":"APPROVE"}` }, 400},
		{"a number that is not due", func(a *answerWith) { a.body = `{"id":"p1","decision":"approve","number":"42"}` }, 400},
		{"too long", func(a *answerWith) { a.body = yes + strings.Repeat(" ", 5000) }, 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, p := startWebhook(t)
			done := startPush(bounded(t), p, testPrompt("p1", ""))
			if err := s.waitShown(bounded(t), "p1"); err != nil {
				t.Fatal(err)
			}
			m, _ := s.prompt("p1")
			forged := genuine(m.answerURL, yes)
			c.change(&forged)
			code, text, err := forged.post(bounded(t))
			if err != nil || code != c.want {
				t.Errorf("got %d %s %v, want %d", code, text, err, c.want)
			}
			select {
			case got := <-done:
				t.Fatalf("it decided: %v", got.err)
			default:
			}
			if code, text, err := genuine(m.answerURL, yes).post(bounded(t)); err != nil || code != 200 {
				t.Errorf("the genuine answer: got %d %s %v", code, text, err)
			}
			got := <-done
			if got.err != nil || got.approval.DeviceID != "d1" || got.approval.Device != "anna's phone (chat)" {
				t.Errorf("got %+v, %v", got.approval, got.err)
			}
			if code, _, err := genuine(m.answerURL, yes).post(bounded(t)); err != nil || code != http.StatusGone {
				t.Errorf("the same answer again: got %d %v, want 410", code, err)
			}
		})
	}
}

func TestWebhookNumberMissing(t *testing.T) {
	t.Parallel()
	s, p := startWebhook(t)
	done := startPush(bounded(t), p, testPrompt("p1", "42"))
	if err := s.waitShown(bounded(t), "p1"); err != nil {
		t.Fatal(err)
	}
	m, _ := s.prompt("p1")
	if code, _, err := genuine(m.answerURL, `{"id":"p1","decision":"approve"}`).post(bounded(t)); err != nil || code != http.StatusUnprocessableEntity {
		t.Errorf("without the number: got %d %v, want 422", code, err)
	}
	if code, _, err := genuine(m.answerURL, `{"id":"p1","decision":"approve","number":"42"}`).post(bounded(t)); err != nil || code != 200 {
		t.Errorf("with the number: got %d %v", code, err)
	}
	if got := <-done; got.err != nil {
		t.Error(got.err)
	}
}

func TestWebhookConnect(t *testing.T) {
	t.Parallel()
	s, _ := startWebhook(t)
	for _, c := range []struct {
		name, url, secret, says string
	}{
		{"good", s.server.URL, providerSecret, ""},
		{"another secret", s.server.URL, strings.Repeat("y", 32), "http: status 401"},
		{"nobody listens", "http://127.0.0.1:1", providerSecret, "connect: "},
		{"no TLS", strings.Replace(s.server.URL, "http", "https", 1), providerSecret, "tls: "},
	} {
		h, err := push.OpenWebhook(&push.WebhookSettings{URL: c.url, SecretFile: secretFile(t, c.secret), Timeout: time.Second}, s.parts)
		if err != nil {
			t.Fatal(err)
		}
		err = h.Connect(bounded(t))
		if got := fmt.Sprint(err); c.says == "" && err != nil || !strings.Contains(got, c.says) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.says)
		}
		if failed := (*mfa.ConnectError)(nil); c.says != "" && (!errors.As(err, &failed) || failed.Hint == "") {
			t.Errorf("%s: no hint in %v", c.name, err)
		}
	}
}

func TestWebhookSettings(t *testing.T) {
	t.Parallel()
	s, _ := startWebhook(t)
	for _, c := range []struct{ name, url, secret, ca, want string }{
		{"short secret", "https://chat.example.org", "short", "", "at least 32 octets"},
		{"no certificate", "https://chat.example.org", providerSecret, secretFile(t, "nothing"), "holds no certificate in PEM"},
		{"no such file", "https://chat.example.org", providerSecret, "/nowhere", "ca_file"},
		{"clear text", "http://chat.example.org", providerSecret, "", "must be https"},
		{"a password", "https://a:b@chat.example.org", providerSecret, "", "must be https"},
	} {
		_, err := push.OpenWebhook(&push.WebhookSettings{URL: c.url, SecretFile: secretFile(t, c.secret), CAFile: c.ca}, s.parts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// FuzzWebhookAnswer: no octets decide without the secret.
func FuzzWebhookAnswer(f *testing.F) {
	f.Add("p1", "1700000000", "sha256=00", []byte(`{"id":"p1","decision":"approve"}`))
	f.Add("p1", "", "", []byte(`{`))
	callbacks := &push.Callbacks{}
	h := push.LivePrompt(callbacks, testPrompt("p1", ""), []byte(providerSecret))
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		header := http.Header{"X-Radmatch-Timestamp": {timestamp}, "X-Radmatch-Signature": {signature}}
		if outcome, err := push.TakeWebhook(callbacks, "chat", id, header, body); err == nil {
			t.Errorf("decided: got %s; want an error", outcome)
		}
		if !h() {
			t.Error("got the prompt ended; want it live")
		}
	})
}

// TestProviderTLS: a server with a certificate of no known authority is refused, unless
// ca_file names it.
func TestProviderTLS(t *testing.T) {
	t.Parallel()
	s, _ := startWebhook(t)
	server := httptest.NewTLSServer(receiver(t)(s))
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for _, c := range []struct{ name, ca, says string }{
		{"named", secretFile(t, string(ca)), ""},
		{"not named", "", "tls: "},
	} {
		h, err := push.OpenWebhook(&push.WebhookSettings{URL: server.URL, SecretFile: secretFile(t, providerSecret), CAFile: c.ca, Timeout: 20 * time.Second}, s.parts)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Connect(bounded(t)); c.says == "" && err != nil || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.says)
		}
	}
}
