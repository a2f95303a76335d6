package mfa

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"time"
)

// MarshalJSON leaves plan and outcome out of what is no login and must not count
// as a rejected one; and the reason too, except for a user's report.
func (ev Event) MarshalJSON() ([]byte, error) {
	type event Event
	var v any = event(ev)
	switch ev.Kind {
	case EventAdmin, EventAccounting, EventReport:
		v = struct {
			event
			Plan    any    `json:"plan,omitempty"`
			Reason  Reason `json:"reason,omitempty"`
			Outcome any    `json:"outcome,omitempty"`
		}{event: event(ev), Reason: ev.Reason}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // as the caller's encoder wants it: it escapes after us
	err := enc.Encode(v)
	return b.Bytes(), err
}

// NotMe reports whether ev is a login that its user reported.
func (ev *Event) NotMe() bool {
	return ev.Kind == EventLogin && ev.Reason == ReasonNotMe && !ev.User.IsZero()
}

// Reports reports whether ev leaves a Report.
func (ev *Event) Reports() bool {
	return ev.NotMe() || ev.WrongCodes != nil && ev.WrongCodes.Alarm
}

// Report is what a login that ended with "this was not me", or locked its user's
// codes, leaves for those who must act on it: the event that monitoring looks for.
func (ev *Event) Report() Event {
	text := "someone else has the password of this user; no push at " + cmp.Or(ev.Group, ev.Client) + " until `radmatch user unblock`"
	switch w := ev.WrongCodes; {
	case ev.BlocksUser:
		text = "someone else has the password of this user; the user is blocked until `radmatch user unblock`"
	case ev.NotMe():
	case w.Row >= MaxWrongRow:
		text = fmt.Sprintf("%d wrong codes in a row: the codes are locked until `radmatch user unblock`", w.Row)
	default:
		text = fmt.Sprintf("%d wrong codes: the codes are locked until %s. Unless it was the user, someone else has the password",
			w.Row, w.Until.UTC().Format(time.RFC3339))
	}
	return Event{
		ID: ev.ID, Time: ev.Time, Kind: EventReport, Origin: ev.Origin, Reason: ev.Reason, Approval: ev.Approval, Details: Details{Requests: ev.Requests, BlocksUser: ev.BlocksUser, Text: text},
	}
}

// Event is one line of the audit trail.
type Event struct {
	ID   string    `json:"id"`   // of the login, also in every log line
	Time time.Time `json:"time"` // of the end
	Kind EventKind `json:"kind"`
	Origin
	Plan    Plan    `json:"plan"`
	Reason  Reason  `json:"reason"`
	Outcome Outcome `json:"outcome"`
	Method  string  `json:"method,omitempty"` // totp, hotp, tap, push, number, code
	Approval
	Token   string        `json:"token,omitempty"` // id of the token whose step was used
	Step    int64         `json:"step,omitempty"`  // the used step or counter
	Drift   int           `json:"drift,omitempty"` // steps that the token was off
	Tries   int           `json:"tries,omitempty"` // wrong codes
	Primary time.Duration `json:"primary_ns"`      // spent on the first factor
	Factor  time.Duration `json:"factor_ns"`       // spent on the second factor, the user included
	Total   time.Duration `json:"total_ns"`        // from the first packet
	Details
	// Packets are fingerprints of the requests that the approval of a prompt let in, for
	// the server's next start: one of them that is sent again needs no other prompt.
	Packets [][]byte `json:"-"`
	// Used: Step of Token is used up by this event. It is kept as the column of the step.
	Used bool `json:"-"`
	// Prompt is what an EventOpen opens.
	Prompt *OpenPrompt `json:"-"`
	// Answer tells the answer that ended a login by a code: a MAC of it, under the key of the
	// site. The same answer to the same State gets the same decision for a while.
	Answer []byte `json:"-"`
}

// Details are what few events have. The store keeps them as their JSON: a field that is
// added here is kept as it is, and one whose key changes is lost from events of before.
type Details struct {
	// WrongCodes are the user's, after this login: in the trail, and in the same commit
	// what they are from then on. nil: as before.
	WrongCodes *WrongCodes     `json:"wrong_codes,omitempty"`
	Rounds     int             `json:"primary_rounds,omitempty"` // answers to questions of the primary
	Count      int             `json:"count,omitempty"`          // > 1: that many alike, summed up under attack
	Requests   []PromptRequest `json:"requests,omitempty"`
	Text       string          `json:"text,omitempty"`
	Operator   string          `json:"operator,omitempty"` // operating-system user of an administrative change
	NumberSet  bool            `json:"number_matching,omitempty"`
	Session    *Session        `json:"session,omitempty"` // EventAccounting only
	// BlocksUser: the user's "this was not me" blocks the user.
	BlocksUser bool `json:"blocks_user,omitempty"`
	// GivenUp: the user, or the client for them, no longer waited for the prompt. The next
	// one need not wait.
	GivenUp bool `json:"given_up,omitempty"`
}

// Session is what a NAS reports of a session (RFC 2866). The Event around it has
// the id of the login that began it, empty where the report does not prove one.
// All texts come from the network.
type Session struct {
	Status    string        `json:"status"`       // start, interim, stop, on, off or another of Acct-Status-Type
	ID        string        `json:"id,omitempty"` // Acct-Session-Id
	NAS       string        `json:"nas,omitempty"`
	Address   string        `json:"address,omitempty"`     // given to the user in the tunnel
	Duration  time.Duration `json:"duration_ns,omitempty"` // in whole seconds
	InOctets  uint64        `json:"in_octets,omitempty"`   // from the user
	OutOctets uint64        `json:"out_octets,omitempty"`  // to the user
	Cause     string        `json:"terminate_cause,omitempty"`
}

// EventKind tells logins from other lines of the trail.
type EventKind string

// The kinds of events.
const (
	EventLogin     EventKind = "login"
	EventUnclaimed EventKind = "unclaimed" // an approval that no packet claimed; no one got in
	EventAdmin     EventKind = "admin"
	// EventReport is what someone should look at: a user's "this was not me", which
	// says that someone else has the password, or that codes were locked. It stands
	// beside the event of that login, with its id.
	EventReport EventKind = "report"
	// EventAccounting is what a NAS reports of a session. It decides nothing.
	EventAccounting EventKind = "accounting"
)
