package record

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Row is one event on its way to the disk: its columns, without the id.
type Row struct {
	// Seq is its number in the log of its user; 0: it has none. Epoch is the one under
	// which it was counted.
	Seq    int64
	Epoch  uint32
	Kind   int64  // of a step, see StepNumber; 0: a line of the trail
	Key    string // the form of User
	User   string
	Client string
	Reason string
	Tries  int64
	Token  string
	Step   int64
	Drift  int64
	Used   bool            // step is used up by this event
	Data   []byte          // the fields that have no column
	Barred string          // the client group that push is off for from now on
	Blocks bool            // the user is blocked from now on
	Wrong  *mfa.WrongCodes // nil: as before
	Prompt Prompt          // an open prompt as it is from now on; without an ID: as before
	Report *Row            // what stands beside it, in the same commit; nil: nothing

	Mark    []byte // not nil: a report of a session, for the table accounting
	Interim bool
}

// NewRow prepares ev for the writer, in the goroutine of the login. One without a time is of now.
func NewRow(ev mfa.Event, now time.Time) (Row, error) {
	if ev.Time.IsZero() {
		ev.Time = now
	}
	prompt, err := promptAfter(&ev)
	if err != nil {
		return Row{}, err
	}
	data, err := encodeEvent(&ev, prompt.Data)
	r := Row{
		Kind: StepNumber(ev.Kind), Key: ev.User.Key().String(), User: ev.User.String(), Client: ev.Client, Reason: string(ev.Reason), Tries: int64(ev.Tries),
		Token: ev.Token, Step: ev.Step, Drift: int64(ev.Drift), Used: ev.Used, Data: data, Wrong: ev.WrongCodes, Prompt: prompt,
	}
	if ev.NotMe() {
		r.Blocks = ev.BlocksUser
		if r.Barred = ev.Group; r.Barred == "" {
			r.Barred = ev.Client
		}
	}
	if err != nil || !ev.Reports() {
		return r, err
	}
	report, err := NewRow(ev.Report(), now)
	r.Report = &report
	return r, err
}

// StepNumber is the column "kind" of an event: NULL (0) for a line of the trail, which
// most are, so that it takes no room.
func StepNumber(kind mfa.EventKind) int64 {
	switch kind {
	case mfa.EventOpen:
		return 1
	case mfa.EventJoin:
		return 2
	case mfa.EventTry:
		return 3
	case mfa.EventApproved:
		return 4
	case mfa.EventChange:
		return 5
	case mfa.EventGuess:
		return 6
	}
	return 0
}

// The numbers of the steps that the limits are rebuilt from, for SQL.
const (
	OpenNumber = `1`
	TryNumber  = `3`
)

// eventFormat is the first byte of data. Then come kind, plan, outcome, time
// (unix microseconds), login, group, end-user, source, method and the three
// durations; the remaining bytes, if any, are a rest as JSON. Numbers are
// varints, texts have their length before them.
const eventFormat = 1

// rest is what few events have.
type rest struct {
	mfa.Approval
	mfa.Details
	Claimed bool            `json:"claimed,omitempty"`
	Packets [][]byte        `json:"packets,omitempty"`
	Prompt  json.RawMessage `json:"prompt,omitempty"`
	Answer  []byte          `json:"answer,omitempty"`
}

// encodeEvent returns the data of ev, whose prompt is encoded already.
func encodeEvent(ev *mfa.Event, prompt []byte) ([]byte, error) {
	if ev.Plan < mfa.PlanDeny || ev.Plan > mfa.PlanCode || ev.Outcome < mfa.Reject || ev.Outcome > mfa.Discard {
		return nil, fmt.Errorf("plan %d, outcome %d: no such event", int(ev.Plan), int(ev.Outcome))
	}
	size := len(ev.Kind) + len(ev.ID) + len(ev.Group) + len(ev.EndUser) + len(ev.Source) + len(ev.Method)
	b := make([]byte, 0, 64+size)
	b = append(b, eventFormat)
	for _, s := range [...]string{string(ev.Kind), ev.Plan.String(), ev.Outcome.String()} {
		b = appendText(b, s)
	}
	b = binary.AppendVarint(b, ev.Time.UnixMicro())
	for _, s := range [...]string{ev.ID, ev.Group, ev.EndUser, ev.Source, ev.Method} {
		b = appendText(b, s)
	}
	for _, d := range [...]time.Duration{ev.Primary, ev.Factor, ev.Total} {
		b = binary.AppendVarint(b, int64(d))
	}
	x := rest{Approval: ev.Approval, Details: ev.Details, Claimed: ev.Claimed, Packets: ev.Packets, Prompt: prompt, Answer: ev.Answer}
	if reflect.ValueOf(&x).Elem().IsZero() { // of most logins; without an allocation
		return b, nil
	}
	extra, err := json.Marshal(x)
	return append(b, extra...), err
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errEvent = errors.New("event is damaged")

// DecodeEvent fills in what data holds.
func DecodeEvent(data []byte, ev *mfa.Event) error {
	if len(data) == 0 || data[0] != eventFormat {
		return errEvent
	}
	d := decoder{b: data[1:]}
	ev.Kind = mfa.EventKind(d.text())
	plan, outcome := d.text(), d.text()
	ev.Time = time.UnixMicro(d.number()).UTC()
	for _, s := range [...]*string{&ev.ID, &ev.Group, &ev.EndUser, &ev.Source, &ev.Method} {
		*s = d.text()
	}
	for _, p := range [...]*time.Duration{&ev.Primary, &ev.Factor, &ev.Total} {
		*p = time.Duration(d.number())
	}
	if d.bad {
		return errEvent
	}
	if err := errors.Join(ev.Plan.UnmarshalText([]byte(plan)), ev.Outcome.UnmarshalText([]byte(outcome))); err != nil || len(d.b) == 0 {
		return err
	}
	var x rest
	if err := json.Unmarshal(d.b, &x); err != nil {
		return err
	}
	ev.Approval, ev.Details, ev.Claimed, ev.Packets, ev.Answer = x.Approval, x.Details, x.Claimed, x.Packets, x.Answer
	if x.Prompt == nil {
		return nil
	}
	p, err := DecodePrompt(x.Prompt)
	ev.Prompt = &p
	return err
}

// decoder takes values off the front of b. Once bad it gives zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) text() string {
	n, used := binary.Uvarint(d.b)
	if used <= 0 || n > uint64(len(d.b)-used) {
		d.b, d.bad = nil, true
		return ""
	}
	s := string(d.b[used : used+int(n)])
	d.b = d.b[used+int(n):]
	return s
}

func (d *decoder) number() int64 {
	n, used := binary.Varint(d.b)
	if used <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[used:]
	return n
}

// Entry is an event with its place in the trail, which rises strictly.
type Entry struct {
	Seq   int64
	Event mfa.Event
}
