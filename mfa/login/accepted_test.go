package login

import (
	"github.com/radmatch/radmatch/mfa"
	"testing"
	"time"
)

// sent is a packet of alice's NAS.
func (r *rig) sent(authenticator byte) *mfa.Request {
	q := r.request("alice")
	q.ID, q.Authenticator = 7, [16]byte{authenticator}
	q.GivesUp = q.Received.Add(30 * time.Second)
	return q
}

// TestRestoreAccepted: alice approved a login, and the server was killed before its
// Accept left. What the next server hears is that packet again, or one that differs.
// Only the very same one is let in without another prompt.
func TestRestoreAccepted(t *testing.T) {
	tests := map[string]struct {
		client   func(c *mfa.Client)
		between  func(r *rig)
		again    func(q *mfa.Request, r *rig)
		prompted bool
		reason   mfa.Reason // where it neither sends a prompt nor is accepted
	}{
		"the same packet":        {},
		"unsigned, as the first": {},
		"just in time":           {between: func(*rig) { time.Sleep(29 * time.Second) }},
		"too late":               {between: func(*rig) { time.Sleep(30 * time.Second) }, prompted: true},
		"timeout unknown, soon": {
			between: func(*rig) { time.Sleep(9 * time.Second) },
			again:   func(q *mfa.Request, _ *rig) { q.GivesUp = time.Time{} },
		},
		"timeout unknown, late": {
			between:  func(*rig) { time.Sleep(10 * time.Second) },
			again:    func(q *mfa.Request, _ *rig) { q.GivesUp = time.Time{} },
			prompted: true,
		},
		"no NAS waits that long": {
			between:  func(*rig) { time.Sleep(60 * time.Second) },
			again:    func(q *mfa.Request, _ *rig) { q.GivesUp = q.Received.Add(5 * time.Minute) },
			prompted: true,
		},

		"another authenticator":     {again: func(q *mfa.Request, _ *rig) { q.Authenticator[15]++ }, prompted: true},
		"no authenticator":          {again: func(q *mfa.Request, _ *rig) { q.Authenticator = [16]byte{} }, prompted: true},
		"another identifier":        {again: func(q *mfa.Request, _ *rig) { q.ID++ }, prompted: true},
		"another source":            {again: func(q *mfa.Request, _ *rig) { q.Source = "192.0.2.1:40001" }, prompted: true},
		"another end-user field":    {again: func(q *mfa.Request, _ *rig) { q.EndUser = "203.0.113.66" }, prompted: true},
		"another spelling":          {again: func(q *mfa.Request, _ *rig) { q.User = mfa.NameOf(`CORP\alice`) }, prompted: true},
		"another user":              {again: func(q *mfa.Request, _ *rig) { q.User = mfa.NameOf("carol") }, prompted: true},
		"another client of a group": {again: func(q *mfa.Request, r *rig) { q.Client = r.newClient("vpn2", "edge") }, prompted: true},
		"no signature":              {again: func(q *mfa.Request, _ *rig) { q.Signed = false }, prompted: true},
		"another plan": {again: func(q *mfa.Request, r *rig) {
			q.Client = r.newClient("vpn", "edge")
			q.Client.NumberInPrompt = true
		}, reason: mfa.ReasonNumberMatch},

		"wrong password": {again: func(q *mfa.Request, _ *rig) { q.Cred = mfa.Password("wrong") }, reason: mfa.ReasonWrongPassword},
		"blocked by now": {
			between: func(r *rig) { r.users.set("alice", func(u *mfa.User) { u.Blocked = true }) },
			reason:  mfa.ReasonUserBlocked,
		},
		"blocked and unblocked": {
			between: func(r *rig) {
				time.Sleep(time.Second)
				r.users.set("alice", func(u *mfa.User) { u.Unblocked = time.Now() })
			},
			prompted: true,
		},
		"not me at another prompt": {
			between: func(r *rig) { r.users.set("alice", func(u *mfa.User) { u.PushBlocked = []string{"edge"} }) },
			reason:  mfa.ReasonPushBlocked,
		},
		"the device is removed": {between: func(r *rig) { r.users.remove("d1") }, prompted: true},
		"the clock was set back": {
			between: func(r *rig) {
				events := r.journal.all()
				events[0].Time = events[0].Time.Add(time.Second)
				r.Pending.RestoreAccepted(events, time.Now())
			},
			prompted: true,
		},
		"the server is about to end": {between: func(r *rig) { r.Pending.Drain() }, reason: mfa.ReasonOverload},
		"exempt by now": {again: func(q *mfa.Request, r *rig) {
			q.Client = r.newClient("vpn", "edge")
			q.Client.ExemptClient = true
		}, reason: mfa.ReasonExemptClient},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.users.set("carol", func(u *mfa.User) { u.Devices = 1 })
				unsigned := name == "unsigned, as the first"
				q := r.sent(1)
				q.Signed = !unsigned
				first := r.send(q)
				r.prompted(1).decides(nil)
				id := first.want(mfa.Accept, mfa.ReasonApproveDeny).LoginID
				r.Pending.RestoreAccepted(r.journal.all(), time.Now())
				if tt.between != nil {
					tt.between(r)
				}
				q = r.sent(1)
				q.Signed = !unsigned
				if tt.again != nil {
					tt.again(q, r)
				}
				again := r.send(q)
				switch {
				case tt.prompted:
					again.wantWaits()
					r.prompted(2)
				case tt.reason != "":
					if d, got := again.decision(); d.Reason != tt.reason || d.LoginID == id {
						t.Errorf("got %s of login %s, want %s", got, d.LoginID, tt.reason)
					}
				default:
					d := again.want(mfa.Accept, mfa.ReasonApproveDeny)
					if d.LoginID != id || len(d.Identity.Attributes) != 1 || len(r.journal.all()) != 1 {
						t.Errorf("got %+v, events %v", d, r.journal.all())
					}
					q := r.sent(1) // an approval is worth one login
					q.Signed = !unsigned
					r.send(q).wantWaits()
					r.prompted(2)
				}
			})
		})
	}
}

