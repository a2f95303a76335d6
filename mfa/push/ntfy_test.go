package push_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
)

const ntfyToken = "tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2"

// ntfyServer is as much of an ntfy server as Ntfy uses. It knows a prompt by the
// first part of the links in it.
func ntfyServer(t *testing.T) func(s *site) http.Handler {
	return func(s *site) http.Handler {
		mux := http.NewServeMux()
		sequences := map[string]string{} // prompt by topic and sequence
		mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
			if s.interfere(w, r) {
				return
			}
			var m struct {
				Topic, Title, Message, Click string
				Actions                      []struct{ Action, Label, URL, Method string }
				Sequence                     string `json:"sequence_id"`
			}
			if err := json.NewDecoder(r.Body).Decode(&m); err != nil || r.Header.Get("Authorization") != "Bearer "+ntfyToken {
				http.Error(w, "forbidden", http.StatusForbidden)
				return
			}
			topic := regexp.MustCompile(`^radmatch-[a-z2-7]{26}$`)
			if !topic.MatchString(m.Topic) || len(m.Actions) != 3 || strings.ContainsRune(m.Message, 0x1b) || m.Title != "Sign-in to vpn" {
				t.Errorf("published %+v", m)
			}
			shows := sent{click: m.Click, buttons: map[string]string{}}
			for _, a := range m.Actions {
				if a.Action != "http" || a.Method != "POST" {
					t.Errorf("got button %+v; want Action \"http\", Method \"POST\"", a)
				}
				shows.buttons[a.Label] = a.URL
			}
			id := linkOf(t, m.Actions[0].URL)["p"].(string)
			s.mu.Lock()
			sequences[m.Topic+"/"+m.Sequence] = id
			s.mu.Unlock()
			s.show(id, shows)
		})
		mux.HandleFunc("DELETE /{topic}/{sequence}", func(_ http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.gone[sequences[r.PathValue("topic")+"/"+r.PathValue("sequence")]] = true
		})
		mux.HandleFunc("GET /v1/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"healthy":true}`) })
		mux.HandleFunc("GET /v1/account", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+ntfyToken {
				http.Error(w, "unauthorized", http.StatusUnauthorized)
			}
		})
		return mux
	}
}

// linkOf reads what a link says, without its signature.
func linkOf(t *testing.T, address string) map[string]any {
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(u.Path, "/push/ntfy/"))
	var m map[string]any
	if err == nil {
		err = json.Unmarshal(data[32:], &m)
	}
	if err != nil {
		t.Errorf("%s: got error %v; want none", address, err)
	}
	return m
}

