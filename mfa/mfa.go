package mfa

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"time"
)

// The errors of every seam. A result is an error, never (bool, error), so that
// a forgotten check cannot accept. Any error that is none of these means that
// no answer was had. All of them deny; only ErrRejected counts against the user.
var (
	// ErrRejected: the factor was examined and is wrong.
	ErrRejected = errors.New("factor rejected")
	// ErrUnsupported: the credential cannot be examined here at all.
	ErrUnsupported = errors.New("credential not supported")
	// ErrNotMe: the user says that somebody else signs in. Always joined with ErrRejected.
	ErrNotMe = errors.New("reported by the user")
	// ErrWrongNumber: the device was given another number than the prompt shows.
	// Always joined with ErrRejected.
	ErrWrongNumber = errors.New("wrong number")
	// ErrCodeUsed: the code is right but was accepted before. Always joined with ErrRejected.
	ErrCodeUsed = errors.New("code already used")
)

// AccountError is a directory's refusal that says more than "wrong": it is an
// ErrRejected. Only where Proven, that is after a right password, may the user
// be told (rule 7); the text comes from the fixed list of message.go by Reason.
type AccountError struct {
	Reason Reason // password_expired, must_change_password, account_disabled, account_expired, account_locked, logon_hours, logon_workstation, account_restricted, no_dial_in, reply_invalid
	Proven bool   // the password was right
	Err    error  // what the directory said, for the log
}

func (e *AccountError) Error() string { return string(e.Reason) + ": " + e.Err.Error() }

// Is makes every AccountError an ErrRejected.
func (e *AccountError) Is(target error) bool { return target == ErrRejected }

// Unwrap returns what the directory said.
func (e *AccountError) Unwrap() error { return e.Err }

// UserError is an error of a primary together with the name by which it knows the
// user: however the name was spelled, a wrong password counts for that one. Of a user
// whom it does not know it has what its rules make of the name, so that nobody
// learns from the count who exists.
type UserError struct {
	User Name
	Err  error
}

func (e *UserError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *UserError) Unwrap() error { return e.Err }

// whose is the name that an error of a primary tells, else the one that was typed.
func whose(err error, typed Name) Name {
	var of *UserError
	if errors.As(err, &of) && !of.User.IsZero() {
		return of.User
	}
	return typed
}

// PrimaryChallenge is a primary's own question, as the error of Check or
// Continue. Whoever ignores it denies.
type PrimaryChallenge struct {
	Message string // for the person: cut and escaped by who made it
	Echo    bool   // the answer may be shown while it is typed (Prompt, RFC 2869 §5.10)
	// Carry is the primary's own: State and server of an upstream. It is handed
	// back to Continue as it is and never leaves the process.
	Carry any
}

func (*PrimaryChallenge) Error() string { return "the primary asks for more" }

// PrimaryContinuer is a PasswordChecker whose primary may ask for more. Continue
// brings the answer to a challenge that Check or Continue returned, and returns
// what Check would. Each challenge is continued at most once.
type PrimaryContinuer interface {
	PasswordChecker
	Continue(ctx context.Context, user Name, c *PrimaryChallenge, answer Password) (Identity, error)
}

// PasswordChecker checks the first factor. Check may be called concurrently. A
// nil error means that cred belongs to user; the Identity is then complete.
// ErrRejected means a wrong password or an unknown user (who costs the same
// time as a known one), ErrUnsupported that this checker cannot examine this
// kind of credential for this user. It must give up when ctx ends. The slices
// of an Identity are never written to after the return.
//
// A PasswordChecker that keeps connections or processes is an io.Closer too.
// Close is called once, when a reload has put another in its place or the
// server has ended: it lets go of what is idle. Checks that still run, or begin
// later because their login began before, go on to work and leave nothing behind.
type PasswordChecker interface {
	Check(ctx context.Context, user Name, cred Credential) (Identity, error)
}

