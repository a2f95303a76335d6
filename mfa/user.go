package mfa

import (
	"context"
	"slices"
	"time"
)

// Directory knows the registered methods and the blocks of users. It answers
// from memory and may be called concurrently.
type Directory interface {
	// User returns the zero User with the given name for one that it does not know.
	User(ctx context.Context, name Name) (User, error)
	// Registered returns nil while the device with this id is registered, and
	// ErrRejected for one that is unknown or removed.
	Registered(ctx context.Context, device string) error
}

// User is what the store knows of a user. Registered means enrolled and not
// removed: a locked, expired or unreachable method is still registered.
type User struct {
	// Version is the entry of the user's log up to which this is true, or an earlier one.
	Version     Version
	Name        Name     // as enrolled
	Blocked     bool     // by an administrator: no login at all
	Devices     int      // registered push devices, of all providers
	Elsewhere   []string // the providers of those Devices that are not our own, one each
	Codes       int      // registered TOTP and HOTP tokens
	HasPass     bool     // a Temporary Access Pass was issued and not revoked, be it expired or used
	Pass        bool     // a Temporary Access Pass is valid now
	Default     Method   // what `method default` set; empty: derived from the registered methods
	PushBlocked []string // client groups for which "this was not me" stands
	// Unblocked is when an administrator last unblocked the user. Wrong codes,
	// denials and locks from before it are forgotten.
	Unblocked time.Time
}

// Method is a kind of second factor.
type Method string

// The methods.
const (
	MethodPush Method = "push"
	MethodOTP  Method = "otp"
)

// Identity is what a primary knows of a user whose first factor was right.
type Identity struct {
	// Name is the canonical name: the directory's spelling, unique to it.
	Name Name
	// Known is true when the primary has this user, which every successful
	// password check implies.
	Known    bool
	Disabled bool
	Groups   []Group
	// Attributes are for the Access-Accept.
	Attributes []Attribute
	// MSCHAP is set after an MS-CHAPv2 check. It belongs to the packet that was
	// checked and is never stored.
	MSCHAP *MSCHAPKeys `json:"-"`
}

// Registered counts a method that is enrolled and not removed, be it expired,
// locked or out of reach: a factor that is unavailable must never be the reason
// to let someone in.
func (u *User) Registered() bool { return u.Devices > 0 || u.Codes > 0 || u.HasPass || u.Pass }

// devicesAt counts the devices at a provider, "" for our own.
func (u *User) devicesAt(provider string) int {
	if provider == "" {
		return u.Devices - len(u.Elsewhere)
	}
	n := 0
	for _, p := range u.Elsewhere {
		if p == provider {
			n++
		}
	}
	return n
}

// DefaultMethod is what `method default` set while it is still registered, otherwise
// push if there is a device, and then the passcode method. A pass is never the
// default.
func (u *User) DefaultMethod() Method {
	push, code := u.Devices > 0, u.Codes > 0
	switch {
	case u.Default == MethodOTP && code:
		return MethodOTP
	case push:
		return MethodPush
	case code:
		return MethodOTP
	}
	return ""
}

func (u *User) PushBlockedIn(group string) bool { return slices.Contains(u.PushBlocked, group) }

// otpElseDeny is what remains where push must not be used.
func (u *User) otpElseDeny() Plan {
	if u.Codes > 0 {
		return PlanOTP
	}
	return PlanDeny
}

// WrongCodes are a user's wrong codes since the last right one. They last on disk.
type WrongCodes struct {
	Row   int       `json:"in_a_row"`
	Locks int       `json:"locks,omitempty"` // since then; each is twice as long as the one before
	Last  time.Time `json:"last,omitzero"`   // wrong one
	Since time.Time `json:"since,omitzero"`  // of the last lock
	Until time.Time `json:"until,omitzero"`
	// Alarm: with this one the codes were locked for the first time, or until the user
	// is unblocked. It leaves an EventReport.
	Alarm bool `json:"-"`
}

// Locked reports whether no code is examined now. What happened before cleared is
// forgotten.
func (w *WrongCodes) Locked(now, cleared time.Time) bool {
	return w.Last.After(cleared) && (w.Row >= MaxWrongRow || now.Before(w.Until))
}

// Add counts one, and with full locks the codes: for lock the first time, and for
// twice as long as before each time after.
func (w *WrongCodes) Add(now time.Time, full bool, lock time.Duration) {
	w.Row++
	w.Last = now
	w.Alarm = w.Row == MaxWrongRow
	if !full {
		return
	}
	d := lock
	for range w.Locks {
		d = min(2*d, max(maxLock, lock))
	}
	w.Locks++
	w.Since, w.Until = now, now.Add(d)
	w.Alarm = w.Alarm || w.Locks == 1
}

const (
	// MaxWrongRow is how many wrong codes in a row lock a user's codes until they are
	// unblocked (NIST SP 800-63B §5.2.2): without it, guessing goes on forever at the
	// pace of the locks.
	MaxWrongRow = 100
	// maxLock is the longest of the locks that end by themselves.
	maxLock = 24 * time.Hour
)
