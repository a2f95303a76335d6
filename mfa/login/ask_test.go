package login

import (
	"fmt"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// What a challenge asks for is data, and its text says the same.
func TestAsk(t *testing.T) {
	degraded := func(r *rig) *answer {
		a := r.send(r.patient(10 * time.Second))
		time.Sleep(10 * time.Second)
		return a
	}
	withCode := func(r *rig) { r.users.set("alice", func(u *mfa.User) { u.Codes = 1 }) }
	for name, tt := range map[string]struct {
		ask  func(t *testing.T, r *rig) *answer
		want mfa.Ask
		text string
	}{
		"a passcode": {
			func(_ *testing.T, r *rig) *answer { return r.send(r.request("bob")) },
			mfa.Ask{Kind: mfa.AskCode, Codes: true}, messageEnterCode,
		},
		"a passcode again": {
			func(_ *testing.T, r *rig) *answer { return r.sendAnswer(r.send(r.request("bob")), "000000") },
			mfa.Ask{Kind: mfa.AskCode, Codes: true, Wrong: true}, messageWrongCode,
		},
		"a number": {
			func(_ *testing.T, r *rig) *answer { r.client.NumberInPrompt = true; return r.send(r.request("alice")) },
			mfa.Ask{Kind: mfa.AskNumber}, messageNumber,
		},
		"a number, or a passcode": {
			func(t *testing.T, r *rig) *answer { _, a := r.number(t); return a },
			mfa.Ask{Kind: mfa.AskNumber, Codes: true}, messageNumberCode,
		},
		"a number, after a wrong passcode": {
			func(t *testing.T, r *rig) *answer { _, a := r.number(t); return r.sendAnswer(a, "000000") },
			mfa.Ask{Kind: mfa.AskNumber, Codes: true, Wrong: true}, messageNumberWrong,
		},
		"an approval": {
			func(_ *testing.T, r *rig) *answer { return degraded(r) },
			mfa.Ask{Kind: mfa.AskApprove}, messageApprove,
		},
		"an approval, or a passcode": {
			func(_ *testing.T, r *rig) *answer { withCode(r); return degraded(r) },
			mfa.Ask{Kind: mfa.AskApprove, Codes: true}, messageApproveCode,
		},
		"an approval, after a wrong passcode": {
			func(_ *testing.T, r *rig) *answer { withCode(r); return r.sendAnswer(degraded(r), "000000") },
			mfa.Ask{Kind: mfa.AskApprove, Codes: true, Wrong: true}, messageApproveBad,
		},
		"a device code": {
			func(t *testing.T, r *rig) *answer { _, a := r.fromDevice(t); return a },
			mfa.Ask{Kind: mfa.AskDeviceCode}, messageDeviceCode,
		},
		"a device code again": {
			func(t *testing.T, r *rig) *answer { g, a := r.fromDevice(t); return r.sendAnswer(a, g.wrong()) },
			mfa.Ask{Kind: mfa.AskDeviceCode, Wrong: true}, messageDeviceBad,
		},
		"another prompt": {
			func(_ *testing.T, r *rig) *answer {
				r.send(r.request("alice"))
				q := r.request("alice")
				q.Signed, q.EndUser = false, ""
				return r.send(q)
			},
			mfa.Ask{Kind: mfa.AskOther}, messageAnother,
		},
		"the primary's question": {
			func(_ *testing.T, r *rig) *answer { r.asks(); return r.sendAnswer(r.send(r.request("bob")), "1234") },
			mfa.Ask{Kind: mfa.AskQuestion}, "Token?",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				opened := time.Now()
				d := tt.ask(t, r).want(mfa.Challenge, "")
				tt.want.Echo, tt.want.Expires = true, opened.Add(r.client.ChallengeTTL)
				if tt.want.Kind == mfa.AskNumber {
					tt.want.Number = r.prompted(1).Number
					tt.text = fmt.Sprintf(tt.text, tt.want.Number)
				}
				if !d.Ask.Expires.Equal(tt.want.Expires) {
					t.Errorf("got an answer until %s; want %s", d.Ask.Expires, tt.want.Expires)
				}
				d.Ask.Expires = tt.want.Expires
				if d.Ask != tt.want || d.Message != tt.text {
					t.Errorf("got %+v, %q; want %+v, %q", d.Ask, d.Message, tt.want, tt.text)
				}
			})
		})
	}
}

// An answer counts until the time that the challenge tells, and not then.
func TestAskExpires(t *testing.T) {
	for early, want := range map[time.Duration]mfa.Outcome{time.Nanosecond: mfa.Accept, 0: mfa.Reject} {
		bubble(t, func(t *testing.T, r *rig) {
			a := r.send(r.request("bob"))
			time.Sleep(time.Until(a.want(mfa.Challenge, "").Ask.Expires) - early)
			r.sendAnswer(a, "123456").want(want, "")
		})
	}
}
