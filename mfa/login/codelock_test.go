package login

import (
	"github.com/radmatch/radmatch/mfa"
	"slices"
	"strings"
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
		if d, _ := a.decision(); d.Reason == mfa.ReasonCodesLocked {
			return r.codes.tries() - before
		}
		for range maxWrongCodes {
			a = r.sendAnswer(a, "000000")
			if d, _ := a.decision(); d.Outcome != mfa.Challenge {
				break
			}
		}
	}
	r.t.Fatal("got no end of the guessing; want a lock")
	return 0
}

// Anyone who has the password guesses codes whenever they may: each lock in a row is
// longer, the first one is reported, and after 100 wrong ones only an operator
// opens them again.
func TestCodesInARow(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		minutes := func(d time.Duration) int { return int(d.Round(time.Minute) / time.Minute) }
		var locks []int
		for total := 0; ; {
			total += r.guessCodes()
			u, _ := r.users.User(t.Context(), mfa.NameOf("bob"))
			until, locked := r.Limits.CodesLocked(u, time.Now())
			if !locked {
				t.Fatal("got the codes not locked; want a lock")
			}
			if until.IsZero() {
				if total != mfa.MaxWrongRow {
					t.Errorf("locked until the user is unblocked after %d wrong codes; want mfa.MaxWrongRow", total)
				}
				break
			}
			locks = append(locks, minutes(time.Until(until)))
			time.Sleep(time.Until(until) + time.Second)
		}
		if want := []int{15, 30, 60, 120, 240, 480, 960, 1440, 1440}; !slices.Equal(locks, want) {
			t.Errorf("locked for %d minutes, want %d", locks, want)
		}
		r.rest(30 * 24 * time.Hour)
		r.send(r.request("bob")).want(mfa.Reject, mfa.ReasonCodesLocked)
		var reports []string
		for _, ev := range r.journal.all() {
			if ev.Reports() {
				report := ev.Report()
				reports = append(reports, report.Text)
				if report.Kind != mfa.EventReport || report.ID != ev.ID || report.Reason != mfa.ReasonCodesLocked || !report.User.Is(mfa.NameOf("bob")) {
					t.Errorf("report %+v", report)
				}
			}
		}
		if len(reports) != 2 || !strings.HasPrefix(reports[0], "10 wrong codes: ") || !strings.HasPrefix(reports[1], "100 wrong codes in a row: ") {
			t.Errorf("got reports %q; want 2 of them, \"10 wrong codes: \" first, \"100 wrong codes in a row: \" first", reports)
		}
		r.users.set("bob", func(u *mfa.User) { u.Unblocked = time.Now() })
		time.Sleep(time.Second)
		r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
		if n := r.Limits.codes.of(mfa.NameOf("bob").Key()); n != (mfa.WrongCodes{}) {
			t.Errorf("after the unblocking and a right code: %+v", n)
		}
	})
}

// Slow guessing, below what locks, comes to its end too.
func TestSlowGuessing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for range 1000 {
			a := r.send(r.request("bob"))
			if d, _ := a.decision(); d.Outcome == mfa.Reject {
				break
			}
			r.sendAnswer(a, "000000")
			time.Sleep(5 * time.Minute)
		}
		if n := r.codes.tries(); n != mfa.MaxWrongRow {
			t.Errorf("%d codes were examined, want %d", n, mfa.MaxWrongRow)
		}
	})
}

// A right code ends the row, on disk too; so is it for the code of a device.
func TestRightCodeEndsTheRow(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"a code": func(t *testing.T, r *rig) {
			r.guessCodes()
			time.Sleep(15 * time.Minute)
			r.sendAnswer(r.send(r.request("bob")), "123456").want(mfa.Accept, "")
			if ev := r.journal.last(t); ev.WrongCodes == nil || *ev.WrongCodes != (mfa.WrongCodes{}) {
				t.Errorf("event: %+v", ev.WrongCodes)
			}
		},
		"the code of a device": func(t *testing.T, r *rig) {
			g, a := r.fromDevice(t)
			a = r.sendAnswer(a, "000000")
			g.decides(nil)
			r.typed(a, g).want(mfa.Accept, "")
			if ev := r.journal.last(t); ev.WrongCodes == nil || *ev.WrongCodes != (mfa.WrongCodes{}) {
				t.Errorf("event: %+v", ev.WrongCodes)
			}
		},
		"nobody else's": func(t *testing.T, r *rig) {
			r.sendAnswer(r.send(r.request("bob")), "000000")
			r.users.set("carol", func(u *mfa.User) { u.Codes = 1 })
			r.sendAnswer(r.send(r.request("carol")), "123456").want(mfa.Accept, "")
			if ev := r.journal.last(t); ev.WrongCodes != nil {
				t.Errorf("event: got %+v; want no WrongCodes", ev.WrongCodes)
			}
			if n := r.Limits.codes.of(mfa.NameOf("bob").Key()).Row; n != 1 {
				t.Errorf("got %d in a row; want 1", n)
			}
		},
	})
}

// What the events say brings the next process to where this one is.
func TestRestoreCodes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for range 3 {
			r.guessCodes()
			u, _ := r.users.User(t.Context(), mfa.NameOf("bob"))
			until, _ := r.Limits.CodesLocked(u, time.Now())

			disk := make(map[mfa.NameKey]mfa.WrongCodes) // as the store keeps it
			for _, ev := range r.journal.entries() {
				if ev.WrongCodes != nil {
					disk[ev.User.Key()] = *ev.WrongCodes
				}
			}
			var next Limits
			next.Restore(r.journal.entries(), never, r.rules(), time.Now())
			next.RestoreCodes(disk)
			if got, locked := next.CodesLocked(u, time.Now()); !locked || !got.Equal(until) {
				t.Errorf("after a restart locked until %s, before it until %s", got, until)
			}
			if got, want := next.codes.of(mfa.NameOf("bob").Key()).Row, r.Limits.codes.of(mfa.NameOf("bob").Key()).Row; got != want {
				t.Errorf("after a restart %d in a row, want %d", got, want)
			}
			time.Sleep(time.Until(until) + time.Second)
			if !next.codes.examines(mfa.NameOf("bob").Key(), time.Now(), time.Time{}, r.Lockout) {
				t.Error("after a restart the lock does not end")
			}
		}
	})
}

// Of many guesses at once no more are examined than are left in the row.
func TestLastOfTheRowInParallel(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Lockout = Rule{Max: 100, Window: time.Hour, For: time.Minute}
		r.Limits.codes.set(mfa.NameOf("bob").Key(), mfa.WrongCodes{Row: mfa.MaxWrongRow - 2, Last: time.Now()})
		var guesses []*answer
		for _, a := range r.dialogs(maxDialogs) {
			guesses = append(guesses, r.start(r.reply(a, "000000")))
		}
		synctest.Wait()
		asked := 0
		for _, a := range guesses {
			if d, _ := a.decision(); d.Outcome == mfa.Challenge {
				asked++
			} else {
				a.want(mfa.Reject, mfa.ReasonCodesLocked)
			}
		}
		if asked != 1 {
			t.Errorf("%d were asked again, want 1", asked)
		}
		if n := r.codes.tries(); n != 2 {
			t.Errorf("%d were examined, want 2", n)
		}
		if w := r.Limits.codes.of(mfa.NameOf("bob").Key()); !w.Locked(time.Now().Add(365*24*time.Hour), time.Time{}) {
			t.Errorf("not locked: %+v", w)
		}
	})
}
