package login

import (
	"context"
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"testing"
	"testing/synctest"
	"time"
)

// TestJoin: alice's prompt is open. Someone who knows the password sends a
// request that differs from alice's in one thing, and alice approves. Only a request
// in which nothing differs that matters may use that approval.
func TestJoin(t *testing.T) {
	tests := map[string]struct {
		first  func(q *mfa.Request, r *rig) // the user's own request
		second func(q *mfa.Request, r *rig)
		joins  bool
		reason mfa.Reason // of the second, where it does not join
	}{
		"the same":                        {joins: true},
		"another NAS port and identifier": {second: func(q *mfa.Request, _ *rig) { q.Source = "192.0.2.9:1" }, joins: true},
		"another client of the group":     {second: func(q *mfa.Request, r *rig) { q.Client = r.newClient("vpn2", "edge") }, joins: true},
		"another spelling of the name":    {second: func(q *mfa.Request, _ *rig) { q.User = mfa.NameOf(`CORP\Alice`) }, joins: true},
		"another protocol":                {second: func(q *mfa.Request, _ *rig) { q.Cred = mfa.MSCHAPv2{} }, joins: true},

		"wrong password":               {second: func(q *mfa.Request, _ *rig) { q.Cred = mfa.Password("wrong") }, reason: mfa.ReasonWrongPassword},
		"wrong MS-CHAPv2 response":     {second: func(q *mfa.Request, _ *rig) { q.Cred = mfa.MSCHAPv2{NTResponse: [24]byte{1}} }, reason: mfa.ReasonWrongPassword},
		"empty password":               {second: func(q *mfa.Request, _ *rig) { q.Cred = mfa.Password("") }, reason: mfa.ReasonEmptyPassword},
		"no credential":                {second: func(q *mfa.Request, _ *rig) { q.Cred = mfa.NoCredential{} }, reason: mfa.ReasonUnsupported},
		"a State of nobody":            {second: func(q *mfa.Request, _ *rig) { q.State = "AAAA" }, reason: mfa.ReasonStateUnknown},
		"another address":              {second: func(q *mfa.Request, _ *rig) { q.EndUser = "203.0.113.66" }},
		"an address that begins alike": {second: func(q *mfa.Request, _ *rig) { q.EndUser += "0" }},
		"no address":                   {second: func(q *mfa.Request, _ *rig) { q.EndUser = "" }},
		"neither has an address": {
			first:  func(q *mfa.Request, _ *rig) { q.EndUser = "" },
			second: func(q *mfa.Request, _ *rig) { q.EndUser = "" },
		},
		"the first has no address": {first: func(q *mfa.Request, _ *rig) { q.EndUser = "" }},
		"unsigned":                 {second: func(q *mfa.Request, _ *rig) { q.Signed = false }},
		"the first is unsigned":    {first: func(q *mfa.Request, _ *rig) { q.Signed = false }},
		"both are unsigned": {
			first:  func(q *mfa.Request, _ *rig) { q.Signed = false },
			second: func(q *mfa.Request, _ *rig) { q.Signed = false },
		},
		"another client": {second: func(q *mfa.Request, r *rig) { q.Client = r.newClient("mail", "mail") }},
		"join: false": {
			first:  func(q *mfa.Request, _ *rig) { q.Client.Join = false },
			second: func(q *mfa.Request, _ *rig) { q.Client.Join = false },
		},
		"join: false at the second's client": {second: func(q *mfa.Request, r *rig) {
			q.Client = r.newClient("vpn2", "edge")
			q.Client.Join = false
		}},
		"join: false at the first's client": {
			first:  func(q *mfa.Request, r *rig) { q.Client.Join = false },
			second: func(q *mfa.Request, r *rig) { q.Client = r.newClient("vpn2", "edge") },
		},
		"a client that allows another group": {second: func(q *mfa.Request, r *rig) {
			q.Client = r.newClient("vpn2", "edge")
			q.Client.AllowGroups = mfa.GroupsOf("admins")
		}, reason: mfa.ReasonNotAllowed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				q := r.request("alice")
				if tt.first != nil {
					tt.first(q, r)
				}
				hers := r.send(q)
				hers.wantWaits()
				q = r.request("alice")
				if tt.second != nil {
					tt.second(q, r)
				}
				theirs := r.send(q)
				if tt.joins {
					theirs.wantWaits()
				} else {
					if tt.reason == "" {
						tt.reason = mfa.ReasonPromptPending
					}
					d, got := theirs.decision()
					if d.Reason != tt.reason || tt.reason == mfa.ReasonPromptPending && (d.Outcome == mfa.Accept || q.Signed && d.Outcome != mfa.Discard) {
						t.Fatalf("the second got %s, want %s", got, tt.reason)
					}
				}
				r.prompted(1).decides(nil)
				hers.want(mfa.Accept, mfa.ReasonApproveDeny)
				if d, got := theirs.decision(); (d.Outcome == mfa.Accept) != tt.joins {
					t.Errorf("the second got %s", got)
				}
				if ev := r.journal.last(t); tt.joins && len(ev.Requests) != 2 {
					t.Errorf("the event shows %d requests", len(ev.Requests))
				}
				r.prompted(1)
			})
		})
	}
}

