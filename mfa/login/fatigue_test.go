package login

import (
	"github.com/radmatch/radmatch/mfa"
	"testing"
	"time"
)

// tired lets alice ignore or deny prompts until the fatigue limit is reached.
func (r *rig) tired(t *testing.T) {
	t.Helper()
	for range r.Fatigue.Max {
		a := r.send(r.request("alice"))
		a.wantWaits()
		all := r.phone.all()
		all[len(all)-1].decides(mfa.ErrRejected)
		a.want(mfa.Reject, mfa.ReasonPushDenied)
		time.Sleep(12 * time.Second)
	}
}

func TestFatigue(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"deny": func(t *testing.T, r *rig) {
			r.tired(t)
			r.send(r.request("alice")).want(mfa.Reject, mfa.ReasonPushLimited)
			r.prompted(5)
			time.Sleep(31 * time.Minute)
			r.send(r.request("alice")).wantWaits()
		},
		"wrong numbers": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt = true
			for i := range r.Fatigue.Max {
				r.send(r.request("alice")).want(mfa.Challenge, mfa.ReasonNumberMatch)
				r.prompted(i + 1).decides(errNumber)
				time.Sleep(12 * time.Second)
			}
			r.send(r.request("alice")).want(mfa.Reject, mfa.ReasonPushLimited)
			r.prompted(5)
		},
		"otp": func(t *testing.T, r *rig) {
			r.tired(t)
			r.users.set("alice", func(u *mfa.User) { u.Codes = 1 })
			r.sendAnswer(r.send(r.request("alice")), "123456").want(mfa.Accept, mfa.ReasonPushLimited)
			r.send(r.mschap("alice", 1)).want(mfa.Reject, mfa.ReasonOTPUnsupported)
		},
		"unblocked": func(t *testing.T, r *rig) {
			r.tired(t)
			r.users.set("alice", func(u *mfa.User) { u.Unblocked = time.Now() })
			a := r.send(r.request("alice"))
			r.prompted(6).decides(nil)
			a.want(mfa.Accept, "")
		},
		"what was forgiven does not count again": func(t *testing.T, r *rig) {
			for range 4 {
				a := r.send(r.request("alice"))
				all := r.phone.all()
				all[len(all)-1].decides(mfa.ErrRejected)
				a.want(mfa.Reject, mfa.ReasonPushDenied)
				time.Sleep(12 * time.Second)
			}
			r.users.set("alice", func(u *mfa.User) { u.Unblocked = time.Now() })
			time.Sleep(time.Second)
			r.send(r.request("alice"))
			r.prompted(5).decides(mfa.ErrRejected)
			time.Sleep(12 * time.Second)
			r.send(r.request("alice")).wantWaits()
			r.prompted(6)
		},
		// Where the login can show a number and the user has no code.
		"number": func(t *testing.T, r *rig) {
			r.client.TypesNumbers = true
			r.tired(t)
			a := r.send(r.request("alice"))
			a.want(mfa.Challenge, mfa.ReasonPushLimited)
			g := r.prompted(6)
			if g.Number == "" {
				t.Fatal("got a prompt without a number; want one with a number")
			}
			r.sendAnswer(a, "").wantWaits()
			g.decides(nil)
			if ev := r.journal.last(t); ev.Plan != mfa.PlanNumber || ev.Reason != mfa.ReasonPushLimited || ev.Outcome != mfa.Accept {
				t.Errorf("got event %+v; want Plan mfa.PlanNumber, Reason mfa.ReasonPushLimited, Outcome mfa.Accept", ev)
			}
			r.send(r.mschap("alice", 1)).want(mfa.Reject, mfa.ReasonPushLimited)
			r.prompted(6)
		},
		"prompts with a number are limited too": func(t *testing.T, r *rig) {
			r.client.TypesNumbers = true
			r.PromptLimit.Window = time.Hour
			for range 100 {
				a := r.send(r.request("alice"))
				if all := r.phone.all(); !all[len(all)-1].withdrawn() {
					all[len(all)-1].decides(mfa.ErrRejected)
				} else {
					a.want(mfa.Reject, mfa.ReasonPushLimited)
				}
				time.Sleep(11 * time.Second)
			}
			r.prompted(30)
		},
		"approved prompts count against the total": func(t *testing.T, r *rig) {
			r.PromptLimit.Max = 3
			for i := range 3 {
				a := r.send(r.request("alice"))
				joined := r.send(r.request("alice"))
				r.prompted(i + 1).decides(nil)
				a.want(mfa.Accept, mfa.ReasonApproveDeny)
				joined.want(mfa.Accept, mfa.ReasonApproveDeny)
			}
			r.send(r.request("alice")).want(mfa.Reject, mfa.ReasonPushLimited)
			time.Sleep(r.PromptLimit.Window)
			a := r.send(r.request("alice"))
			joined := r.send(r.request("alice"))
			r.prompted(4).decides(nil)
			a.want(mfa.Accept, mfa.ReasonApproveDeny)
			joined.want(mfa.Accept, mfa.ReasonApproveDeny)
		},
		"the total is forgiven": func(t *testing.T, r *rig) {
			r.PromptLimit.Max = 1
			r.send(r.request("alice"))
			r.prompted(1).decides(nil)
			r.send(r.request("alice")).want(mfa.Reject, mfa.ReasonPushLimited)
			time.Sleep(time.Second)
			r.users.set("alice", func(u *mfa.User) { u.Unblocked = time.Now() })
			time.Sleep(time.Second)
			r.send(r.request("alice")).wantWaits()
			r.prompted(2)
		},
		"an approval does not count": func(t *testing.T, r *rig) {
			for i := range 20 {
				a := r.send(r.request("alice"))
				r.prompted(i + 1).decides(nil)
				a.want(mfa.Accept, "")
			}
		},
		// Someone who knows the password must not send prompts without end by ending
		// each prompt with wrong codes.
		"wrong codes": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt = true
			r.users.set("alice", func(u *mfa.User) { u.Codes = 1 })
			for range 50 {
				a := r.send(r.request("alice"))
				for {
					d, _ := a.decision()
					if d.Outcome != mfa.Challenge {
						break
					}
					a = r.sendAnswer(a, "000000")
				}
			}
			if n := len(r.phone.all()); n > r.Fatigue.Max {
				t.Errorf("got %d prompts on the phone", n)
			}
		},
	})
}

// A request that was to join a prompt, and finds it ended in between, does not
// send prompts beyond the limits: of a flood of them one would at each end of a prompt.
func TestLimitsAreReadAtThePrompt(t *testing.T) {
	for name, limit := range map[string]func(r *rig){
		"all prompts": func(r *rig) { r.PromptLimit.Max = 1 },
		"only denied": func(r *rig) { r.Fatigue.Max = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				limit(r)
				hers := r.send(r.request("alice"))
				g := r.prompted(1)
				q := r.request("alice")
				r.client.StaticChallenge = true
				q.EndUser, q.Cred = "203.0.113.66", mfa.Password(static("right", "no code"))
				r.codes.asked = func() { // between the plan and the prompt
					r.codes.asked = nil
					g.decide <- mfa.ErrRejected
					<-g.ctx.Done()
				}
				r.send(q).want(mfa.Reject, mfa.ReasonPushLimited)
				hers.want(mfa.Reject, mfa.ReasonPushDenied)
				r.prompted(1)
				if ev := r.journal.last(t); ev.Reason != mfa.ReasonPushLimited || r.Pending.Len() != 0 {
					t.Errorf("event %+v, %d logins; want Reason mfa.ReasonPushLimited, Len 0", ev, r.Pending.Len())
				}
			})
		})
	}
}
