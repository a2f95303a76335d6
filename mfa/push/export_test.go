package push

import (
	"crypto/rand"
	"net/http"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
)

// LivePrompt opens a prompt in c; the result reports whether it is still live.
func LivePrompt(c *Callbacks, p mfa.Prompt, key []byte) (live func() bool) {
	a := &asked{Prompt: p, provider: "chat", devices: []device.Device{{ID: "d1"}}, key: key, verdict: make(chan verdict, 1), decided: func() {}}
	a.Expires = time.Time{}
	if err := c.open(a); err != nil {
		panic(err)
	}
	return func() bool { _, err := c.find(p.ID); return err == nil }
}

// TakeWebhook is takeWebhook at the present time.
func TakeWebhook(c *Callbacks, provider, id string, h http.Header, body []byte) (device.Outcome, error) {
	return c.takeWebhook(provider, id, h, body, time.Now())
}

// TakeLink is takeLink at the present time.
func TakeLink(c *Callbacks, link string) (device.Outcome, error) { return c.takeLink(link, time.Now()) }

// Choices is choices.
func Choices(number string) []string {
	var seed [32]byte
	_, _ = rand.Read(seed[:])
	return choices(number, seed)
}
