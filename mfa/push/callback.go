package push

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
)

// Callbacks is where answers come in to prompts that another provider carried:
// its table of live prompts, and the HTTP handler for what is below
// CallbackPath. It outlives the providers, which a reload makes anew, so that an
// answer finds its prompt all the same. A prompt takes one decision:
// every answer is single use. The field may be set until the first
// call; the methods may be called concurrently.
type Callbacks struct {
	MaxPrompts int // live at once; 0: 50,000

	mu   sync.Mutex
	live map[string]*asked // by id
}

// CallbackPath is where a Callbacks is to be mounted.
const CallbackPath = "/push/"

// errGone: no such prompt is live. An unknown caller is not told whether it ever was.
var errGone = errors.New("no such request, or it is over")

// asked is a live prompt. All of it is fixed when it is opened.
type asked struct {
	mfa.Prompt
	provider string          // name of the entry of push
	devices  []device.Device // of the user at this provider, at least one
	key      []byte          // that answers are authenticated with
	verdict  chan verdict
	decided  context.CancelFunc // what is still being sent need not be
}

// register finds the user's devices at a provider, for a new prompt.
func register(ctx context.Context, r device.Registrations, provider string, p mfa.Prompt) (*asked, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	devices, err := r.DevicesOf(ctx, p.User, provider)
	if err != nil {
		return nil, fmt.Errorf("devices of %q: %w", p.User, err)
	}
	if len(devices) == 0 {
		return nil, fmt.Errorf("user %q: %w", p.User, ErrNoDevices)
	}
	return &asked{Prompt: p, provider: provider, devices: devices, verdict: make(chan verdict, 1)}, nil
}

// ask opens the prompt, lets send carry it to the user, and waits for the
// decision or the end of ctx. An error of send ends it, unless that is
// errUnanswered: then the user may have the prompt, and it waits.
func (c *Callbacks) ask(ctx context.Context, a *asked, send func(context.Context) error) (mfa.Approval, error) {
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	a.decided = cancel
	if err := c.open(a); err != nil {
		return mfa.Approval{}, err
	}
	sent := send(sending)
	if sent == nil || errors.Is(sent, errUnanswered) {
		select {
		case v := <-a.verdict:
			return v.approval, v.err
		case <-ctx.Done():
		}
	}
	if !c.close(a) { // a decision came first and was confirmed: it stands
		v := <-a.verdict
		return v.approval, v.err
	}
	return mfa.Approval{}, errors.Join(ctx.Err(), sent)
}

func (c *Callbacks) open(a *asked) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.live) >= cmp.Or(c.MaxPrompts, defaultMaxPrompts) {
		return ErrBusy
	}
	if a.ID == "" || len(a.ID) > device.MaxID || c.live[a.ID] != nil {
		return fmt.Errorf("prompt id %q is not a new one", a.ID)
	}
	if c.live == nil {
		c.live = make(map[string]*asked)
	}
	c.live[a.ID] = a
	return nil
}

// close ends a prompt; true for the one who did.
func (c *Callbacks) close(a *asked) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live[a.ID] != a {
		return false
	}
	delete(c.live, a.ID)
	return true
}

// find returns a live prompt.
func (c *Callbacks) find(id string) (*asked, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.live[id]
	if a == nil || !a.Expires.IsZero() && !time.Now().Before(a.Expires) {
		return nil, errGone
	}
	return a, nil
}

// decide ends the prompt with an authenticated answer of one of its devices.
// Its errors leave the prompt as it is.
func (c *Callbacks) decide(a *asked, d device.Device, action device.Action, number string, proof []byte) (device.Outcome, error) {
	outcome, v, err := judge(&prompt{Prompt: a.Prompt}, device.Decision{Version: device.VersionNumber, Action: action, Number: number})
	if err != nil {
		return "", err
	}
	v.approval = mfa.Approval{Device: d.Name + " (" + a.provider + ")", DeviceID: d.ID, Signature: proof}
	if !c.close(a) {
		return "", errGone
	}
	a.verdict <- v
	a.decided()
	return outcome, nil
}

// Handler serves CallbackPath and all below.
func (c *Callbacks) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+webhookPath+"{provider}/{id}", c.webhook)
	mux.HandleFunc("POST "+ntfyPath+"{link}", c.ntfy)
	mux.HandleFunc("GET "+ntfyPath+"{link}", c.ntfyPage)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer") // the address of the page is a capability
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		mux.ServeHTTP(w, r)
	})
}

// callbackStatus is the status that tells of an error of decide or find.
func callbackStatus(err error) int {
	switch {
	case errors.Is(err, errGone):
		return http.StatusGone
	case errors.Is(err, device.ErrSignature):
		return http.StatusUnauthorized
	case errors.Is(err, ErrNumberRequired):
		return http.StatusUnprocessableEntity
	}
	return http.StatusBadRequest
}