// Someone else's user, with the same address, has a prompt of their own.
func TestJoinAnotherUser(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.users.set("carol", func(u *mfa.User) { u.Devices = 1 })
		alice, carol := r.send(r.request("alice")), r.send(r.request("carol"))
		g := r.prompted(2)
		if g.User.String() != "carol" {
			t.Fatalf("the second prompt is %s's; want User \"carol\"", g.User)
		}
		g.decides(nil)
		carol.want(mfa.Accept, "")
		alice.wantWaits()
	})
}

// Parts of the join key cannot be moved from one field into the next.
func TestJoinKeyIsUnambiguous(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, b := r.request("alice"), r.request("alice")
		b.Client, b.EndUser = r.newClient("vpn2", "edge2"), "2"+a.EndUser
		b.Client.Group = "edge"
		r.send(a)
		r.send(b).want(mfa.Discard, mfa.ReasonPromptPending)
	})
}

// Each packet is answered with the keys of its own check.
func TestJoinKeysOfEachPacket(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		first, second, third := r.send(r.mschap("alice", 1)), r.send(r.mschap("alice", 2)), r.send(r.request("alice"))
		for _, w := range r.Pending.all() {
			if w.Identity.MSCHAP != nil {
				t.Error("the login keeps the keys of a packet")
			}
		}
		r.prompted(1).decides(nil)
		for i, a := range []*answer{first, second} {
			if d := a.want(mfa.Accept, ""); d.Identity.MSCHAP == nil || d.Identity.MSCHAP.NTHashHash[0] != byte(i+1) {
				t.Errorf("packet %d got the keys %v", i+1, d.Identity.MSCHAP)
			}
		}
		if d := third.want(mfa.Accept, ""); d.Identity.MSCHAP != nil || len(d.Identity.Attributes) != 1 {
			t.Errorf("the PAP packet got %+v", d)
		}
	})
}

// The prompt on the device shows what joined it.
func TestJoinAmends(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.send(r.request("alice"))
		g := r.prompted(1)
		if len(g.Requests) != 1 {
			t.Errorf("the prompt shows %v; want 1 Requests", g.Requests)
		}
		for i := range maxShown + 5 {
			q := r.request("alice")
			q.Source = fmt.Sprint("192.0.2.77:", i)
			r.send(q)
		}
		got := r.phone.amended[g.ID]
		if len(got) != maxShown || got[1].Source != "192.0.2.77:0" {
			t.Errorf("the device was shown %d requests: %v", len(got), got)
		}
		g.decides(nil)
		if ev := r.journal.last(t); len(ev.Requests) != maxShown {
			t.Errorf("the event shows: got %d; want %d", len(ev.Requests), maxShown)
		}
	})
}

func TestJoinBounded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var all []*answer
		for range maxWaiters + 10 {
			all = append(all, r.send(r.request("alice")))
		}
		for i, a := range all {
			if i < maxWaiters {
				a.wantWaits()
			} else {
				a.want(mfa.Discard, mfa.ReasonPromptPending)
			}
		}
		// The NAS gives some up, which makes room, and they are answered with silence.
		for _, a := range all[:5] {
			a.req.Supersede()
		}
		late := r.send(r.request("alice"))
		late.wantWaits()
		for _, a := range all[:5] {
			a.want(mfa.Discard, mfa.ReasonSuperseded)
		}
		r.prompted(1).decides(nil)
		late.want(mfa.Accept, "")
	})
}

// A passcode accepts the request that has it. A request that joined waits for the device,
// which nobody has looked at.
func TestJoinedByCode(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.client.NumberInPrompt = true
		hers := r.send(r.request("alice"))
		hers.want(mfa.Challenge, mfa.ReasonNumberMatch)
		theirs := r.send(r.request("alice"))
		ok := r.sendAnswer(theirs, "ok")
		mschap := r.send(r.mschap("alice", 1))
		ok.wantWaits()
		mschap.wantWaits()
		r.sendAnswer(hers, "123456").want(mfa.Accept, mfa.ReasonNumberMatch)
		ok.want(mfa.Reject, mfa.ReasonWrongCode)
		mschap.want(mfa.Reject, mfa.ReasonWrongCode)
		if g := r.prompted(1); !g.withdrawn() {
			t.Error("got the prompt still open; want it withdrawn")
		}
		if ev := r.journal.last(t); ev.Outcome != mfa.Accept || len(ev.Requests) != 3 {
			t.Errorf("got event %+v; want Outcome mfa.Accept, 3 Requests", ev)
		}
	})
}

// tooLate has a request come while an Accept waits for the disk.
func (r *rig) tooLate(first *answer) {
	r.t.Helper()
	first.wantWaits()
	late := r.send(r.request("alice"))
	late.wantWaits() // for the disk, with the event of its refusal
	close(r.journal.slow)
	synctest.Wait()
	first.want(mfa.Accept, "")
	late.want(mfa.Discard, mfa.ReasonPromptPending)
}

