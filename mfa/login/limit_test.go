package login

import (
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"testing"
	"time"
)

func TestTallies(t *testing.T) {
	r := Rule{Max: 3, Window: time.Minute, For: 5 * time.Minute}
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	var none time.Time
	tests := map[string]func(l *tallies[string]) bool{
		"takes up to the bound": func(l *tallies[string]) bool {
			return l.take("a", at(0), none, r) && l.take("a", at(1), none, r) && l.take("a", at(2), none, r) && !l.take("a", at(3), none, r)
		},
		"keys are apart": func(l *tallies[string]) bool {
			fill(l, "a", at(0), r)
			return l.take("b", at(0), none, r)
		},
		"the window slides": func(l *tallies[string]) bool {
			return l.take("a", at(0), none, r) && l.take("a", at(50), none, r) && l.take("a", at(51), none, r) &&
				!l.take("a", at(59), none, r) && l.take("a", at(60), none, r) && !l.take("a", at(61), none, r)
		},
		"locked": func(l *tallies[string]) bool {
			fill(l, "a", at(0), r)
			l.settle("a", at(1), r)
			return l.Locked("a", at(300), none) && !l.take("a", at(300), none, r) && !l.Locked("a", at(301), none) && l.take("a", at(301), none, r)
		},
		"settle before the bound does nothing": func(l *tallies[string]) bool {
			l.take("a", at(0), none, r)
			l.settle("a", at(0), r)
			return !l.Locked("a", at(0), none) && l.take("a", at(0), none, r)
		},
		"cleared before": func(l *tallies[string]) bool {
			fill(l, "a", at(10), r)
			l.settle("a", at(10), r)
			return l.Locked("a", at(20), at(5)) && !l.take("a", at(20), at(5), r)
		},
		"cleared after": func(l *tallies[string]) bool {
			fill(l, "a", at(10), r)
			l.settle("a", at(10), r)
			return !l.Locked("a", at(20), at(15)) && l.take("a", at(20), at(15), r) && !l.Locked("a", at(20), none)
		},
		"what was counted before the clearing is void": func(l *tallies[string]) bool {
			fill(l, "a", at(10), r)
			first := l.take("a", at(20), at(15), r)
			return l.take("a", at(20), at(15), r) && first
		},
		"a lock outlives a reload that changes its length": func(l *tallies[string]) bool {
			fill(l, "a", at(600), r)
			l.settle("a", at(600), r)
			longer := Rule{Max: 3, Window: time.Minute, For: time.Hour}
			return !l.take("a", at(610), at(300), longer) && l.Locked("a", at(620), at(300))
		},
		"a rule of zero takes nothing": func(l *tallies[string]) bool { return !l.take("a", at(0), none, Rule{}) },
	}
	for name, ok := range tests {
		t.Run(name, func(t *testing.T) {
			if !ok(&tallies[string]{}) {
				t.Error("got false of the tallies; want true")
			}
		})
	}
}

func fill[K comparable](l *tallies[K], key K, at time.Time, r Rule) {
	for range r.Max {
		l.take(key, at, time.Time{}, r)
	}
}

// A full table takes no new key, keeps those that are in it, and is swept of
// what ran out.
func TestTalliesBounded(t *testing.T) {
	r := Rule{Max: 2, Window: time.Minute, For: time.Hour}
	var l tallies[string]
	now := time.Now()
	fill(&l, "locked", now, r)
	l.settle("locked", now, r)
	for i := range maxTallies + 1000 {
		l.take(fmt.Sprint(i), now, time.Time{}, r)
	}
	if l.m.Len() != maxTallies {
		t.Errorf("%d entries", l.m.Len())
	}
	if l.take("new", now, time.Time{}, r) {
		t.Error("a full table took a new key")
	}
	if !l.take("7", now, time.Time{}, r) {
		t.Error("a key that is in it was refused")
	}
	later := now.Add(2 * time.Minute)
	if !l.take("new", later, time.Time{}, r) || l.m.Len() != 2 || !l.Locked("locked", later, time.Time{}) {
		t.Errorf("after the sweep %d entries", l.m.Len())
	}
}