func openNtfy(t *testing.T, s *site, change func(*push.NtfySettings)) *push.Ntfy {
	settings := &push.NtfySettings{
		URL: s.server.URL, TopicPrefix: "radmatch-", Timeout: time.Second,
		TopicKeyFile: secretFile(t, providerSecret), TokenFile: secretFile(t, ntfyToken),
	}
	if change != nil {
		change(settings)
	}
	n, err := push.OpenNtfy(settings, s.parts)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func startNtfy(t *testing.T) (*site, mfa.Pusher) {
	s := newSite(t, ntfyServer(t))
	return s, openNtfy(t, s, nil)
}

func startNtfyChoice(t *testing.T) (*site, mfa.Pusher) {
	s := newSite(t, ntfyServer(t))
	return s, push.NtfyChoice{Ntfy: openNtfy(t, s, func(n *push.NtfySettings) { n.AllowChoice = true })}
}

// tap sends what a button sends.
func tap(ctx context.Context, method, address string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Origin", "https://ntfy.example.org") // of ntfy's own page
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

var formAction = regexp.MustCompile(`action="([^"]+)"><button>([^<]+)<`)

// press finds what a user would press for an answer, and presses it.
func (m sent) press(ctx context.Context, a pushtest.Answer, number string) error {
	label := map[pushtest.Answer]string{pushtest.Approve: "Approve", pushtest.Deny: "Deny", pushtest.NotMe: "It wasn't me"}[a]
	address := m.buttons[label]
	switch {
	case a == pushtest.Approve && m.click != "": // numbers
		address = m.buttons[number]
		for label, other := range m.buttons {
			if address == "" && number != "" && label != "42" {
				address = other // who does not know it
			}
		}
	case m.click != "":
		_, page, err := tap(ctx, http.MethodGet, m.click)
		if err != nil {
			return err
		}
		forms := formAction.FindAllStringSubmatch(page, -1)
		address = m.click[:strings.LastIndexByte(m.click, '/')+1] + forms[int(a)-1][1]
	}
	if address == "" {
		return errors.New("no such button")
	}
	code, text, err := tap(ctx, http.MethodPost, address)
	if err == nil && code != http.StatusOK {
		err = errors.New(text)
	}
	return err
}

func TestNtfyConformance(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) (*site, mfa.Pusher){"plain": startNtfy, "choice": startNtfyChoice} {
		t.Run(name, func(t *testing.T) {
			pushtest.Run(t, func(t *testing.T) pushtest.Rig {
				s, p := start(t)
				return pushtest.Rig{
					Pusher: p, User: "anna", Nobody: "nobody", Shown: s.waitShown, Gone: s.waitGone,
					Respond: func(ctx context.Context, id string, a pushtest.Answer, number string) error {
						m, _ := s.prompt(id)
						return m.press(ctx, a, number)
					},
				}
			})
		})
	}
}

func TestNtfyFailures(t *testing.T) {
	t.Parallel()
	testFailures(t, startNtfy)
}

// TestNtfyChoice: three different numbers of two digits, one of them right, at
// no fixed place; and none of it without allow_choice.
func TestNtfyChoice(t *testing.T) {
	t.Parallel()
	if _, err := openNtfy(t, newSite(t, ntfyServer(t)), nil).Push(bounded(t), testPrompt("p1", "42")); err == nil || errors.Is(err, mfa.ErrRejected) {
		t.Errorf("a number without allow_choice: got %v", err)
	}
	if (&push.Ntfy{}).Abilities().ChecksNumbers {
		t.Error("a plain Ntfy claims to check numbers")
	}
	places, others := map[int]int{}, map[string]bool{}
	for range 300 {
		got := push.Choices("42")
		if len(got) != 3 || got[0] == got[1] || got[1] == got[2] || got[0] == got[2] || !slices.Contains(got, "42") {
			t.Fatalf("got %v", got)
		}
		places[slices.Index(got, "42")]++
		for _, n := range got {
			if len(n) != 2 || n[0] == '0' {
				t.Fatalf("got %v", got)
			}
			others[n] = true
		}
	}
	if len(others) < 80 || places[0] < 50 || places[1] < 50 || places[2] < 50 {
		t.Errorf("got %d numbers, places %v; want at least 80 of them, at least 50", len(others), places)
	}
}

// TestNtfyChoiceOfTwoDevices: both show the same three. Of two choices only the
// right number would be in both.
func TestNtfyChoiceOfTwoDevices(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	labels := map[string][]string{} // by topic
	shown := make(chan struct{}, 2)
	s := newSite(t, func(s *site) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var m struct {
				Topic   string
				Actions []struct{ Label string }
			}
			if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&m) != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, a := range m.Actions {
				labels[m.Topic] = append(labels[m.Topic], a.Label)
			}
			shown <- struct{}{}
		})
	})
	s.parts.Registrations = registered{"anna/chat": {{ID: "d1", User: mfa.NameOf("anna")}, {ID: "d2", User: mfa.NameOf("anna")}}}
	n := openNtfy(t, s, func(n *push.NtfySettings) { n.AllowChoice = true })
	ctx, cancel := context.WithCancel(bounded(t))
	done := make(chan error, 1)
	go func() {
		_, err := n.Push(ctx, testPrompt("p1", "42"))
		done <- err
	}()
	for range 2 {
		select {
		case <-shown:
		case err := <-done:
			t.Fatal(err)
		}
	}
	cancel()
	<-done
	mu.Lock()
	defer mu.Unlock()
	first, second := labels[n.Topic(device.Device{ID: "d1"})], labels[n.Topic(device.Device{ID: "d2"})]
	if len(first) != 3 || !slices.Equal(first, second) {
		t.Errorf("one shows %v, the other %v", first, second)
	}
}

