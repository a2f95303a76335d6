package report

import (
	"fmt"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/text"
)

// Bypass is a bypass for machines.
type Bypass struct {
	ID       int64     `json:"id"`
	Group    string    `json:"group,omitempty"`
	User     string    `json:"user,omitempty"`
	Client   string    `json:"client,omitempty"` // empty: every client
	Began    time.Time `json:"began"`
	Until    time.Time `json:"until"`
	Left     float64   `json:"left_s"`
	Operator string    `json:"operator"`
	Reason   string    `json:"reason"`
}

// NewBypass reports a bypass that has so much time left.
func NewBypass(b *mfa.Bypass, left time.Duration) Bypass {
	return Bypass{b.ID, b.Group.String(), b.User.String(), b.Client, b.Began, b.Until, max(0, left.Seconds()), b.Operator, b.Reason}
}

// BypassFor says who needs no second factor.
func BypassFor(b *mfa.Bypass) string {
	if !b.User.IsZero() {
		return fmt.Sprintf("user %q needs no second factor", text.Printable(b.User.String(), 128))
	}
	return fmt.Sprintf("members of %q need no second factor", text.Printable(b.Group.String(), admin.MaxReason))
}

// BypassAt says at which clients.
func BypassAt(b *mfa.Bypass) string {
	if b.Client == "" {
		return "every client"
	}
	return "client " + text.Printable(b.Client, 64)
}