// Connector is a PasswordChecker or a Pusher that asks something outside of this process.
// Connect tries each server that it names, for `radmatch check --connect`; nil
// means that all work. Its error is a *ConnectError, or several joined.
type Connector interface {
	Connect(ctx context.Context) error
}

// ConnectError is the first step towards a server that failed.
type ConnectError struct {
	Server string // as configured
	Step   string // dns, connect, tls, bind, search and the like
	Err    error
	Hint   string // what the operator can do; may be empty
}

func (e *ConnectError) Error() string { return e.Server + ": " + e.Step + ": " + e.Err.Error() }

// Unwrap returns what went wrong.
func (e *ConnectError) Unwrap() error { return e.Err }

// IdentityFinder is a PasswordChecker that can look a user up without a
// password. Find returns the Identity that Check would, or ErrRejected for an
// unknown user. It proves nothing about who asks.
type IdentityFinder interface {
	Find(ctx context.Context, user Name) (Identity, error)
}

// Namer is a PasswordChecker that tells from memory under which name it will
// return a user whose password is right. It proves nothing about who asks.
type Namer interface {
	CanonicalName(user Name) Name
}

// Pusher asks the user's devices to approve a login. Push may be called
// concurrently and blocks until a device has decided or ctx, which is the
// prompt's life, ends; then it withdraws the prompt from the devices and
// returns ctx's error. A nil error means approved. ErrRejected means denied
// (joined with ErrNotMe or ErrWrongNumber where that is so). The Approval tells
// who decided, for an approval and for a denial.
type Pusher interface {
	Push(ctx context.Context, p Prompt) (Approval, error)
}

// NumberPusher is a Pusher whose devices check Prompt.Number. It is asserted
// once when the program starts.
type NumberPusher interface {
	Pusher
	PushesNumbers()
}

// NumberTyper is a NumberPusher where the person has to type the number. Where a
// device offers a few to choose from, who taps blindly is right now and then: that
// is no defence against somebody who rings until the person gives in.
type NumberTyper interface {
	NumberPusher
	TypesNumbers()
}

// CodePusher is a Pusher whose device shows the person Prompt.Code once it has
// approved, until Prompt.CodeExpires, and to nobody else. It is asserted once when
// the program starts.
type CodePusher interface {
	Pusher
	ShowsCodes()
}

// PromptAmender is a Pusher that can show requests which joined a live prompt.
// Amend is called with the prompt's ID and all its requests so far; it must not
// block and ignores a prompt that is over.
type PromptAmender interface {
	Amend(promptID string, requests []PromptRequest)
}

// CodeVerifier verifies passcodes. Both methods may be called concurrently.
type CodeVerifier interface {
	// VerifyCode returns nil when code is right for user and now used up, and
	// accept (with the used step filled in) is on disk: one commit. ErrRejected
	// means a wrong or used code. Any other error means that the code was not
	// accepted; its step may be used up all the same.
	VerifyCode(ctx context.Context, user Name, code string, accept Event) error
	// HasForm reports whether answer has the form of one of the user's codes
	// (spaces and full-width digits included). It does not examine the code.
	HasForm(user Name, answer string) bool
}

// Journal is the audit trail. Record returns nil when ev is on disk. It may be
// called concurrently. What Event.Reports has an event of kind EventReport in the same
// commit. An EventLogin with Reason ReasonNotMe also blocks push
// for its user and group, and with BlocksUser the user, in it too.
type Journal interface {
	Record(ctx context.Context, ev Event) error
}

// Directory knows the registered methods and the blocks of users. It answers
// from memory and may be called concurrently.
type Directory interface {
	// User returns the zero User with the given name for one that it does not know.
	User(ctx context.Context, name Name) (User, error)
	// Registered returns nil while the device with this id is registered, and
	// ErrRejected for one that is unknown or removed.
	Registered(ctx context.Context, device string) error
}

