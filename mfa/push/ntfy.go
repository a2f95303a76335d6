package push

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/text"
)

// NtfySettings are the keys of a push provider of type `ntfy`.
type NtfySettings struct {
	URL          string        `yaml:"url" default:"https://ntfy.sh" doc:"The ntfy server: https://, or http:// to a loopback address. Its operator can approve: use your own."`
	TopicKeyFile string        `yaml:"topic_key_file" required:"true" example:"secrets/ntfy-topics" doc:"A file that holds a key, at least 32 octets, from which the topic of each device is made, so that nobody can guess it. With another key every device has another topic."`
	TopicPrefix  string        `yaml:"topic_prefix" default:"radmatch-" doc:"What topics begin with, for the access control of the server: letters, digits, - and _, at most 32."`
	TokenFile    string        `yaml:"token_file" default:"" doc:"A file that holds an access token of the server which may write to the topics. Unset: none is sent."`
	AllowChoice  bool          `yaml:"allow_choice" default:"false" doc:"true: where a number is due the notification has three to choose from, and that counts as number matching, but not after the fatigue limit: who taps blindly is right one time in three. false: where a number is due, ntfy cannot be used."`
	CAFile       string        `yaml:"ca_file" default:"" doc:"PEM certificates that the certificate of the server must come from. Unset: those of the operating system."`
	Timeout      time.Duration `yaml:"timeout" default:"10s" min:"100ms" max:"60s" doc:"How long the server may take to answer one request. It is not how long the user has."`
}

// The bounds of a topic key, in octets, and of a prefix, in characters.
const (
	minTopicKey    = 32
	maxTopicPrefix = 32
)

const topicAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// CheckSettings implements the rules that tags cannot say.
func (s *NtfySettings) CheckSettings(problem func(key, rule, got string)) {
	u, err := parseProviderURL(s.URL)
	switch {
	case err != nil:
		problem("url", err.Error(), "")
	case u.RawQuery != "":
		problem("url", "must not have a query", "")
	}
	if len(s.TopicPrefix) > maxTopicPrefix || strings.Trim(s.TopicPrefix, topicAlphabet) != "" {
		problem("topic_prefix", fmt.Sprintf("must be letters, digits, - and _, at most %d", maxTopicPrefix), s.TopicPrefix)
	}
}

// Ntfy publishes prompts on an ntfy server (https://docs.ntfy.sh/publish/), each
// device of a user having a topic. The buttons of a notification carry links
// back to Callbacks. Its methods may be called concurrently.
type Ntfy struct {
	settings NtfySettings
	parts    ProviderParts
	topicKey []byte
	header   http.Header
	out      *outbound
}

// NtfyChoice is an Ntfy that lets users choose the number of a prompt from three.
type NtfyChoice struct{ *Ntfy }

// Abilities implements mfa.Pusher.
func (*Ntfy) Abilities() mfa.PushAbilities { return mfa.PushAbilities{} }

// Abilities implements mfa.Pusher. The choice is checked; it is one of three, and
// nothing is typed.
func (NtfyChoice) Abilities() mfa.PushAbilities { return mfa.PushAbilities{ChecksNumbers: true} }

var (
	_ mfa.Pusher    = (*Ntfy)(nil)
	_ mfa.Pusher    = NtfyChoice{}
	_ mfa.Connector = (*Ntfy)(nil)
)

// OpenNtfy makes an Ntfy. It sends nothing: the first prompt does.
func OpenNtfy(s *NtfySettings, p ProviderParts) (*Ntfy, error) {
	key, err := p.ReadSecret(s.TopicKeyFile)
	if err != nil {
		return nil, fmt.Errorf("topic_key_file: %w", err)
	}
	if len(key) < minTopicKey {
		return nil, fmt.Errorf("topic_key_file: the key must have at least %d octets", minTopicKey)
	}
	n := &Ntfy{settings: *s, parts: p, topicKey: []byte(key), header: http.Header{"Content-Type": {"application/json"}}}
	if s.TokenFile != "" {
		token, err := p.ReadSecret(s.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("token_file: %w", err)
		}
		n.header.Set("Authorization", "Bearer "+token)
	}
	n.out, err = newOutbound(s.URL, resolved(p, s.CAFile), s.Timeout)
	return n, err
}

