package push

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/radmatch/radmatch/mfa/device"
)

const (
	ntfyPath = CallbackPath + "ntfy/"
	maxLink  = 1024
	// ntfyAsk is the link to the page that asks which denial is meant. It decides nothing.
	ntfyAsk device.Action = "ask"
)

// ntfyLink is what a button means. The key of its signature belongs to the one
// prompt and is forgotten with it.
type ntfyLink struct {
	Prompt  string        `json:"p"`
	Device  string        `json:"d"`
	Action  device.Action `json:"a"`
	Number  string        `json:"n,omitempty"`
	Expires int64         `json:"e"` // Unix milliseconds
}

var linkEncoding = base64.RawURLEncoding.Strict()

// sign returns the link's part of the address.
func (l ntfyLink) sign(key []byte) string {
	text, err := json.Marshal(l)
	if err != nil {
		panic("push: internal error: " + err.Error()) // only for types that JSON does not have
	}
	return linkEncoding.EncodeToString(append(linkMAC(key, text), text...))
}

func linkMAC(key, text []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("radmatch ntfy link 1\n"))
	m.Write(text)
	return m.Sum(nil)
}

// readLink takes a link apart. Nothing in it is to be believed before openLink
// has found the prompt and the signature to be its.
func readLink(s string) (l ntfyLink, mac, text []byte, err error) {
	if len(s) > maxLink {
		return l, nil, nil, device.ErrMalformed
	}
	data, err := linkEncoding.DecodeString(s)
	if err != nil || len(data) <= sha256.Size {
		return l, nil, nil, device.ErrMalformed
	}
	mac, text = data[:sha256.Size], data[sha256.Size:]
	if err := json.Unmarshal(text, &l); err != nil {
		return ntfyLink{}, nil, nil, device.ErrMalformed
	}
	return l, mac, text, nil
}

// openLink returns the live prompt that a link belongs to, and the device that
// it was made for.
func (c *Callbacks) openLink(s string, now time.Time) (l ntfyLink, a *asked, d device.Device, mac []byte, err error) {
	l, mac, text, err := readLink(s)
	if err != nil {
		return ntfyLink{}, nil, device.Device{}, nil, err
	}
	a, err = c.find(l.Prompt)
	switch {
	case err != nil:
		return ntfyLink{}, nil, device.Device{}, nil, err
	case !hmac.Equal(mac, linkMAC(a.key, text)):
		return ntfyLink{}, nil, device.Device{}, nil, device.ErrSignature
	case !now.Before(time.UnixMilli(l.Expires)):
		return ntfyLink{}, nil, device.Device{}, nil, errGone
	}
	for _, d := range a.devices {
		if d.ID == l.Device {
			return l, a, d, mac, nil
		}
	}
	return ntfyLink{}, nil, device.Device{}, nil, device.ErrSignature
}

// takeLink is a button that was tapped.
func (c *Callbacks) takeLink(s string, now time.Time) (device.Outcome, error) {
	l, a, d, mac, err := c.openLink(s, now)
	if err != nil {
		return "", err
	}
	if l.Action == ntfyAsk {
		return "", fmt.Errorf("%w: this link asks", device.ErrMalformed)
	}
	return c.decide(a, d, l.Action, l.Number, mac)
}

// linkTexts is what the user is told.
var linkTexts = map[device.Outcome]string{
	device.OutcomeApproved:    "Approved.",
	device.OutcomeDenied:      "Denied.",
	device.OutcomeReported:    "Denied, and reported.",
	device.OutcomeWrongNumber: "Denied: this is not the number that the sign-in shows.",
}

// ntfy takes a tapped button. Only a POST decides: programs that look at links
// by themselves send GET.
func (c *Callbacks) ntfy(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	// ntfy's own page sends it from the server's origin. Only the link authorises.
	w.Header().Set("Access-Control-Allow-Origin", "*")
	outcome, err := c.takeLink(r.PathValue("link"), time.Now())
	if err != nil {
		w.WriteHeader(callbackStatus(err))
		fmt.Fprintln(w, "Nothing was done:", linkProblem(err))
		return
	}
	fmt.Fprintln(w, linkTexts[outcome])
}

func linkProblem(err error) string {
	if errors.Is(err, errGone) {
		return "this request is over."
	}
	return "this is not a link of a request."
}

var denialPage = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Sign-in</title>
<h1>Deny this sign-in?</h1>
<p>{{.Text}}</p>
<form method="post" action="{{.Deny}}"><button>Deny</button></form>
<form method="post" action="{{.NotMe}}"><button>It wasn&#39;t me</button></form>
</html>
`))

// ntfyPage shows the page of an asking link. A GET of any other decides nothing.
func (c *Callbacks) ntfyPage(w http.ResponseWriter, r *http.Request) {
	l, a, _, _, err := c.openLink(r.PathValue("link"), time.Now())
	if err == nil && l.Action != ntfyAsk {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "Nothing was done: only the button decides.", http.StatusMethodNotAllowed)
		return
	}
	if err != nil {
		http.Error(w, "Nothing was done: "+linkProblem(err), callbackStatus(err))
		return
	}
	deny, notMe := l, l
	deny.Action, notMe.Action = device.ActionDeny, device.ActionNotMe
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = denialPage.Execute(w, map[string]string{"Text": describePrompt(a), "Deny": deny.sign(a.key), "NotMe": notMe.sign(a.key)}) // an error is the connection's
}
