package push

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
)

// WebhookSettings are the keys of a push provider of type `webhook`.
type WebhookSettings struct {
	URL        string        `yaml:"url" required:"true" example:"https://chat.example.org/radmatch" doc:"Where prompts are posted to: https://, or http:// to a loopback address. Redirects are not followed."`
	SecretFile string        `yaml:"secret_file" required:"true" example:"secrets/webhook" doc:"A file that holds the secret, at least 32 octets, that prompts and answers are signed with (HMAC-SHA256). Both sides have it."`
	CAFile     string        `yaml:"ca_file" default:"" doc:"PEM certificates that the certificate of the server must come from. Unset: those of the operating system."`
	Timeout    time.Duration `yaml:"timeout" default:"10s" min:"100ms" max:"60s" doc:"How long the server may take to answer one request. It is not how long the user has."`
}

// CheckSettings implements the rules that tags cannot say.
func (s *WebhookSettings) CheckSettings(problem func(key, rule, got string)) {
	if _, err := parseProviderURL(s.URL); err != nil {
		problem("url", err.Error(), "") // it may be a secret
	}
}

// ProviderParts is what a provider of prompts needs of the program.
type ProviderParts struct {
	Name          string // of the entry of push
	PublicURL     string // under which users reach Callbacks
	Callbacks     *Callbacks
	Registrations device.Registrations
	Resolve       func(path string) string
	ReadSecret    func(path string) (string, error)
}

// minWebhookSecret is in octets.
const minWebhookSecret = 32

// The two directions are signed apart: what we send is no answer of theirs.
const (
	webhookOut = "radmatch-webhook-prompt-1"
	webhookIn  = "radmatch-webhook-answer-1"
)

const (
	webhookPath      = CallbackPath + "webhook/"
	webhookClock     = 5 * time.Minute // that the two clocks may differ
	timestampHeader  = "X-Radmatch-Timestamp"
	signatureHeader  = "X-Radmatch-Signature"
	signaturePrefix  = "sha256="
	maxWebhookAnswer = 4 << 10
)

// Webhook posts prompts to a server and takes its answers. Requests and
// answers are in docs/push-providers.md. Its methods may be called concurrently.
type Webhook struct {
	parts  ProviderParts
	secret []byte
	out    *outbound
}

var (
	_ mfa.Pusher    = (*Webhook)(nil)
	_ mfa.Connector = (*Webhook)(nil)
)

// OpenWebhook makes a Webhook. It sends nothing: the first prompt does.
func OpenWebhook(s *WebhookSettings, p ProviderParts) (*Webhook, error) {
	secret, err := p.ReadSecret(s.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("secret_file: %w", err)
	}
	if len(secret) < minWebhookSecret {
		return nil, fmt.Errorf("secret_file: the secret must have at least %d octets", minWebhookSecret)
	}
	out, err := newOutbound(s.URL, resolved(p, s.CAFile), s.Timeout)
	if err != nil {
		return nil, err
	}
	return &Webhook{parts: p, secret: []byte(secret), out: out}, nil
}

func resolved(p ProviderParts, file string) string {
	if file == "" {
		return ""
	}
	return p.Resolve(file)
}

// Abilities implements mfa.Pusher. The number that comes back is checked, and it is
// typed: it is not in what is sent.
func (h *Webhook) Abilities() mfa.PushAbilities {
	return mfa.PushAbilities{ChecksNumbers: true, TypesNumbers: true}
}

// webhookMessage is what is posted. The number of a prompt is not in it: the
// user types it, and it is compared here.
type webhookMessage struct {
	Type      string             `json:"type"` // prompt, withdraw or test
	ID        string             `json:"id,omitempty"`
	Prompt    *device.PromptView `json:"prompt,omitempty"`
	From      string             `json:"from,omitempty"` // where the user signs in, in words
	AnswerURL string             `json:"answer_url,omitempty"`
}

// Push posts p and waits for a signed answer. See mfa.Pusher.
func (h *Webhook) Push(ctx context.Context, p mfa.Prompt) (_ mfa.Approval, err error) {
	defer h.wrap(&err)
	a, err := register(ctx, h.parts.Registrations, h.parts.Name, p)
	if err != nil {
		return mfa.Approval{}, err
	}
	a.key = h.secret
	approval, err := h.parts.Callbacks.ask(ctx, a, func(ctx context.Context) error {
		return h.out.sendPrompt(ctx, h.message(h.prompt(a)))
	})
	h.out.withdraw(h.message(webhookMessage{Type: "withdraw", ID: p.ID}))
	return approval, err
}

