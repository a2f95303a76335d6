package report

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/otp"
)

// Login is what the trail says of one login.
type Login struct {
	Time    time.Time  `json:"time"`
	Client  string     `json:"client"`
	EndUser string     `json:"end_user,omitempty"`
	Outcome string     `json:"outcome"`
	Reason  mfa.Reason `json:"reason"`
	Method  string     `json:"method,omitempty"`
}

func newLogin(ev *mfa.Event) *Login {
	if ev == nil {
		return nil
	}
	return &Login{ev.Time, ev.Client, ev.EndUser, ev.Outcome.String(), ev.Reason, ev.Method}
}

// User is an admin.UserReport for machines.
type User struct {
	User         string     `json:"user"`
	Blocked      bool       `json:"blocked"`
	BlockedSince *time.Time `json:"blocked_since,omitempty"`
	BlockedBy    string     `json:"blocked_by,omitempty"`
	BlockedWhy   string     `json:"blocked_reason,omitempty"`
	Default      string     `json:"default"`
	Devices      []Device   `json:"devices"`
	Tokens       []Token    `json:"tokens"`
	Pass         *Pass      `json:"pass,omitempty"`
	NoPushAt     []string   `json:"no_push_at,omitempty"` // "this was not me" stands there
	// CodesLocked and PushLimited hold now, as far as the trail tells.
	CodesLocked bool       `json:"codes_locked"`
	LockedUntil *time.Time `json:"codes_locked_until,omitempty"` // missing: until user unblock
	PushLimited bool       `json:"push_limited"`
	LastLogin   *Login     `json:"last_login,omitempty"`
	LastRefusal *Login     `json:"last_refusal,omitempty"`

	tokens []otp.Token
	pass   *otp.Token
}

// NewUser reports a user.
func NewUser(u *admin.UserReport) *User {
	r := &User{User: u.Name.String(), Blocked: u.Blocked, Default: DefaultMethod(&u.User), NoPushAt: u.PushBlocked,
		Devices: []Device{}, Tokens: []Token{}, CodesLocked: u.CodesLocked, PushLimited: u.PushLimited,
		LastLogin: newLogin(u.LastLogin), LastRefusal: newLogin(u.LastRefusal), tokens: u.Tokens, pass: u.Pass}
	for i := range u.Devices {
		r.Devices = append(r.Devices, NewDevice(&u.Devices[i]))
	}
	for i := range u.Tokens {
		r.Tokens = append(r.Tokens, NewToken(&u.Tokens[i]))
	}
	if u.Pass != nil {
		p := NewPass(u.Pass, time.Now())
		r.Pass = &p
	}
	if u.Block != nil {
		r.BlockedSince, r.BlockedBy, r.BlockedWhy = &u.Block.Since, u.Block.By, u.Block.Reason
	}
	if !u.LockedUntil.IsZero() {
		r.LockedUntil = &u.LockedUntil
	}
	return r
}

// Print prints the user for readers.
func (r *User) Print(t *tabwriter.Writer) {
	row := func(key, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", key, fmt.Sprintf(format, args...)) }
	row("user", "%s", text.Printable(r.User, 128))
	row("blocked", "%s", r.blockText())
	row("default", "%s", r.Default)
	for _, d := range r.Devices {
		if d.Provider != "" {
			row("device", "%s %s, at %s", d.ID, text.Printable(d.Name, 64), d.Provider)
			continue
		}
		row("device", "%s %s, last seen %s", d.ID, text.Printable(d.Name, 64), d.Seen.Local().Format(time.DateTime))
	}
	for i := range r.tokens {
		row("token", "%s %s", r.tokens[i].ID, TokenText(&r.tokens[i]))
	}
	if r.pass != nil {
		row("pass", "%s %s", r.pass.ID, PassState(r.pass, time.Now()))
	}
	for _, group := range r.NoPushAt {
		row("no push at", "%s: the user has reported a login there", text.Printable(group, 64))
	}
	if len(r.Devices)+len(r.tokens) == 0 && r.pass == nil {
		row("methods", "none")
	}
	switch {
	case r.LockedUntil != nil:
		row("codes", "locked until %s: too many wrong ones (radmatch user unblock)", r.LockedUntil.Local().Format(time.DateTime))
	case r.CodesLocked:
		row("codes", "locked until radmatch user unblock: too many wrong ones")
	}
	if r.PushLimited {
		row("push", "limited: too many prompts that were not approved (radmatch user unblock)")
	}
	row("last login", "%s", r.LastLogin)
	row("last refusal", "%s", r.LastRefusal)
}

func (r *User) blockText() string {
	switch {
	case !r.Blocked:
		return "no"
	case r.BlockedSince == nil:
		return "yes, before the events that are kept"
	}
	told := fmt.Sprintf("yes, %s by %s", r.BlockedSince.Local().Format(time.DateTime), text.Printable(r.BlockedBy, 64))
	if r.BlockedWhy != "" {
		told += ": " + text.Printable(r.BlockedWhy, admin.MaxReason)
	}
	return told
}

// String is one login on a line.
func (l *Login) String() string {
	if l == nil {
		return "none in the events that are kept"
	}
	line := fmt.Sprintf("%s at %s", l.Time.Local().Format(time.DateTime), text.Printable(l.Client, 64))
	if l.EndUser != "" {
		line += " from " + text.Printable(l.EndUser, 64)
	}
	line += ": " + text.Printable(string(l.Reason), 32)
	if l.Method != "" {
		line += " (" + text.Printable(l.Method, 32) + ")"
	}
	return line
}

// DefaultMethod says what a login asks for first, and why.
func DefaultMethod(u *mfa.User) string {
	switch m := u.DefaultMethod(); {
	case m == "":
		return "none"
	case m == u.Default:
		return string(m)
	case m == mfa.MethodPush:
		return "push (has a device)"
	}
	return "otp (has no device)"
}