// User is what the store knows of a person. Registered means enrolled and not
// removed: a locked, expired or unreachable method is still registered.
type User struct {
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

// Credential is the first factor of a request: Password, MSCHAPv2, NoCredential or Unsupported.
type Credential interface{ credential() }

// Password is a PAP password, or the answer to a challenge. It does not print.
type Password string

// MSCHAPv2 is an MS-CHAPv2 response (RFC 2759).
type MSCHAPv2 struct {
	Ident         byte
	AuthChallenge [16]byte
	PeerChallenge [16]byte
	NTResponse    [24]byte
	// Octets is the name as the client has sent it, where that was not UTF-8: the
	// response was computed with it.
	Octets string
}

// NameOf is the name with which the response of user was computed.
func (c *MSCHAPv2) NameOf(user Name) string {
	if c.Octets != "" {
		return c.Octets
	}
	return user.Sent()
}

// NoCredential is a signed request that carries no credential attribute of any
// kind, on a client whose profile allows it.
type NoCredential struct{}

// Unsupported is a credential that radmatch does not examine; What names it for the log.
type Unsupported struct {
	What string
	// NoText: it answers a challenge with octets that nobody typed, as a client does
	// whose user cancels.
	NoText bool
}

func (Password) credential()     {}
func (MSCHAPv2) credential()     {}
func (NoCredential) credential() {}
func (Unsupported) credential()  {}

const redacted = "[redacted]"

// String, GoString and MarshalText keep a password out of logs and errors.
func (Password) String() string               { return redacted }
func (Password) GoString() string             { return redacted }
func (Password) MarshalText() ([]byte, error) { return []byte(redacted), nil }

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

// MSCHAPKeys is what the answer to a verified MS-CHAPv2 response is computed
// from; or, where another server has verified it and the password's hash is not
// known, what that server has computed: Success is then not empty.
type MSCHAPKeys struct {
	NTHashHash [16]byte // MD4(MD4(unicode password)), RFC 2759 §8.4
	Name       string   // the user name that the response was computed with (RFC 2759 §4)

	Success string   // "S=" and 40 hexadecimal digits, RFC 2759 §5
	SendKey Password // MPPE keys of that server, empty where it sent none
	RecvKey Password
}

// String keeps the key out of logs.
func (*MSCHAPKeys) String() string { return redacted }

// GoString keeps the key out of logs.
func (*MSCHAPKeys) GoString() string { return redacted }

// Attribute is an encoded RADIUS attribute. Vendor 0 is the standard space. Tag
// is 0 where there is none (RFC 2868 tags are 1 to 31) and then already absent
// from Value. Value is at most 253 octets, 247 for a vendor's. Salted means that
// Value is clear here and must be encrypted for the client (RFC 2868 §3.5).
type Attribute struct {
	Vendor uint32
	Type   byte
	Tag    byte
	Salted bool
	Value  []byte
}

// Request is one Access-Request that has passed intake. It is not changed after
// it was handed over, except by Supersede.
type Request struct {
	Received time.Time
	Client   *Client
	Source   string // address and port it came from
	// ID and Authenticator are the packet's (RFC 2865 §3). The zero Authenticator: not known.
	ID            byte
	Authenticator [16]byte
	Signed        bool // carried a valid Message-Authenticator
	User          Name // User-Name
	Cred          Credential
	State         string // of the challenge that this answers, else empty
	EndUser       string // the profile's end-user field as sent, empty if absent
	// Address is the end user's, from the profile's address attribute of a signed
	// request. It is invalid where that is missing, cannot be read or is unsigned.
	Address netip.Addr
	// GivesUp is when the NAS stops waiting for an answer to this packet, by the
	// client's budget. The zero time: not known.
	GivesUp time.Time
	NAS     string // NAS-Identifier or NAS-IP-Address as sent, for the log
	Answer  Fitter // nil: every answer fits

	superseded atomic.Bool
}

// unsupported names the kind of credential that was refused as such, for the trail.
func (r *Request) unsupported(reason Reason) string {
	if reason != ReasonUnsupported {
		return ""
	}
	switch c := r.Cred.(type) {
	case Unsupported:
		return ErrUnsupported.Error() + ": " + c.What
	case MSCHAPv2:
		return ErrUnsupported.Error() + ": MS-CHAPv2"
	}
	return ""
}

// Fitter measures the Access-Accept to a request before it is promised: an answer
// that cannot be sent is a rejection, and the trail must not say otherwise.
type Fitter interface {
	// Fits returns what keeps these attributes and keys from being sent.
	Fits(attributes []Attribute, keys *MSCHAPKeys) error
}

// fits is Fits, for a request that has a Fitter.
func (r *Request) fits(identity *Identity) error {
	if r.Answer == nil {
		return nil
	}
	return r.Answer.Fits(identity.Attributes, identity.MSCHAP)
}

// claimed reports whether EndUser is only what the person's machine says of
// itself, and not the address that the client vouches for.
func (r *Request) claimed() bool {
	if r.EndUser == "" {
		return false
	}
	addr, err := netip.ParseAddr(r.EndUser)
	return err != nil || addr.Unmap() != r.Address
}

// Supersede marks that the NAS gave this packet up: no answer to it can arrive.
// It may be called from any goroutine.
func (r *Request) Supersede() { r.superseded.Store(true) }

// Superseded reports whether the NAS gave this packet up.
func (r *Request) Superseded() bool { return r.superseded.Load() }

// Outcome is how a packet is answered. The zero value denies.
type Outcome int

// The outcomes.
const (
	Reject Outcome = iota
	Challenge
	Accept
	Discard // no answer at all
)

var outcomes = [...]string{"reject", "challenge", "accept", "discard"}

func (o Outcome) String() string { return outcomes[o] }

// denial keeps what a failure leads to from ever being an accept.
func (o Outcome) denial() Outcome {
	if o == Discard {
		return Discard
	}
	return Reject
}

// MarshalText writes the outcome's name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(outcomes[o]), nil }

// UnmarshalText reads the outcome's name.
func (o *Outcome) UnmarshalText(b []byte) error {
	for i, s := range outcomes {
		if s == string(b) {
			*o = Outcome(i)
			return nil
		}
	}
	return errors.New("unknown outcome")
}

// Decision is the engine's answer to one Request. The zero value rejects.
type Decision struct {
	Outcome Outcome
	LoginID string
	Reason  Reason        // for the log, never for the user
	Err     error         // for the log, never for the user
	Message string        // Reply-Message; from a fixed list
	State   string        // Challenge only
	Echo    bool          // Challenge only: Prompt attribute, RFC 2869 §5.10
	Delay   time.Duration // Reject only: not before this long after the request was received
	// Attributes and MSCHAP are for an Accept.
	Attributes []Attribute
	MSCHAP     *MSCHAPKeys
}

// Prompt is a request for approval as devices see it.
type Prompt struct {
	ID      string // the login's id
	Resumed bool   // shown before a restart: show it again, and do not ring again
	User    Name   // canonical
	Client  string
	Number  string // two digits to be typed on the device; empty: approve or deny
	// Code is shown by the device that approves, to be typed where the person signs
	// in; empty: the approval is enough. Until then nobody may see it. Not together
	// with Number.
	Code        Password
	CodeExpires time.Time
	// Approved is set with Code. It is called with the approval before the device is
	// told the code, so that no code can be typed before it counts. It does not block.
	Approved func(Approval)
	Started  time.Time
	Expires  time.Time
	Requests []PromptRequest // the first one opened the prompt, the others joined
	// HideClient and HidePlace: policy keeps from devices what the person signs in
	// to, and from where. Client and Requests do not tell it then.
	HideClient bool
	HidePlace  bool
}

// PromptRequest is one packet that waits for a prompt. All texts come from the
// network: cut and escape them wherever a person sees them.
type PromptRequest struct {
	Time    time.Time `json:"time"`
	Client  string    `json:"client"`
	EndUser string    `json:"end_user,omitempty"`
	Claimed bool      `json:"claimed,omitempty"` // EndUser is only what the person's machine calls itself
	Source  string    `json:"source"`
	// Address is Request.Address: genuine, or invalid.
	Address netip.Addr `json:"address,omitzero"`
}

// Approval tells which device decided and how it signed.
type Approval struct {
	Device    string `json:"device,omitempty"` // its name
	DeviceID  string `json:"device_id,omitempty"`
	Signature []byte `json:"signature,omitempty"`
}

// Event is one line of the audit trail.
type Event struct {
	ID      string    `json:"id"`   // of the login, also in every log line
	Time    time.Time `json:"time"` // of the end
	Kind    EventKind `json:"kind"`
	Client  string    `json:"client,omitempty"`
	Group   string    `json:"group,omitempty"`
	User    Name      `json:"user,omitzero"` // canonical, or as sent where the primary said no
	EndUser string    `json:"end_user,omitempty"`
	Claimed bool      `json:"claimed,omitempty"` // EndUser is only what the person's machine calls itself
	Source  string    `json:"source,omitempty"`
	Plan    Plan      `json:"plan"`
	Reason  Reason    `json:"reason"`
	Outcome Outcome   `json:"outcome"`
	Method  string    `json:"method,omitempty"` // totp, hotp, tap, push, number, code
	Approval
	Token string `json:"token,omitempty"` // id of the token whose step was used
	Step  int64  `json:"step,omitempty"`  // the used step or counter
	Drift int    `json:"drift,omitempty"` // steps that the token was off
	Tries int    `json:"tries,omitempty"` // wrong codes
	// WrongCodes are the user's, after this login: in the trail, and in the same commit
	// what they are from then on. nil: as before.
	WrongCodes *WrongCodes     `json:"wrong_codes,omitempty"`
	Rounds     int             `json:"primary_rounds,omitempty"` // answers to questions of the primary
	Primary    time.Duration   `json:"primary_ns"`               // spent on the first factor
	Factor     time.Duration   `json:"factor_ns"`                // spent on the second factor, the person included
	Total      time.Duration   `json:"total_ns"`                 // from the first packet
	Count      int             `json:"count,omitempty"`          // > 1: that many alike, summed up under attack
	Requests   []PromptRequest `json:"requests,omitempty"`
	Text       string          `json:"text,omitempty"`
	Operator   string          `json:"operator,omitempty"` // operating-system user of an administrative change
	NumberSet  bool            `json:"number_matching,omitempty"`
	Session    *Session        `json:"session,omitempty"` // EventAccounting only
	// Packets are fingerprints of the requests that the approval of a prompt let in, for
	// the server's next start: one of them that is sent again needs no other prompt.
	Packets [][]byte `json:"-"`
	// BlocksUser: the person's "this was not me" blocks the user.
	BlocksUser bool `json:"blocks_user,omitempty"`
}

// Session is what a NAS reports of a session (RFC 2866). The Event around it has
// the id of the login that began it, empty where the report does not prove one.
// All texts come from the network.
type Session struct {
	Status    string        `json:"status"`       // start, interim, stop, on, off or another of Acct-Status-Type
	ID        string        `json:"id,omitempty"` // Acct-Session-Id
	NAS       string        `json:"nas,omitempty"`
	Address   string        `json:"address,omitempty"`     // given to the person in the tunnel
	Duration  time.Duration `json:"duration_ns,omitempty"` // in whole seconds
	InOctets  uint64        `json:"in_octets,omitempty"`   // from the person
	OutOctets uint64        `json:"out_octets,omitempty"`  // to the person
	Cause     string        `json:"terminate_cause,omitempty"`
}

// EventKind tells logins from other lines of the trail.
type EventKind string

// The kinds of events.
const (
	EventLogin     EventKind = "login"
	EventUnclaimed EventKind = "unclaimed" // an approval that no packet claimed; no one got in
	EventAdmin     EventKind = "admin"
	// EventReport is what somebody should look at: a person's "this was not me", which
	// says that somebody else has the password, or that codes were locked. It stands
	// beside the event of that login, with its id.
	EventReport EventKind = "report"
	// EventAccounting is what a NAS reports of a session. It decides nothing.
	EventAccounting EventKind = "accounting"
)
