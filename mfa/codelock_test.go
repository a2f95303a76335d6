package mfa

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// guessCodes answers challenges of bob with wrong codes until they are locked, and
// returns how many were examined.
func (r *rig) guessCodes() (n int) {
	r.t.Helper()
	before := r.codes.tries()
	for r.codes.tries()-before < 1000 {
		a := r.send(r.request("bob"))
		if d, _ := a.decision(); d.Reason == ReasonCodesLocked {
			return r.codes.tries() - before
		}
		for range maxWrongCodes {
			a = r.sendAnswer(a, "000000")
			if d, _ := a.decision(); d.Outcome != Challenge {
				break
			}
		}
	}
	r.t.Fatal("guessing does not end")
	return 0
}

// Whoever has the password guesses codes whenever they may: each lock in a row is
// longer, the first one is reported, and after 100 wrong ones only an operator
// opens them again.
func TestCodesInARow(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		minutes := func(d time.Duration) int { return int(d.Round(time.Minute) / time.Minute) }
		var locks []int
		for total := 0; ; {
			total += r.guessCodes()
			u, _ := r.users.User(t.Context(), NameOf("bob"))
			until, locked := r.Limits.CodesLocked(u, time.Now())
			if !locked {
				t.Fatal("the codes are not locked")
			}
			if until.IsZero() {
				if total != maxWrongRow {
					t.Errorf("locked until the user is unblocked after %d wrong codes", total)
				}
				break
			}
			locks = append(locks, minutes(time.Until(until)))
			time.Sleep(time.Until(until) + time.Second)
		}
		if want := []int{15, 30, 60, 120, 240, 480, 960, 1440, 1440}; !slices.Equal(locks, want) {
			t.Errorf("locked for %d minutes, want %d", locks, want)
		}
		time.Sleep(30 * 24 * time.Hour)
		r.send(r.request("bob")).want(Reject, ReasonCodesLocked)
		var reports []string
		for _, ev := range r.journal.all() {
			if ev.Reports() {
				report := ev.Report()
				reports = append(reports, report.Text)
				if report.Kind != EventReport || report.ID != ev.ID || report.Reason != ReasonCodesLocked || !report.User.Is(NameOf("bob")) {
					t.Errorf("report %+v", report)
				}
			}
		}
		if len(reports) != 2 || !strings.HasPrefix(reports[0], "10 wrong codes: ") || !strings.HasPrefix(reports[1], "100 wrong codes in a row: ") {
			t.Errorf("reports %q", reports)
		}
		r.users.set("bob", func(u *User) { u.Unblocked = time.Now() })
		time.Sleep(time.Second)
		r.sendAnswer(r.send(r.request("bob")), "123456").want(Accept, "")
		if n := r.Limits.codes.of(NameOf("bob").Key()); n != (WrongCodes{}) {
			t.Errorf("after the unblocking and a right code: %+v", n)
		}
	})
}

// Slow guessing, below what locks, comes to its end too.
func TestSlowGuessing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for range 1000 {
			a := r.send(r.request("bob"))
			if d, _ := a.decision(); d.Outcome == Reject {
				break
			}
			r.sendAnswer(a, "000000")
			time.Sleep(5 * time.Minute)
		}
		if n := r.codes.tries(); n != maxWrongRow {
			t.Errorf("%d codes were examined, want %d", n, maxWrongRow)
		}
	})
}

// A right code ends the row, on disk too; so is it for the code of a device.
func TestRightCodeEndsTheRow(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"a code": func(t *testing.T, r *rig) {
			r.guessCodes()
			time.Sleep(15 * time.Minute)
			r.sendAnswer(r.send(r.request("bob")), "123456").want(Accept, "")
			if ev := r.journal.last(t); ev.WrongCodes == nil || *ev.WrongCodes != (WrongCodes{}) {
				t.Errorf("event: %+v", ev.WrongCodes)
			}
		},
		"the code of a device": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			a = r.sendAnswer(a, "000000")
			g.decides(nil)
			r.typed(a, g).want(Accept, "")
			if ev := r.journal.last(t); ev.WrongCodes == nil || *ev.WrongCodes != (WrongCodes{}) {
				t.Errorf("event: %+v", ev.WrongCodes)
			}
		},
		"nobody else's": func(t *testing.T, r *rig) {
			r.sendAnswer(r.send(r.request("bob")), "000000")
			r.users.set("carol", func(u *User) { u.Codes = 1 })
			r.sendAnswer(r.send(r.request("carol")), "123456").want(Accept, "")
			if ev := r.journal.last(t); ev.WrongCodes != nil {
				t.Errorf("event: %+v", ev.WrongCodes)
			}
			if n := r.Limits.codes.of(NameOf("bob").Key()).Row; n != 1 {
				t.Errorf("%d in a row", n)
			}
		},
	})
}

// What the events say brings the next process to where this one is.
func TestRestoreCodes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for range 3 {
			r.guessCodes()
			u, _ := r.users.User(t.Context(), NameOf("bob"))
			until, _ := r.Limits.CodesLocked(u, time.Now())

			disk := make(map[NameKey]WrongCodes) // as the store keeps it
			for _, ev := range r.journal.all() {
				if ev.WrongCodes != nil {
					disk[ev.User.Key()] = *ev.WrongCodes
				}
			}
			var next Limits
			next.Restore(r.journal.all(), r.Lockout, r.Fatigue, r.Rings, time.Now())
			next.RestoreCodes(disk)
			if got, locked := next.CodesLocked(u, time.Now()); !locked || !got.Equal(until) {
				t.Errorf("after a restart locked until %s, before it until %s", got, until)
			}
			if got, want := next.codes.of(NameOf("bob").Key()).Row, r.Limits.codes.of(NameOf("bob").Key()).Row; got != want {
				t.Errorf("after a restart %d in a row, want %d", got, want)
			}
			time.Sleep(time.Until(until) + time.Second)
			if !next.codes.take(NameOf("bob").Key(), time.Now(), time.Time{}, r.Lockout) {
				t.Error("after a restart the lock does not end")
			}
		}
	})
}

// Of many guesses at once no more are examined than are left in the row.
func TestLastOfTheRowInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l codeLocks
		l.set(NameOf("bob").Key(), WrongCodes{Row: maxWrongRow - 3, Last: time.Now()})
		rule := Rule{Max: 1000, Window: time.Hour, For: time.Minute}
		var taken atomic.Int32
		for i := range 200 {
			go func() {
				if l.take(NameOf("bob").Key(), time.Now(), time.Time{}, rule) {
					taken.Add(1)
					time.Sleep(time.Duration(i) * time.Millisecond)
					l.wrong(NameOf("bob").Key(), time.Now(), rule)
				}
			}()
		}
		time.Sleep(time.Second)
		if n := taken.Load(); n != 3 {
			t.Errorf("%d were examined, want 3", n)
		}
		if w := l.of(NameOf("bob").Key()); !w.locked(time.Now().Add(365*24*time.Hour), time.Time{}) {
			t.Errorf("not locked: %+v", w)
		}
	})
}