// Nothing joins after the decision, and not while its event is being committed.
func TestJoinAfterDecision(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"approved": func(t *testing.T, r *rig) {
			r.send(r.request("alice"))
			r.prompted(1).decides(nil)
			late := r.send(r.request("alice"))
			late.wantWaits()
			if g := r.prompted(2); g.withdrawn() {
				t.Error("got the second prompt withdrawn; want it open")
			}
		},
		"approved, and the disk is slow": func(t *testing.T, r *rig) {
			hers := r.send(r.request("alice"))
			r.journal.slow = make(chan struct{})
			r.prompted(1).decides(nil)
			r.tooLate(hers)
		},
		"a code is right, and the disk is slow": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt = true
			a := r.send(r.request("alice"))
			r.journal.slow = make(chan struct{})
			r.tooLate(r.send(r.reply(a, "123456")))
		},
		"a code is wrong, and joins meanwhile": func(t *testing.T, r *rig) {
			r.client.NumberInPrompt = true
			a := r.send(r.request("alice"))
			r.codes.slow = make(chan struct{})
			wrong := r.send(r.reply(a, "000000"))
			wrong.wantWaits()
			late := r.send(r.request("alice"))
			late.wantWaits() // for the turn
			close(r.codes.slow)
			synctest.Wait()
			wrong.want(mfa.Challenge, "")
			late.want(mfa.Challenge, "")
		},
	})
}

// A denied or unanswered prompt speaks for 10 seconds.
func TestRecentlyDenied(t *testing.T) {
	ends := map[string]struct {
		end    func(r *rig)
		reason mfa.Reason
	}{
		"denied":       {func(r *rig) { r.prompted(1).decides(mfa.ErrRejected) }, mfa.ReasonPushDenied},
		"not me":       {func(r *rig) { r.prompted(1).decides(errNotMe) }, mfa.ReasonNotMe},
		"wrong number": {func(r *rig) { r.prompted(1).decides(errNumber) }, mfa.ReasonWrongNumber},
		"unanswered":   {func(r *rig) { time.Sleep(55 * time.Second); synctest.Wait() }, mfa.ReasonPushNoResponse},
	}
	for name, tt := range ends {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				slow := r.request("alice") // received before the denial, its password checked after
				hers := r.send(r.request("alice"))
				tt.end(r)
				hers.want(mfa.Reject, tt.reason)
				r.send(slow).want(mfa.Reject, mfa.ReasonRecentlyDenied)
				time.Sleep(9 * time.Second)
				r.send(r.request("alice")).want(mfa.Reject, mfa.ReasonRecentlyDenied)
				q := r.request("alice")
				q.Signed = false // refusing needs no proof
				r.send(q).want(mfa.Reject, mfa.ReasonRecentlyDenied)
				q = r.request("alice")
				q.Cred = mfa.Password("wrong")
				r.send(q).want(mfa.Reject, mfa.ReasonWrongPassword)
				r.prompted(1)
				q = r.request("alice")
				q.EndUser = "203.0.113.66" // another origin may ask
				r.send(q).wantWaits()
				r.prompted(2).decides(nil)
				time.Sleep(2 * time.Second)
				r.send(r.request("alice")).wantWaits()
				r.prompted(3)
				if len(r.Pending.denied) != 0 {
					t.Errorf("remembered: got %v; want no denied", r.Pending.denied)
				}
			})
		})
	}
}

// A challenge that a joined packet got is answered under that packet's name.
func TestJoinChallengeUnderAnotherName(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.client.NumberInPrompt = true
		r.send(r.request("alice"))
		q := r.request(`CORP\alice`)
		a := r.send(q)
		a.want(mfa.Challenge, mfa.ReasonNumberMatch)
		q = r.reply(a, "123456")
		q.User = mfa.NameOf("alice")
		r.send(q).want(mfa.Reject, mfa.ReasonStateUnknown)
		r.sendAnswer(a, "123456").want(mfa.Accept, "")
	})
}

// A device whose answer fails leaves nothing to join.
func TestJoinFailedPrompt(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := r.send(r.request("alice"))
		b := r.send(r.request("alice"))
		r.prompted(1).decides(errors.New("push service is down"))
		a.want(mfa.Discard, mfa.ReasonMFAError)
		b.want(mfa.Discard, mfa.ReasonMFAError)
		r.send(r.request("alice")).wantWaits() // a failure is no denial
		r.prompted(2)
	})
}

// A request that has joined needs only the approval while the server drains, and
// opens nothing new.
func TestJoinWhileDraining(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		first := r.send(r.request("alice"))
		first.req.Supersede()
		r.Pending.Drain()
		a := r.send(r.request("alice"))
		a.wantWaits()
		r.send(r.request("bob")).want(mfa.Discard, mfa.ReasonOverload)
		r.prompted(1).decides(nil)
		a.want(mfa.Accept, "")
		r.Pending.Close(context.Background())
		r.send(r.request("alice")).want(mfa.Discard, mfa.ReasonOverload)
	})
}