// Topic returns what a device subscribes to. Anyone who knows it can approve.
func (n *Ntfy) Topic(d device.Device) string {
	m := hmac.New(sha256.New, n.topicKey)
	m.Write([]byte("radmatch ntfy topic 1\n" + n.parts.Name + "\n" + d.ID))
	return n.settings.TopicPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(m.Sum(nil))[:26]) // 130 bits
}

// Subscription returns the address that a new device subscribes to.
func (n *Ntfy) Subscription(d device.Device) string { return n.at(n.Topic(d)) }

// at returns the address of a path on the server.
func (n *Ntfy) at(path ...string) string { return n.out.base.JoinPath(path...).String() }

// errNoChoice is the answer for a prompt with a number without allow_choice.
var errNoChoice = errors.New("a number is due, and allow_choice is not set")

// Push publishes p for each device of its user and waits for one of the links
// to come back. See mfa.Pusher.
func (n *Ntfy) Push(ctx context.Context, p mfa.Prompt) (_ mfa.Approval, err error) {
	defer n.wrap(&err)
	if p.Number != "" && !n.settings.AllowChoice {
		return mfa.Approval{}, errNoChoice
	}
	a, err := register(ctx, n.parts.Registrations, n.parts.Name, p)
	if err != nil {
		return mfa.Approval{}, err
	}
	a.key = make([]byte, 32)
	_, _ = rand.Read(a.key)
	sequence := rand.Text()
	approval, err := n.parts.Callbacks.ask(ctx, a, func(ctx context.Context) error { return n.publish(ctx, a, sequence) })
	for _, d := range a.devices {
		// Servers before 2.16 do not have it: there the notification stays, and is dead.
		n.out.withdraw(message{method: http.MethodDelete, url: n.at(n.Topic(d), sequence), header: n.header})
	}
	return approval, err
}

func (n *Ntfy) wrap(err *error) {
	if *err != nil {
		*err = fmt.Errorf("ntfy %s: %w", n.parts.Name, *err)
	}
}

// publish carries a prompt to all devices. Where one of them has it the user can
// decide: then an error at another is none. errUnanswered is among those that are
// returned where one may have it.
func (n *Ntfy) publish(ctx context.Context, a *asked, sequence string) error {
	var failed []error
	sent := false
	var numbers []string // the same on each: two sets would have only the right one in common
	if a.Number != "" {
		numbers = n.choices(a)
	}
	for _, d := range a.devices {
		body, err := json.Marshal(n.notification(a, d, sequence, numbers))
		if err != nil {
			panic("push: internal error: " + err.Error()) // only for types that JSON does not have
		}
		err = n.out.sendPrompt(ctx, message{method: http.MethodPost, url: n.at("/"), body: body, header: n.header})
		sent = sent || err == nil
		failed = append(failed, err)
	}
	if sent {
		return nil
	}
	return errors.Join(failed...)
}

// ntfyMessage is what the server takes as JSON.
type ntfyMessage struct {
	Topic    string       `json:"topic"`
	Title    string       `json:"title"`
	Message  string       `json:"message"`
	Priority int          `json:"priority"`
	Tags     []string     `json:"tags"`
	Click    string       `json:"click,omitempty"`
	Actions  []ntfyAction `json:"actions"`
	Sequence string       `json:"sequence_id"` // names the notification when it is withdrawn
}

type ntfyAction struct {
	Action string `json:"action"`
	Label  string `json:"label"`
	URL    string `json:"url"`
	Method string `json:"method"`
	Clear  bool   `json:"clear"`
}

const ntfyUrgent = 5 // makes a sound, and stays

