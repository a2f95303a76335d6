package e2e

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa/device"
)

// chatServer is the server of a push provider that is not ours, ntfy or webhook,
// which shows prompts to its users. It may be used concurrently.
type chatServer struct {
	kind string
	http *httptest.Server

	mu     sync.Mutex
	users  map[string]*chatUser
	health http.HandlerFunc // answers what asks for its health; nil: it is well
	forge  chatForgery      // of each answer that is sent; nil: none
}

// chatForgery changes an answer on its way.
type chatForgery func(target string, body []byte, header http.Header) (string, []byte)

// chatUser is what a server shows to one user, and how it treats what is for the user.
type chatUser struct {
	prompts chan chatPrompt
	ended   chan struct{} // one for each prompt, when it is over
	asked   int           // requests with a prompt
	fault   chatFault
}

// chatFault answers a request with a prompt, which is the n-th; nil: 200.
type chatFault func(w http.ResponseWriter, r *http.Request, n int)

// chatPrompt is a prompt as it is shown. It sends an answer to p and returns the status.
type chatPrompt func(p *serverProcess, action device.Action) int

// chatSecret is the secret of the webhook, the key of ntfy's topics and its
// token. chatHidden is in it, in the path of the server, and in all that the
// server says: it must never be seen.
const (
	chatHidden = "hidden"
	chatSecret = "0123456789abcdef-" + chatHidden + "-0123456789abcdef"
)

var chatKinds = []string{"ntfy", "webhook"}

func newChatServer(t *testing.T, kind string) *chatServer {
	c := &chatServer{kind: kind, users: map[string]*chatUser{}}
	c.http = httptest.NewServer(c)
	t.Cleanup(c.http.Close)
	t.Cleanup(c.http.CloseClientConnections) // of those that hang
	return c
}

// entry is an entry of push for a server at an address.
func (c *chatServer) entry(address string) string {
	keys := "topic_key_file: chat.key, token_file: chat.key"
	if c.kind == "webhook" {
		keys = "secret_file: chat.key"
	}
	return fmt.Sprintf("{name: chat, type: %s, url: %q, timeout: 1s, %s}", c.kind, address, keys)
}

// url is where the server is.
func (c *chatServer) url() string { return c.http.URL + "/" + chatHidden }

// chatSite is a configuration with these entries of push.
func chatSite(entries ...string) string {
	return siteHead + "push: [" + strings.Join(entries, ", ") + "]\n" + `clients:
  - {name: vpn, addresses: [127.0.0.1], secret: ` + testSecret + `}
mfa: {reject_delay: 500ms, push_timeout: 12s}
`
}

// start starts radmatch with this server and so many users who are registered there.
func (c *chatServer) start(t *testing.T, users int) (p *serverProcess, names []string) {
	p = newServer(t, chatSite(c.entry(c.url())))
	p.write("chat.key", chatSecret+"\n")
	names = p.addUsers("user", users)
	p.start()
	for _, user := range names {
		p.cli("device", "add", user, "--provider", "chat")
	}
	return p, names
}

func (c *chatServer) user(name string) *chatUser {
	u := c.users[name]
	if u == nil {
		u = &chatUser{prompts: make(chan chatPrompt, 100), ended: make(chan struct{}, 100)}
		c.users[name] = u
	}
	return u
}

// asked returns how many prompts for a user the server got.
func (c *chatServer) asked(user string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.user(user).asked
}

// misbehave sets what prompts for a user meet; nil: nothing.
func (c *chatServer) misbehave(user string, f chatFault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.user(user).fault = f
}

// answerHealth sets what who asks for the server's health meets.
func (c *chatServer) answerHealth(f http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.health = f
}

// next waits for the next prompt of a user, which is shown before the server
// answers.
func (c *chatServer) next(t testing.TB, user string) chatPrompt {
	t.Helper()
	c.mu.Lock()
	prompts := c.user(user).prompts
	c.mu.Unlock()
	select {
	case r := <-prompts:
		return r
	case <-time.After(testTimeout):
		t.Fatalf("nothing is shown to %s", user)
		return nil
	}
}

