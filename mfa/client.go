package mfa

import (
	"cmp"
	"context"
	"iter"
	"net/netip"
	"strings"
	"time"
)

// Client is what the engine knows of one RADIUS client: its profile's abilities
// and the settings of `mfa:` with the client's own keys laid over them. It is
// immutable once it serves.
type Client struct {
	Name  string
	Group string // clients of one group share open prompts; the name where none is set
	// Behind is the client whose part of what bounds pending logins, and questions to
	// a primary, is this one's too: a proxy has one part, however many are behind it.
	// Empty: its own.
	Behind string

	// Abilities, from the profile.
	Prompts      bool // can show an Access-Challenge and send the answer
	ShowsMessage bool // shows Reply-Message to the user
	NoPassword   bool // sends requests without any credential (RD Gateway)
	// NoPAP and NoMSCHAP are the protocols that policy does not take here.
	NoPAP    bool
	NoMSCHAP bool
	// StaticChallenge: what comes as a password may be password and passcode in
	// OpenVPN's SCRV1 form.
	StaticChallenge bool

	Primary       PasswordChecker
	Abilities            // the Primary's; there is a Finder where NoPassword is true
	Pusher        Pusher // nil: no push
	PushAbilities        // the Pusher's
	PushProvider  string // the Pusher's name as in User.Elsewhere; "": our own devices
	AllowGroups   []Group

	ExemptClient    bool           // needs no second factor
	ExemptGroups    []Group        // whose members need none
	ExemptAddresses []netip.Prefix // end users from there need none
	// Anyone who is in one of these groups, or comes from one of these addresses,
	// always needs a second factor: they win over the exemptions, and over a
	// RequireUserMatch that is false.
	RequireGroups    []Group
	RequireAddresses []netip.Prefix

	GroupReplies []GroupReply // for an Access-Accept, in the order of the file

	Append          AppendStyle
	AppendDelimiter string // between password and passcode; not empty

	Override         bool   // override_number_matching_with_otp
	OverrideOrigin   string // where its value comes from, for `check` and `explain`
	NumberInPrompt   bool
	NumberFromDevice bool
	// RequireMatching: no plain approve/deny here, not by MS-CHAPv2 and for no user who is
	// excluded either. A prompt asks for a number or for a device code, or is not sent.
	RequireMatching  bool
	RequireUserMatch bool
	Join             bool
	Remember         time.Duration // how long an approval spares the same origin a prompt
	PushTimeout      time.Duration
	ChallengeTTL     time.Duration
	OnPrimaryError   Outcome // Discard or Reject
	OnMFAError       Outcome // Discard or Reject
	RejectDelay      time.Duration
}

// Policy is what holds at every client: the section `policy` of the configuration. It
// is immutable, and a login keeps to the one under which it was opened.
type Policy struct {
	NumberMatching Feature
	// What the prompt on a device tells, by the groups of the user: what the user
	// signs in to, and from where.
	ShowApplicationName Feature
	ShowLocation        Feature
}

// Feature is a setting that groups are included in and excluded from, as in Entra.
type Feature struct {
	Enabled bool
	Include []Group // groups; AllUsers is everyone
	Exclude []Group // groups; wins over Include
}

// AllUsers is the group that everyone is in.
const AllUsers = "all_users"

// Applies reports whether the feature is on for a member of groups.
func (f Feature) Applies(groups []Group) bool {
	return f.Enabled && inGroup(f.Include, groups) && !inGroup(f.Exclude, groups)
}

// Takes reports whether policy takes a protocol of this client. A password that came
// by another one never reaches the primary.
func (c *Client) Takes(p Protocol) bool {
	switch p {
	case ProtocolPAP:
		return !c.NoPAP
	case ProtocolMSCHAPv2:
		return !c.NoMSCHAP
	case ProtocolNone:
		return true // the profile says whether the client may send none
	}
	return false
}

// Dialog is what the screen can do from which a request of this client comes.
func (c *Client) Dialog(p Protocol) Dialog {
	asks := p == ProtocolPAP && c.Prompts
	return Dialog{Codes: asks, Number: asks && c.ShowsMessage}
}

// Share is the name of the client whose part of what is bounded this one takes.
func (c *Client) Share() string { return cmp.Or(c.Behind, c.Name) }

// clientKey finds the client in the context of a question to the primary.
type clientKey struct{}

// ForClient returns the context of a question for a login at c. What bounds
// questions is shared by name, so that no client takes all of it.
func ForClient(ctx context.Context, c *Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

// ClientOf returns the name of the client whose part a question with ctx takes,
// empty where it is for none.
func ClientOf(ctx context.Context) string {
	if c, ok := ctx.Value(clientKey{}).(*Client); ok {
		return c.Share()
	}
	return ""
}

// AppendStyle is how users bring a passcode with the password.
type AppendStyle string

// The styles of the key append. The zero value is off.
const (
	AppendOff       AppendStyle = "off"
	AppendSuffix    AppendStyle = "suffix"    // password123456
	AppendDelimiter AppendStyle = "delimiter" // password,123456
)

// AppendedPush in the place of a passcode says that the user brings none. It
// never changes the plan.
const AppendedPush = "push"

// AppendsCode reports whether users can bring a passcode with the password.
func (c *Client) AppendsCode() bool {
	return c.StaticChallenge || c.Append == AppendSuffix || c.Append == AppendDelimiter
}

// Splits yields the ways to split typed in this client's style, the likeliest
// first. The longer code goes first: a password that ends in two digits is rarer
// than a user with an eight-digit token.
func (c *Client) Splits(typed string) iter.Seq2[string, string] {
	return func(yield func(password, tail string) bool) {
		if c.Append != AppendDelimiter && c.Append != AppendSuffix {
			return
		}
		if i := strings.LastIndex(typed, c.AppendDelimiter); i >= 0 {
			tail := typed[i+len(c.AppendDelimiter):]
			if c.Append == AppendDelimiter || strings.EqualFold(tail, AppendedPush) {
				yield(typed[:i], tail)
				return
			}
		}
		if c.Append != AppendSuffix {
			return
		}
		for _, n := range []int{8, 6} {
			if digits := trailingDigits(typed, n); digits && !yield(typed[:len(typed)-n], typed[len(typed)-n:]) {
				return
			}
		}
	}
}

// trailingDigits reports whether s ends in n ASCII digits.
func trailingDigits(s string, n int) bool {
	return len(s) >= n && strings.Trim(s[len(s)-n:], "0123456789") == ""
}
