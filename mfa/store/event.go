package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/radmatch/radmatch/mfa"
)

const (
	eventColumnCount = 19
	eventColumns     = `id, lag, result, login, client, grp, user, end_user, source, reason, method, token, step, drift, tries, primary_ns, factor_ns, total_ns, rest`
	insertEvent      = `INSERT INTO events (` + eventColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// rest is what few events have. It is one column, NULL where all is empty.
type rest struct {
	Device    string              `json:"device,omitempty"`
	DeviceID  string              `json:"device_id,omitempty"`
	Signature []byte              `json:"signature,omitempty"`
	Count     int                 `json:"count,omitempty"`
	Requests  []mfa.PromptRequest `json:"requests,omitempty"`
	Text      string              `json:"text,omitempty"`
	Operator  string              `json:"operator,omitempty"`
	NumberSet bool                `json:"number_matching,omitempty"`
}

// newRow prepares ev for the writer, in the goroutine of the login.
func (s *Store) newRow(ev mfa.Event, used bool) (row, error) {
	if ev.Plan < mfa.PlanDeny || ev.Plan > mfa.PlanOTP || ev.Outcome < mfa.Reject || ev.Outcome > mfa.Discard || !plainWord(string(ev.Kind)) {
		return row{}, fmt.Errorf("kind %q, plan %d, outcome %d: no such event", ev.Kind, int(ev.Plan), int(ev.Outcome))
	}
	if ev.Time.IsZero() {
		ev.Time = s.opt.Now()
	}
	r := row{ev: ev, used: used}
	if ev.Device == "" && ev.DeviceID == "" && len(ev.Signature) == 0 && ev.Count == 0 &&
		len(ev.Requests) == 0 && ev.Text == "" && ev.Operator == "" && !ev.NumberSet {
		return r, nil
	}
	var err error
	r.rest, err = json.Marshal(rest{
		Device: ev.Device, DeviceID: ev.DeviceID, Signature: ev.Signature, Count: ev.Count,
		Requests: ev.Requests, Text: ev.Text, Operator: ev.Operator, NumberSet: ev.NumberSet,
	})
	return r, err
}

func plainWord(s string) bool {
	return s != "" && !strings.ContainsAny(s, " \x00")
}

// values fills in the columns of the row, in the order of eventColumns.
func (r *row) values(id int64, v *[eventColumnCount]driver.NamedValue) {
	ev := &r.ev
	v[0].Value = id
	v[1].Value = number(id - ev.Time.UnixMicro())
	v[2].Value = resultText(ev)
	v[3].Value = text(ev.ID)
	v[4].Value = text(ev.Client)
	v[5].Value = nil
	if ev.Group != ev.Client {
		v[5].Value = ev.Group
	}
	v[6].Value = text(ev.User)
	v[7].Value = text(ev.EndUser)
	v[8].Value = text(ev.Source)
	v[9].Value = text(string(ev.Reason))
	v[10].Value = text(ev.Method)
	v[11].Value = text(ev.Token)
	v[12].Value = nil
	if r.used {
		v[12].Value = ev.Step
	}
	v[13].Value = number(int64(ev.Drift))
	v[14].Value = number(int64(ev.Tries))
	v[15].Value = number(int64(ev.Primary))
	v[16].Value = number(int64(ev.Factor))
	v[17].Value = number(int64(ev.Total))
	v[18].Value = nil
	if r.rest != nil {
		v[18].Value = r.rest
	}
}

// text and number make NULL of what is empty: it takes no room.
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

// resultText is kind, plan and outcome in one column.
func resultText(ev *mfa.Event) string {
	if ev.Kind == mfa.EventLogin && ev.Plan == mfa.PlanOTP && ev.Outcome == mfa.Accept {
		return "login otp accept" // nearly always
	}
	return string(ev.Kind) + " " + ev.Plan.String() + " " + ev.Outcome.String()
}

func parseResult(s string, ev *mfa.Event) error {
	f := strings.Fields(s)
	if len(f) != 3 {
		return fmt.Errorf("event result %q", s)
	}
	ev.Kind = mfa.EventKind(f[0])
	return errors.Join(ev.Plan.UnmarshalText([]byte(f[1])), ev.Outcome.UnmarshalText([]byte(f[2])))
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