// done waits until the server has done with one more prompt.
func (c *chatServer) done(t testing.TB, user string) {
	t.Helper()
	c.mu.Lock()
	ended := c.user(user).ended
	c.mu.Unlock()
	select {
	case <-ended:
	case <-time.After(testTimeout):
		t.Fatalf("the request with the prompt of %s does not end", user)
	}
}

// ServeHTTP implements http.Handler.
func (c *chatServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	user, shown := c.read(r, body)
	c.mu.Lock()
	if shown == nil {
		health := c.health
		c.mu.Unlock()
		if health != nil {
			health(w, r)
			return
		}
		fmt.Fprint(w, `{"healthy":true}`)
		return
	}
	u := c.user(user)
	u.asked++
	n, fault := u.asked, u.fault
	u.prompts <- shown
	c.mu.Unlock()
	if fault != nil {
		fault(w, r, n)
	}
	u.ended <- struct{}{}
}

var ntfyUser = regexp.MustCompile(`^User (\w+), from `)

// read returns the prompt in a request and its user, nil for any other request.
func (c *chatServer) read(r *http.Request, body []byte) (user string, shown chatPrompt) {
	var m struct {
		Message   string
		Actions   []struct{ Label, URL string }
		Type, ID  string
		AnswerURL string `json:"answer_url"`
		Prompt    struct{ User string }
	}
	if json.Unmarshal(body, &m) != nil {
		return "", nil
	}
	if words := ntfyUser.FindStringSubmatch(m.Message); c.kind == "ntfy" && words != nil && len(m.Actions) == 3 {
		labels := map[device.Action]string{device.ActionApprove: "Approve", device.ActionDeny: "Deny", device.ActionNotMe: "It wasn't me"}
		return words[1], func(p *serverProcess, action device.Action) int {
			for _, a := range m.Actions {
				if a.Label == labels[action] {
					return c.post(p, a.URL, nil, http.Header{})
				}
			}
			return 0
		}
	}
	if m.Type != "prompt" {
		return "", nil
	}
	return m.Prompt.User, func(p *serverProcess, action device.Action) int {
		answer := fmt.Appendf(nil, `{"id":%q,"decision":%q}`, m.ID, action)
		return c.post(p, m.AnswerURL, answer, signedAnswer(answer, chatSecret, time.Now()))
	}
}

// signedAnswer is what is in the header of a webhook's answer.
func signedAnswer(body []byte, secret string, at time.Time) http.Header {
	stamp, mac := strconv.FormatInt(at.Unix(), 10), hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "radmatch-webhook-answer-1\n%s\n%s", stamp, body)
	return http.Header{"X-Radmatch-Timestamp": {stamp}, "X-Radmatch-Signature": {"sha256=" + hex.EncodeToString(mac.Sum(nil))}}
}

// post sends what the server or its notification sends, to where radmatch is now,
// and returns the status.
func (c *chatServer) post(p *serverProcess, address string, body []byte, header http.Header) int {
	u, err := url.Parse(address)
	if err != nil {
		p.t.Error(err)
		return 0
	}
	target := u.Path // the configuration does not know the port
	c.mu.Lock()
	forge := c.forge
	c.mu.Unlock()
	if forge != nil {
		target, body = forge(target, body, header)
	}
	status, _ := p.send(target, body, header)
	return status
}

// forging sets what becomes of answers.
func (c *chatServer) forging(f chatForgery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forge = f
}

// send posts to a path of the server, and returns the status and what it says.
func (p *serverProcess) send(target string, body []byte, header http.Header) (status int, text string) {
	ctx, cancel := context.WithTimeout(p.t.Context(), testTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.web+target, bytes.NewReader(body))
	if err != nil {
		p.t.Error(err)
		return 0, ""
	}
	r.Header = header
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Error(err)
	}
	return resp.StatusCode, string(said)
}