// Each packet that joined is let in once, with the keys of its own new check; what
// waited for nothing any more, and what a code ended, is not.
func TestRestoreAcceptedPackets(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"two that joined": func(t *testing.T, r *rig) {
			chap := func(n byte) *mfa.Request {
				q := r.sent(n)
				q.Cred = mfa.MSCHAPv2{Ident: n}
				return q
			}
			r.send(chap(1))
			r.send(chap(2))
			gone := r.send(chap(3))
			gone.req.Supersede()
			r.prompted(1).decides(nil)
			r.Pending.RestoreAccepted(r.journal.all(), time.Now())
			for n := byte(1); n <= 2; n++ {
				if d := r.send(chap(n)).want(mfa.Accept, mfa.ReasonApproveDeny); d.Identity.MSCHAP == nil || d.Identity.MSCHAP.NTHashHash[0] != n {
					t.Errorf("packet %d got %+v", n, d)
				}
			}
			r.send(chap(3)).wantWaits()
			r.prompted(2)
		},
		"bounded": func(t *testing.T, r *rig) {
			for n := range byte(maxPackets + 4) {
				r.send(r.sent(n + 1))
			}
			r.prompted(1).decides(nil)
			if n := len(r.journal.last(t).Packets); n != maxPackets {
				t.Errorf("the event names %d packets", n)
			}
		},
		"forgotten": func(t *testing.T, r *rig) {
			r.send(r.sent(1))
			r.prompted(1).decides(nil)
			r.Pending.RestoreAccepted(r.journal.all(), time.Now())
			time.Sleep(keepAccepted + 2*time.Second)
			if a := &r.Pending.accepted; a.left.Load() != 0 || a.events != nil {
				t.Errorf("kept: got %v; want left 0, no events", a.events)
			}
		},
		"denied": func(t *testing.T, r *rig) {
			r.send(r.sent(1))
			r.prompted(1).decides(mfa.ErrRejected)
			if ev := r.journal.last(t); ev.Packets != nil {
				t.Errorf("got event %+v; want no Packets", ev)
			}
			r.Pending.RestoreAccepted(r.journal.all(), time.Now())
			r.send(r.sent(1)).want(mfa.Reject, mfa.ReasonRecentlyDenied)
		},
	})
}
