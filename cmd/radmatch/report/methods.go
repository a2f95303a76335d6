package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/otp"
)

// Device is a device for machines.
type Device struct {
	User     string     `json:"user"`
	ID       string     `json:"id"`
	Name     string     `json:"name"`
	Added    time.Time  `json:"added"`
	Seen     *time.Time `json:"last_seen,omitempty"` // of our own devices
	Passkey  bool       `json:"passkey"`
	Provider string     `json:"provider,omitempty"` // empty: one of ours
}

// NewDevice reports a device.
func NewDevice(d *device.Device) Device {
	r := Device{User: d.User.String(), ID: d.ID, Name: d.Name, Added: d.Added, Passkey: d.Passkey != nil, Provider: d.Provider}
	if d.Provider == "" {
		r.Seen = &d.Seen
	}
	return r
}

// Token is a token for machines.
type Token struct {
	User   string    `json:"user"`
	ID     string    `json:"id"`
	Serial string    `json:"serial,omitempty"`
	Kind   string    `json:"kind"`
	Digits int       `json:"digits"`
	Label  string    `json:"label,omitempty"`
	Added  time.Time `json:"added"`
	Drift  int       `json:"drift_steps"`
	Next   int64     `json:"next_counter,omitempty"` // hotp
}

// NewToken reports a token, without its secret.
func NewToken(t *otp.Token) Token {
	r := Token{User: t.User.String(), ID: t.ID, Serial: t.Serial, Kind: string(t.Kind), Digits: t.Digits, Label: t.Label, Added: t.Created, Drift: t.Drift}
	if t.Kind == otp.HOTP {
		r.Next = t.Next
	}
	return r
}

// Pass is a Temporary Access Pass for machines.
type Pass struct {
	User    string    `json:"user"`
	ID      string    `json:"id"`
	From    time.Time `json:"from"`
	Expires time.Time `json:"expires"`
	Once    bool      `json:"once"`
	Valid   bool      `json:"valid"` // now
}

// NewPass reports a pass, without its code.
func NewPass(t *otp.Token, now time.Time) Pass {
	return Pass{User: t.User.String(), ID: t.ID, From: t.NotBefore, Expires: t.Expires, Once: t.Once,
		Valid: now.Before(t.Expires) && !now.Before(t.NotBefore) && !(t.Once && t.Next > 0)}
}

// PassState says whether a pass can be used now.
func PassState(t *otp.Token, now time.Time) string {
	uses := admin.PassOptions{Once: t.Once}.Uses()
	switch {
	case t.Once && t.Next > 0:
		return "used"
	case !now.Before(t.Expires):
		return "expired " + t.Expires.Local().Format(time.DateTime)
	case now.Before(t.NotBefore):
		return "for " + uses + " from " + t.NotBefore.Local().Format(time.DateTime)
	}
	return "for " + uses + " until " + t.Expires.Local().Format(time.DateTime)
}

// TokenText says what a token is, without what it keeps secret.
func TokenText(t *otp.Token) string {
	s := fmt.Sprintf("%s, %d digits, %s", strings.ToUpper(string(t.Kind)), t.Digits, t.Algorithm)
	if t.Kind == otp.TOTP {
		s += fmt.Sprintf(", %d s", t.Period)
	}
	return s
}