// notification is a prompt as a device shows it. ntfy shows at most three
// buttons: with three numbers the two denials are on the page behind the text.
func (n *Ntfy) notification(a *asked, d device.Device, sequence string, numbers []string) ntfyMessage {
	button := func(label string, l ntfyLink) ntfyAction {
		return ntfyAction{Action: "http", Label: label, URL: n.link(a, d, l), Method: http.MethodPost, Clear: true}
	}
	m := ntfyMessage{
		Topic: n.Topic(d), Title: promptTitle(a), Priority: ntfyUrgent, Tags: []string{"key"},
		Sequence: sequence, Message: describePrompt(a),
	}
	if a.Number == "" {
		m.Actions = []ntfyAction{
			button("Approve", ntfyLink{Action: device.ActionApprove}),
			button("Deny", ntfyLink{Action: device.ActionDeny}),
			button("It wasn't me", ntfyLink{Action: device.ActionNotMe}),
		}
		return m
	}
	m.Message += "\nTap the number that the sign-in shows. To deny, tap this text."
	m.Click = n.link(a, d, ntfyLink{Action: ntfyAsk})
	for _, number := range numbers {
		m.Actions = append(m.Actions, button(number, ntfyLink{Action: device.ActionApprove, Number: number}))
	}
	return m
}

func promptTitle(a *asked) string {
	if a.HideClient {
		return "Sign-in request"
	}
	return "Sign-in to " + text.Printable(a.Client, device.MaxText)
}

// describePrompt says who signs in and from where.
func describePrompt(a *asked) string {
	return fmt.Sprintf("User %s, from %s. Valid until %s.",
		text.Printable(a.User.String(), device.MaxText), device.ViewOf(&a.Prompt, device.VersionNumber).From(), a.Expires.Local().Format(time.TimeOnly))
}

// choices returns the number of a prompt and two others of two digits, each as likely, in an
// order that tells nothing. They are the same at each node that notifies of the prompt.
func (n *Ntfy) choices(a *asked) []string {
	m := hmac.New(sha256.New, n.topicKey)
	m.Write([]byte("radmatch ntfy choices 1\n" + n.parts.Name + "\n" + a.ID))
	return choices(a.Number, [32]byte(m.Sum(nil)))
}

func choices(number string, seed [32]byte) []string {
	random := mathrand.New(mathrand.NewChaCha8(seed))
	numbers := []string{number}
	for len(numbers) < 3 {
		if other := strconv.Itoa(10 + random.IntN(90)); !slices.Contains(numbers, other) {
			numbers = append(numbers, other)
		}
	}
	random.Shuffle(len(numbers), func(i, j int) { numbers[i], numbers[j] = numbers[j], numbers[i] })
	return numbers
}

// Connect implements mfa.Connector: the server must be well, and know the token.
func (n *Ntfy) Connect(ctx context.Context) error {
	foreign := "this is no ntfy server, or its path is missing in url"
	err := n.out.connect(ctx, message{method: http.MethodGet, url: n.at("v1", "health")},
		map[int]string{http.StatusNotFound: foreign, http.StatusOK: foreign + "; if it is one, see its log"}, healthy)
	if err != nil || n.settings.TokenFile == "" {
		return err
	}
	wrong := "the server does not know the token in token_file"
	return n.out.connect(ctx, message{method: http.MethodGet, url: n.at("v1", "account"), header: n.header},
		map[int]string{http.StatusUnauthorized: wrong, http.StatusForbidden: wrong}, nil)
}

// healthy reads what an ntfy server says of itself. Many a proxy answers 200 with
// a page of its own.
func healthy(body []byte) error {
	var said struct{ Healthy bool }
	if json.Unmarshal(body, &said) != nil || !said.Healthy {
		return errors.New("it does not say that it is healthy")
	}
	return nil
}

// link returns the address of a button.
func (n *Ntfy) link(a *asked, d device.Device, l ntfyLink) string {
	l.Prompt, l.Device, l.Expires = a.ID, d.ID, a.Expires.UnixMilli()
	return strings.TrimRight(n.parts.PublicURL, "/") + ntfyPath + url.PathEscape(l.sign(a.key))
}