func (h *Webhook) wrap(err *error) {
	if *err != nil {
		*err = fmt.Errorf("webhook %s: %w", h.parts.Name, *err)
	}
}

func (h *Webhook) prompt(a *asked) webhookMessage {
	v := device.ViewOf(&a.Prompt, device.VersionNumber)
	return webhookMessage{
		Type: "prompt", ID: a.ID, Prompt: &v, From: v.From(),
		AnswerURL: strings.TrimRight(h.parts.PublicURL, "/") + webhookPath + h.parts.Name + "/" + url.PathEscape(a.ID),
	}
}

// message signs what is posted.
func (h *Webhook) message(m webhookMessage) message {
	body, err := json.Marshal(m)
	if err != nil {
		panic("push: internal error: " + err.Error()) // only for types that JSON does not have
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	return message{method: http.MethodPost, url: h.out.base.String(), body: body, header: http.Header{
		"Content-Type":  {"application/json"},
		timestampHeader: {timestamp},
		signatureHeader: {signaturePrefix + hex.EncodeToString(webhookMAC(h.secret, webhookOut, timestamp, body))},
	}}
}

func webhookMAC(secret []byte, direction, timestamp string, body []byte) []byte {
	m := hmac.New(sha256.New, secret)
	_, _ = io.WriteString(m, direction+"\n"+timestamp+"\n")
	_, _ = m.Write(body)
	return m.Sum(nil)
}

// Connect implements mfa.Connector: it posts a message of type test.
func (h *Webhook) Connect(ctx context.Context) error {
	return h.out.connect(ctx, h.message(webhookMessage{Type: "test"}), map[int]string{
		http.StatusUnauthorized: "the server refuses the signature: does it have the same secret, and is its clock right",
		http.StatusForbidden:    "the server refuses the signature: does it have the same secret, and is its clock right",
		http.StatusNotFound:     "nothing answers at the path of url",
	}, nil)
}

// webhookAnswer is what the server posts back.
type webhookAnswer struct {
	ID       string        `json:"id"`
	Decision device.Action `json:"decision"`
	Number   string        `json:"number"`
}

// webhook takes a signed answer.
func (c *Callbacks) webhook(w http.ResponseWriter, r *http.Request) {
	reply := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // an error is the connection's
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhookAnswer))
	if err != nil {
		reply(http.StatusRequestEntityTooLarge, map[string]string{"error": "the answer is too long or did not come"})
		return
	}
	outcome, err := c.takeWebhook(r.PathValue("provider"), r.PathValue("id"), r.Header, body, time.Now())
	if err != nil {
		reply(callbackStatus(err), map[string]string{"error": err.Error()})
		return
	}
	reply(http.StatusOK, map[string]string{"outcome": string(outcome)})
}

// takeWebhook examines an answer: the signature first, over the octets as they came.
func (c *Callbacks) takeWebhook(provider, id string, h http.Header, body []byte, now time.Time) (device.Outcome, error) {
	a, err := c.find(id)
	if err != nil || a.provider != provider {
		return "", errGone
	}
	timestamp := h.Get(timestampHeader)
	mac, err := hex.DecodeString(strings.TrimPrefix(h.Get(signatureHeader), signaturePrefix))
	if err != nil || !hmac.Equal(mac, webhookMAC(a.key, webhookIn, timestamp, body)) {
		return "", device.ErrSignature
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Unix(seconds, 0).Sub(now).Abs() > webhookClock {
		return "", fmt.Errorf("%w: the time in %s is more than %v off", device.ErrSignature, timestampHeader, webhookClock)
	}
	var answer webhookAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("%w: the body is not JSON", device.ErrMalformed)
	}
	if answer.ID != id { // signed for another prompt
		return "", fmt.Errorf("%w: id is not that of the address", device.ErrSignature)
	}
	outcome, err := c.decide(a, a.devices[0], answer.Decision, answer.Number, mac)
	if errors.Is(err, device.ErrMalformed) {
		return "", fmt.Errorf("%w: decision must be approve, deny or not_me; number only where it is required", device.ErrMalformed)
	}
	return outcome, err
}