// TestNtfyForgeries: what is not the link of this prompt decides nothing; the
// genuine one then does, once.
func TestNtfyForgeries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		method string
		change func(s *site, good string) string
		want   int
	}{
		{"GET, as programs do that look at links", http.MethodGet, func(_ *site, good string) string { return good }, 405},
		{"HEAD", http.MethodHead, func(_ *site, good string) string { return good }, 405},
		{"no link", http.MethodPost, func(s *site, _ string) string { return s.public.URL + "/push/ntfy/x" }, 400},
		{"changed", http.MethodPost, func(_ *site, good string) string { return edit(good, `"a":"deny"`, `"a":"approve"`) }, 401},
		{"with a number", http.MethodPost, func(_ *site, good string) string { return edit(good, `"a":"deny"`, `"a":"deny","n":"42"`) }, 401},
		{"for longer", http.MethodPost, func(_ *site, good string) string { return edit(good, `"e":`, `"e":9`) }, 401},
		{"for another device", http.MethodPost, func(_ *site, good string) string { return edit(good, `"d":"d1"`, `"d":"d2"`) }, 401},
		{"for another prompt", http.MethodPost, func(_ *site, good string) string { return edit(good, `"p":"p1"`, `"p":"p2"`) }, 401},
		{"for no prompt", http.MethodPost, func(_ *site, good string) string { return edit(good, `"p":"p1"`, `"p":"p3"`) }, 410},
		{"the signature of another prompt", http.MethodPost, func(s *site, good string) string {
			m, _ := s.prompt("p2")
			at := strings.LastIndexByte(good, '/') + 1
			return good[:at] + m.buttons["Deny"][at:at+42] + good[at+42:]
		}, 401},
		{"too long", http.MethodPost, func(_ *site, good string) string { return good + strings.Repeat("A", 2000) }, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, p := startNtfy(t)
			done := startPush(bounded(t), p, testPrompt("p1", ""))
			other := startPush(bounded(t), p, testPrompt("p2", ""))
			if err := errors.Join(s.waitShown(bounded(t), "p1"), s.waitShown(bounded(t), "p2")); err != nil {
				t.Fatal(err)
			}
			m, _ := s.prompt("p1")
			code, text, err := tap(bounded(t), c.method, c.change(s, m.buttons["Deny"]))
			if err != nil || code != c.want {
				t.Errorf("got %d %s %v, want %d", code, text, err, c.want)
			}
			select {
			case got := <-done:
				t.Fatalf("it decided: %v", got.err)
			case got := <-other:
				t.Fatalf("it decided the other: %v", got.err)
			default:
			}
			if code, text, err := tap(bounded(t), http.MethodPost, m.buttons["Approve"]); err != nil || code != 200 || text != "Approved.\n" {
				t.Errorf("the genuine link: got %d %s %v", code, text, err)
			}
			if got := <-done; got.err != nil || got.approval.DeviceID != "d1" || got.approval.Device != "anna's phone (chat)" {
				t.Errorf("got %+v, %v", got.approval, got.err)
			}
			for _, label := range []string{"Approve", "Deny"} {
				if code, _, err := tap(bounded(t), http.MethodPost, m.buttons[label]); err != nil || code != http.StatusGone {
					t.Errorf("%s afterwards: got %d %v, want 410", label, code, err)
				}
			}
		})
	}
}

// edit changes what a link says and leaves its signature.
func edit(address, old, now string) string {
	at := strings.LastIndexByte(address, '/') + 1
	data, _ := base64.RawURLEncoding.DecodeString(address[at:])
	text := strings.Replace(string(data[32:]), old, now, 1)
	return address[:at] + base64.RawURLEncoding.EncodeToString(append(data[:32], text...))
}

