package login

import (
	"errors"
	"github.com/radmatch/radmatch/mfa"
	"testing"
)

// tooLong is an answer that has room for nothing.
type tooLong struct{}

func (tooLong) Fits(identity *mfa.Identity) error {
	if len(identity.Attributes) > 0 {
		return errors.New("too long")
	}
	return nil
}

// An Access-Accept that cannot be sent is not promised: the user is not asked, no code is
// used up, and the trail says what the wire says.
func TestReplyTooLong(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"before a push": func(t *testing.T, r *rig) {
			q := r.request("alice")
			q.Answer = tooLong{}
			r.send(q).want(mfa.Reject, mfa.ReasonReplyTooLong)
			r.prompted(0)
		},
		"before a code": func(t *testing.T, r *rig) {
			q := r.request("bob")
			q.Answer = tooLong{}
			r.send(q).want(mfa.Reject, mfa.ReasonReplyTooLong)
			if ev := r.journal.last(t); ev.Outcome != mfa.Reject || ev.Reason != mfa.ReasonReplyTooLong || ev.Text != "too long" {
				t.Errorf("event: got %+v; want Outcome mfa.Reject, Reason mfa.ReasonReplyTooLong, Text \"too long\"", ev)
			}
		},
		"of a user who may not sign in": func(t *testing.T, r *rig) {
			r.client.AllowGroups = mfa.GroupsOf("nobody")
			q := r.request("bob")
			q.Answer = tooLong{}
			r.send(q).want(mfa.Reject, mfa.ReasonNotAllowed)
		},
		"with the answer to a challenge": func(t *testing.T, r *rig) {
			a := r.send(r.request("bob"))
			q := r.reply(a, "123456")
			q.Answer = tooLong{}
			r.send(q).want(mfa.Reject, mfa.ReasonReplyTooLong)
			if ev := r.journal.last(t); ev.Outcome != mfa.Reject {
				t.Errorf("event: got %+v; want Outcome mfa.Reject", ev)
			}
			r.send(r.reply(a, "123456")).want(mfa.Accept, "") // the code was not used up
		},
	})
}

// The trail names a credential that is not taken, so that one search finds who tries EAP.
func TestUnsupportedIsNamed(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"first": func(t *testing.T, r *rig) {
			q := r.request("bob")
			q.Cred = mfa.Unsupported{What: "EAP"}
			r.send(q).want(mfa.Reject, mfa.ReasonUnsupported)
			if ev := r.journal.last(t); ev.Text != "credential not supported: EAP" {
				t.Errorf("event: got %+v; want Text \"credential not supported: EAP\"", ev)
			}
		},
		"in an answer": func(t *testing.T, r *rig) {
			q := r.reply(r.send(r.request("bob")), "")
			q.Cred = mfa.Unsupported{What: "CHAP"}
			r.send(q).want(mfa.Reject, mfa.ReasonUnsupported)
			if ev := r.journal.last(t); ev.Text != "credential not supported: CHAP" {
				t.Errorf("event: got %+v; want Text \"credential not supported: CHAP\"", ev)
			}
		},
	})
}