func TestRestore(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	codes := Rule{Max: 10, Window: 15 * time.Minute, For: time.Hour}
	prompts := Rule{Max: 5, Window: 10 * time.Minute, For: 30 * time.Minute}
	event := func(ago time.Duration, plan mfa.Plan, reason mfa.Reason, tries int) mfa.Event {
		return mfa.Event{Kind: mfa.EventLogin, Time: now.Add(-ago), Origin: mfa.Origin{User: mfa.NameOf("Bob")}, Plan: plan, Reason: reason, Tries: tries}
	}
	repeat := func(n int, ev mfa.Event) (out []mfa.Event) {
		for range n {
			out = append(out, ev)
			ev.Time = ev.Time.Add(time.Second)
		}
		return out
	}
	tests := []struct {
		name           string
		events         []mfa.Event
		codes, prompts bool // locked
	}{
		{name: "nothing"},
		{name: "ten wrong codes", events: repeat(5, event(5*time.Minute, mfa.PlanOTP, mfa.ReasonChallengeExpired, 2)), codes: true},
		{name: "nine", events: repeat(3, event(5*time.Minute, mfa.PlanOTP, mfa.ReasonWrongCode, 3))},
		{name: "before a right one too", events: repeat(10, event(5*time.Minute, mfa.PlanOTP, mfa.ReasonDefaultOTP, 1)), codes: true},
		{name: "a lock that outlasts its window", events: repeat(4, event(50*time.Minute, mfa.PlanOTP, mfa.ReasonWrongCode, 3)), codes: true},
		{name: "a lock that has ended", events: repeat(4, event(61*time.Minute, mfa.PlanOTP, mfa.ReasonWrongCode, 3))},
		{name: "spread over more than a window", events: append(repeat(3, event(40*time.Minute, mfa.PlanOTP, mfa.ReasonWrongCode, 3)), repeat(3, event(5*time.Minute, mfa.PlanOTP, mfa.ReasonWrongCode, 3))...)},
		{name: "five denials", events: repeat(5, event(5*time.Minute, mfa.PlanPush, mfa.ReasonPushDenied, 0)), prompts: true},
		{name: "four", events: repeat(4, event(5*time.Minute, mfa.PlanNumber, mfa.ReasonPushNoResponse, 0))},
		{name: "prompts that were taken back because the client gave up", events: repeat(9, event(5*time.Minute, mfa.PlanPush, mfa.ReasonNASTimeout, 0))},
		{name: "prompts that wrong codes ended", events: repeat(5, event(5*time.Minute, mfa.PlanNumber, mfa.ReasonCodesLocked, 0)), prompts: true},
		{name: "wrong codes without a prompt", events: repeat(5, event(5*time.Minute, mfa.PlanOTP, mfa.ReasonWrongCode, 1))},
		{name: "approvals that nobody claimed", events: func() (out []mfa.Event) {
			for _, ev := range repeat(9, event(5*time.Minute, mfa.PlanPush, mfa.ReasonAbandoned, 0)) {
				ev.Kind = mfa.EventUnclaimed
				out = append(out, ev)
			}
			return out
		}()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var l Limits
			l.Restore(tt.events, never, Rules{Codes: codes, Fatigue: prompts, Prompts: Rule{Max: 30, Window: prompts.Window}}, now)
			u := mfa.User{Name: mfa.NameOf("bob")}
			if _, locked := l.CodesLocked(u, now); locked != tt.codes || l.PushLimited(u, now) != tt.prompts {
				t.Errorf("codes locked %v, push limited %v", locked, l.PushLimited(u, now))
			}
		})
	}
}

// A rejection tells an unknown caller nothing: not whether the name exists, whether the
// password was right, or what bars the user.
func TestRejectionsAreAlike(t *testing.T) {
	for name, change := range map[string]func(r *rig, q *mfa.Request){
		"unknown user":        func(r *rig, q *mfa.Request) { q.User, q.Cred = mfa.NameOf("nobody"), mfa.Password("wrong") },
		"wrong MS-CHAPv2":     func(r *rig, q *mfa.Request) { q.Cred = mfa.MSCHAPv2{NTResponse: [24]byte{1}} },
		"cannot be checked":   func(r *rig, q *mfa.Request) { r.primary.fail = func() error { return mfa.ErrUnsupported } },
		"blocked":             func(r *rig, q *mfa.Request) { r.users.set("bob", func(u *mfa.User) { u.Blocked = true }) },
		"not allowed":         func(r *rig, q *mfa.Request) { r.client.AllowGroups = mfa.GroupsOf("admins") },
		"not registered":      func(r *rig, q *mfa.Request) { r.users.set("bob", func(u *mfa.User) { u.Codes = 0 }) },
		"cannot carry a code": func(r *rig, q *mfa.Request) { q.Cred = mfa.MSCHAPv2{} },
		"no usable method":    func(r *rig, q *mfa.Request) { r.users.set("bob", func(u *mfa.User) { u.Codes, u.HasPass = 0, true }) },
		"not me": func(r *rig, q *mfa.Request) {
			r.users.set("bob", func(u *mfa.User) { u.Codes, u.Devices, u.PushBlocked = 0, 1, []string{"edge"} })
		},
		"codes are locked": func(r *rig, q *mfa.Request) {
			r.lockCodes("bob")
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				q := r.request("carol")
				q.Cred = mfa.Password("wrong")
				want := r.send(q).want(mfa.Reject, mfa.ReasonWrongPassword)
				q = r.request("bob")
				change(r, q)
				got := r.send(q).want(mfa.Reject, "")
				if got.Message != want.Message || got.Delay != want.Delay || got.State != "" || got.Ask.Echo {
					t.Errorf("%s: %q after %s; a wrong password: %q after %s; want Message want.Message, Delay want.Delay, State no text, Echo false", got.Reason, got.Message, got.Delay, want.Message, want.Delay)
				}
			})
		})
	}
}

// counted returns how many wrong codes of the user are in a window.
func (l *codeLocks) counted(key mfa.NameKey) int {
	if e := l.m[key]; e != nil {
		return len(e.times)
	}
	return 0
}

// lockCodes has the user's codes locked by wrong ones.
func (r *rig) lockCodes(user string) {
	for range r.Lockout.Max {
		r.wrongCode(user)
	}
}

// wrongCode counts one.
func (r *rig) wrongCode(user string) {
	l, key, now := &r.Limits.codes, mfa.NameOf(user).Key(), time.Now()
	l.apply(key, now, l.wrong(key, now, time.Time{}, r.Lockout))
}

// never is for users who were never unblocked.
func never(mfa.Name) time.Time { return time.Time{} }

func (r *rig) rules() Rules {
	return Rules{Codes: r.Lockout, Fatigue: r.Fatigue, Prompts: r.PromptLimit}
}
