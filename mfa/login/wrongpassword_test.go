package login

import (
	"errors"
	"github.com/radmatch/radmatch/mfa"
	"testing"
	"time"
)

// A wrong password sends no prompt, whatever comes with it and by whatever way.
func TestWrongPasswordAsksNobody(t *testing.T) {
	typed := func(style mfa.AppendStyle, text string) func(*rig) *answer {
		return func(r *rig) *answer {
			r.appends(style)
			return r.sendTyped("alice", text)
		}
	}
	for name, send := range map[string]func(r *rig) *answer{
		"PAP":   typed(mfa.AppendOff, "wrong"),
		"empty": typed(mfa.AppendOff, ""),
		"MS-CHAPv2": func(r *rig) *answer {
			q := r.mschap("alice", 1)
			q.Cred = mfa.MSCHAPv2{NTResponse: [24]byte{1}}
			return r.send(q)
		},
		"no credential":            func(r *rig) *answer { q := r.request("alice"); q.Cred = mfa.NoCredential{}; return r.send(q) },
		"suffix, a right code":     typed(mfa.AppendSuffix, "wrong123456"),
		"only a suffix":            typed(mfa.AppendSuffix, "123456"),
		"delimiter, a right code":  typed(mfa.AppendDelimiter, "wrong,123456"),
		"delimiter, push":          typed(mfa.AppendDelimiter, "wrong,push"),
		"delimiter, only push":     typed(mfa.AppendDelimiter, ",push"),
		"right before a delimiter": typed(mfa.AppendDelimiter, "right,wrong"), // is the whole password
		"the primary fails": func(r *rig) *answer {
			r.primary.fail = func() error { return errors.New("down") }
			return r.send(r.request("alice"))
		},
		"OpenVPN": func(r *rig) *answer {
			r.client.StaticChallenge = true
			return r.sendTyped("alice", static("wrong", "push"))
		},
		"OpenVPN, no password": func(r *rig) *answer {
			r.client.StaticChallenge = true
			return r.sendTyped("alice", static("", "123456"))
		},
		"OpenVPN, malformed": func(r *rig) *answer {
			r.client.StaticChallenge = true
			return r.sendTyped("alice", staticPrefix+"right")
		},
		"a State of nobody": func(r *rig) *answer { q := r.request("alice"); q.State = "AAAA"; return r.send(q) },
		"the primary asks":  func(r *rig) *answer { r.asks(); return r.send(r.request("alice")) },
		"the primary asks, a wrong answer": func(r *rig) *answer {
			r.asks()
			return r.sendAnswer(r.send(r.request("alice")), "wrong")
		},
		"the primary asks, a wrong second answer": func(r *rig) *answer {
			r.asks()
			return r.sendAnswer(r.sendAnswer(r.send(r.request("alice")), "1234"), "wrong")
		},
		"a prompt from before a restart": func(r *rig) *answer {
			r.resume(r.kept())
			r.phone.all()[0].decides(nil) // the approval is kept for anyone who proves the password
			return typed(mfa.AppendOff, "wrong")(r)
		},
		"an origin that is remembered": func(r *rig) *answer {
			r.client.Remember = time.Hour
			r.send(r.request("alice"))
			r.prompted(1).decides(nil)
			return typed(mfa.AppendOff, "wrong")(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				a := send(r)
				prompts := 0
				if p := r.phone.all(); len(p) > 0 {
					prompts = 1 // by the right password before
					if !p[0].Resumed && !p[0].withdrawn() {
						t.Error("got a prompt that is still open; want it withdrawn")
					}
				}
				r.prompted(prompts)
				if d, got := a.decision(); got == "waits" || d.Outcome == mfa.Accept || d.Outcome == mfa.Challenge && d.Reason != mfa.ReasonPrimaryChallenge {
					t.Errorf("got %s", got)
				}
			})
		})
	}
}
