package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// row is one event on its way to the disk: its columns, but for the id.
type row struct {
	user   string
	client string
	reason string
	tries  int64
	token  string
	step   int64
	drift  int64
	used   bool            // step is used up by this event
	data   []byte          // the fields that have no column
	barred string          // the client group that push is off for from now on
	blocks bool            // the user is blocked from now on
	wrong  *mfa.WrongCodes // nil: as before

	mark    []byte // not nil: a report of a session, for the table accounting
	interim bool
}

const (
	eventColumns     = `id, user, client, reason, tries, token, step, drift, data`
	eventColumnCount = 9
	insertEvent      = `INSERT INTO events (` + eventColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// values fills in the columns in the order of eventColumns. NULL takes no room.
func (r *row) values(id int64, v *[eventColumnCount]driver.NamedValue) {
	v[0].Value = id
	v[1].Value = text(r.user)
	v[2].Value = text(r.client)
	v[3].Value = text(r.reason)
	v[4].Value = number(r.tries)
	v[5].Value = text(r.token)
	v[6].Value = nil
	if r.used {
		v[6].Value = r.step
	}
	v[7].Value = number(r.drift)
	v[8].Value = r.data
}

func text(s string) driver.Value {
	if s == "" {
		return nil
	}
	return s
}

func number(n int64) driver.Value {
	if n == 0 {
		return nil
	}
	return n
}

// newRow prepares ev for the writer, in the goroutine of the login.
func (s *Store) newRow(ev mfa.Event, used bool) (row, error) {
	if ev.Time.IsZero() {
		ev.Time = s.opt.Now()
	}
	data, err := encodeEvent(&ev)
	r := row{
		user: ev.User.String(), client: ev.Client, reason: string(ev.Reason), tries: int64(ev.Tries),
		token: ev.Token, step: ev.Step, drift: int64(ev.Drift), used: used, data: data,
	}
	r.wrong = ev.WrongCodes
	if ev.NotMe() {
		r.blocks = ev.BlocksUser
		if r.barred = ev.Group; r.barred == "" {
			r.barred = ev.Client
		}
	}
	return r, err
}

// eventFormat is the first byte of data. Then come kind, plan, outcome, time
// (unix microseconds), login, group, end-user, source, method and the three
// durations; the remaining bytes, if any, are a rest as JSON. Numbers are
// varints, texts have their length before them.
const eventFormat = 1

// rest is what few events have.
type rest struct {
	mfa.Approval
	mfa.Details
	Claimed bool     `json:"claimed,omitempty"`
	Packets [][]byte `json:"packets,omitempty"`
}

func encodeEvent(ev *mfa.Event) ([]byte, error) {
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
	x := rest{Approval: ev.Approval, Details: ev.Details, Claimed: ev.Claimed, Packets: ev.Packets}
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

// decodeEvent fills in what data holds.
func decodeEvent(data []byte, ev *mfa.Event) error {
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
	ev.Approval, ev.Details, ev.Claimed, ev.Packets = x.Approval, x.Details, x.Claimed, x.Packets
	return nil
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

// insertAdmin writes the event of an administrative change in its transaction.
func (s *Store) insertAdmin(ctx context.Context, tx *sql.Tx, ev mfa.Event) error {
	ev.Kind = mfa.EventAdmin
	r, err := s.newRow(ev, false)
	if err != nil {
		return err
	}
	var last int64
	if err := tx.QueryRowContext(ctx, lastEvent).Scan(&last); err != nil {
		return err
	}
	var v [eventColumnCount]driver.NamedValue
	r.values(max(last+1, s.opt.Now().UnixMicro()), &v)
	args := make([]any, len(v))
	for i := range v {
		args[i] = v[i].Value
	}
	_, err = tx.ExecContext(ctx, insertEvent, args...)
	return err
}