// TestNtfyExpired: a link is over with its prompt's time, also while Push still holds it.
func TestNtfyExpired(t *testing.T) {
	t.Parallel()
	s, p := startNtfy(t)
	prompt := testPrompt("p1", "")
	prompt.Expires = time.Now().Add(300 * time.Millisecond)
	ctx, cancel := context.WithCancel(bounded(t))
	done := startPush(ctx, p, prompt)
	if err := s.waitShown(bounded(t), "p1"); err != nil {
		t.Fatal(err)
	}
	m, _ := s.prompt("p1")
	if err := until(bounded(t), "expired", func() bool { return time.Now().After(prompt.Expires) }); err != nil {
		t.Fatal(err)
	}
	if code, _, err := tap(bounded(t), http.MethodPost, m.buttons["Approve"]); err != nil || code != http.StatusGone {
		t.Errorf("got %d %v, want 410", code, err)
	}
	cancel()
	if got := <-done; !errors.Is(got.err, context.Canceled) {
		t.Errorf("got %v", got.err)
	}
}

// TestNtfyTopics: every device at every provider has its own topic, which nobody
// can guess without the key.
func TestNtfyTopics(t *testing.T) {
	t.Parallel()
	s := newSite(t, ntfyServer(t))
	n := openNtfy(t, s, nil)
	s.parts.Name = "talk"
	other := openNtfy(t, s, func(n *push.NtfySettings) { n.TopicKeyFile = secretFile(t, strings.Repeat("k", 32)) })
	topics := map[string]bool{}
	for _, id := range []string{"d1", "d2"} {
		topics[n.Topic(device.Device{ID: id})] = true
		topics[other.Topic(device.Device{ID: id})] = true
	}
	if len(topics) != 4 {
		t.Errorf("got %v", topics)
	}
	if got, want := n.Subscription(device.Device{ID: "d1"}), s.server.URL+"/"+n.Topic(device.Device{ID: "d1"}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNtfyConnect(t *testing.T) {
	t.Parallel()
	s := newSite(t, ntfyServer(t))
	for _, c := range []struct {
		name   string
		change func(*push.NtfySettings)
		says   string
	}{
		{"good", nil, ""},
		{"without a token", func(n *push.NtfySettings) { n.TokenFile = "" }, ""},
		{"another token", func(n *push.NtfySettings) { n.TokenFile = secretFile(t, "tk_other") }, "http: status 401"},
		{"another path", func(n *push.NtfySettings) { n.URL += "/ntfy" }, "http: status 404"},
		{"nobody listens", func(n *push.NtfySettings) { n.URL = "http://127.0.0.1:1" }, "connect: "},
	} {
		err := openNtfy(t, s, c.change).Connect(bounded(t))
		if c.says == "" && err != nil || !strings.Contains(fmt.Sprint(err), c.says) || strings.Contains(fmt.Sprint(err), "tk_") {
			t.Errorf("%s: got %v, want %q", c.name, err, c.says)
		}
		if failed := (*mfa.ConnectError)(nil); c.says != "" && (!errors.As(err, &failed) || failed.Hint == "") {
			t.Errorf("%s: no hint in %v", c.name, err)
		}
	}
}

// FuzzNtfyLink: no octets decide without the key of the prompt.
func FuzzNtfyLink(f *testing.F) {
	f.Add(base64.RawURLEncoding.EncodeToString(append(make([]byte, 32), `{"p":"p1","d":"d1","a":"approve","e":9999999999999}`...)))
	f.Add("AAAA")
	f.Add("")
	callbacks := &push.Callbacks{}
	live := push.LivePrompt(callbacks, testPrompt("p1", ""), []byte(providerSecret))
	f.Fuzz(func(t *testing.T, link string) {
		if outcome, err := push.TakeLink(callbacks, link); err == nil {
			t.Errorf("decided: got %s; want an error", outcome)
		}
		if !live() {
			t.Error("got the prompt ended; want it live")
		}
	})
}
