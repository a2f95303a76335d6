package login

import (
	"context"
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// approved lets alice in at a gateway that remembers for 8 hours.
func (r *rig) approved() *mfa.Client {
	c := r.gateway("rdg", "rdg")
	c.Remember = 8 * time.Hour
	a := r.send(r.desktop(c, `CORP\alice`))
	r.prompted(1).decides(nil)
	a.want(mfa.Accept, mfa.ReasonApproveDeny)
	time.Sleep(time.Minute)
	return c
}

func TestRemember(t *testing.T) {
	// Each changes something after the approval; then the same desktop asks again.
	tests := map[string]struct {
		then     func(r *rig, c *mfa.Client, q *mfa.Request)
		prompted bool // it asks the user again
	}{
		"the same":                     {},
		"just before it ends":          {then: func(_ *rig, _ *mfa.Client, q *mfa.Request) { time.Sleep(8*time.Hour - time.Minute - time.Second) }},
		"when it has ended":            {then: func(_ *rig, _ *mfa.Client, q *mfa.Request) { time.Sleep(8*time.Hour - time.Minute) }, prompted: true},
		"another spelling of the name": {then: func(_ *rig, _ *mfa.Client, q *mfa.Request) { q.User = mfa.NameOf(`alice`) }},
		"another client of the group": {then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			q.Client = r.gateway("rdg2", "rdg")
			q.Client.Remember = c.Remember
		}},
		"a use does not extend it": {prompted: true, then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			time.Sleep(7 * time.Hour)
			r.send(r.desktop(c, "alice")).want(mfa.Accept, mfa.ReasonRemembered)
			time.Sleep(time.Hour)
		}},
		"a reload to a longer time does not revive it": {prompted: true, then: func(_ *rig, c *mfa.Client, q *mfa.Request) {
			next := *c
			next.Remember = 12 * time.Hour
			q.Client = &next
			time.Sleep(9 * time.Hour)
		}},
		"a reload to a shorter time": {prompted: true, then: func(_ *rig, c *mfa.Client, q *mfa.Request) {
			next := *c
			next.Remember = time.Minute
			q.Client = &next
		}},
		"a reload to a shorter time that is not over": {then: func(_ *rig, c *mfa.Client, q *mfa.Request) {
			next := *c
			next.Remember = time.Hour
			q.Client = &next
		}},
		"switched off": {prompted: true, then: func(_ *rig, c *mfa.Client, q *mfa.Request) {
			next := *c
			next.Remember = 0
			q.Client = &next
		}},

		"another user": {then: func(r *rig, _ *mfa.Client, q *mfa.Request) {
			q.User = mfa.NameOf("mallory")
			r.users.set("mallory", func(u *mfa.User) { u.Devices = 1 })
		}, prompted: true},
		"another machine":             {then: func(_ *rig, _ *mfa.Client, q *mfa.Request) { q.EndUser = "PC-18" }, prompted: true},
		"a machine that begins alike": {then: func(_ *rig, _ *mfa.Client, q *mfa.Request) { q.EndUser = "PC-1" }, prompted: true},
		"no machine":                  {then: func(_ *rig, _ *mfa.Client, q *mfa.Request) { q.EndUser = "" }, prompted: true},
		"another group": {then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			q.Client = r.gateway("vpn", "vpn")
			q.Client.Remember = c.Remember
		}, prompted: true},
		"unsigned": {prompted: true, then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			q.Signed, q.Cred = false, mfa.Password("right") // without a password it would not come so far
		}},

		"a denial": {prompted: true, then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			other := r.desktop(c, "alice")
			other.EndUser = "PC-18"
			a := r.send(other)
			r.prompted(2).decides(mfa.ErrRejected)
			a.want(mfa.Reject, mfa.ReasonPushDenied)
		}},
		"a denial at another client": {prompted: true, then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			a := r.send(r.request("alice"))
			r.prompted(2).decides(mfa.ErrRejected)
			a.want(mfa.Reject, mfa.ReasonPushDenied)
		}},
		"a wrong number": {prompted: true, then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			a := r.send(r.request("alice"))
			r.prompted(2).decides(errNumber)
			a.want(mfa.Reject, mfa.ReasonWrongNumber)
		}},
		"not me at another client": {prompted: true, then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			a := r.send(r.request("alice"))
			r.prompted(2).decides(errNotMe)
			a.want(mfa.Reject, mfa.ReasonNotMe)
		}},
		"a prompt that nobody answers": {then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			other := r.desktop(c, "alice")
			other.EndUser = "PC-18"
			a := r.send(other)
			time.Sleep(time.Minute)
			a.want(mfa.Reject, mfa.ReasonPushNoResponse)
		}},
		"a wrong password": {prompted: true, then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			wrong := r.request("alice")
			wrong.Cred = mfa.Password("wrong")
			r.send(wrong).want(mfa.Reject, mfa.ReasonWrongPassword)
		}},
		"a wrong password, with a domain": {prompted: true, then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			wrong := r.request("ALICE@corp.example.org")
			wrong.Cred = mfa.Password("wrong")
			r.send(wrong).want(mfa.Reject, mfa.ReasonWrongPassword)
		}},
		"a wrong password of another user": {then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			wrong := r.request("bob")
			wrong.Cred = mfa.Password("wrong")
			r.send(wrong).want(mfa.Reject, mfa.ReasonWrongPassword)
		}},
		"the directory does not know the user for a while": {prompted: true, then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			r.primary.fail = func() error { return mfa.ErrRejected }
			r.send(r.desktop(c, "alice")).want(mfa.Reject, mfa.ReasonUnknownUser)
			r.primary.fail = nil
		}},
		"the directory gives no answer for a while": {then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			r.primary.fail = func() error { return errors.New("down") }
			r.send(r.desktop(c, "alice")).want(mfa.Discard, mfa.ReasonPrimaryError)
			r.primary.fail = nil
		}},
		"a block that was lifted": {prompted: true, then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			r.users.set("alice", func(u *mfa.User) { u.Unblocked = time.Now() })
		}},
		"a block that was seen": {prompted: true, then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			r.users.set("alice", func(u *mfa.User) { u.Blocked = true })
			r.send(r.desktop(c, "alice")).want(mfa.Reject, mfa.ReasonUserBlocked)
			r.users.set("alice", func(u *mfa.User) { u.Blocked = false })
		}},
		"the device was removed": {prompted: true, then: func(r *rig, c *mfa.Client, q *mfa.Request) { r.users.remove("d1") }},
		"the device was removed, and came back": {prompted: true, then: func(r *rig, c *mfa.Client, q *mfa.Request) {
			r.users.remove("d1")
			a := r.send(r.desktop(c, "alice"))
			r.prompted(2).decides(nil)
			a.want(mfa.Reject, mfa.ReasonNoUsableMethod)
			r.users.remove("other")
			time.Sleep(time.Minute)
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.approved()
				q := r.desktop(c, `CORP\alice`)
				if tt.then != nil {
					tt.then(r, c, q)
				}
				q.Received = time.Now()
				before := len(r.phone.all())
				a := r.send(q)
				if tt.prompted {
					a.wantWaits()
					r.prompted(before + 1)
					return
				}
				a.want(mfa.Accept, mfa.ReasonRemembered)
				r.prompted(before)
				ev := r.journal.last(t)
				if ev.Plan != mfa.PlanNone || !strings.Contains(ev.Text, `approved on "pixel" at `) || ev.EndUser != "PC-17" {
					t.Errorf("event %+v", ev)
				}
			})
		})
	}
}

// TestNotRemembered: what lets someone in now need not do so again.
func TestNotRemembered(t *testing.T) {
	// Each makes alice's first login at a gateway that remembers; the second asks again.
	tests := map[string]func(r *rig, c *mfa.Client){
		"remember is off": func(r *rig, c *mfa.Client) {
			c.Remember = 0
			r.send(r.desktop(c, "alice"))
			r.prompted(1).decides(nil)
			c.Remember = 8 * time.Hour
		},
		"the first came unsigned": func(r *rig, c *mfa.Client) {
			q := r.desktop(c, "alice")
			q.Signed, q.Cred = false, mfa.Password("right")
			a := r.send(q)
			r.prompted(1).decides(nil)
			a.want(mfa.Accept, mfa.ReasonApproveDeny)
		},
		"the first named no machine": func(r *rig, c *mfa.Client) {
			q := r.desktop(c, "alice")
			q.EndUser = ""
			a := r.send(q)
			r.prompted(1).decides(nil)
			a.want(mfa.Accept, mfa.ReasonApproveDeny)
		},
		"the machine has the name of an address that was approved": func(r *rig, c *mfa.Client) {
			q := r.desktop(c, "alice")
			q.EndUser, q.Address = "198.51.100.7", netip.MustParseAddr("198.51.100.7")
			a := r.send(q)
			r.prompted(1).decides(nil)
			a.want(mfa.Accept, mfa.ReasonApproveDeny)
		},
		"no login was accepted": func(r *rig, c *mfa.Client) {
			q := r.desktop(c, "alice")
			a := r.send(q)
			q.Supersede()
			r.prompted(1).decides(nil)
			time.Sleep(time.Minute)
			a.want(mfa.Reject, mfa.ReasonAbandoned)
		},
		"the event could not be written": func(r *rig, c *mfa.Client) {
			a := r.send(r.desktop(c, "alice"))
			r.journal.setFail(func(mfa.Event) error { return errors.New("disk full") })
			r.prompted(1).decides(nil)
			a.want(mfa.Discard, mfa.ReasonMFAError)
			r.journal.setFail(nil)
		},
		"no device is named": func(r *rig, c *mfa.Client) {
			c.Pusher = anonymous{}
			r.send(r.desktop(c, "alice")).want(mfa.Accept, mfa.ReasonApproveDeny)
			c.Pusher = r.phone
		},
		"a passcode": func(r *rig, c *mfa.Client) {
			r.users.set("alice", func(u *mfa.User) { u.Codes, u.Default = 1, mfa.MethodOTP })
			vpn := r.newClient("vpn", "rdg")
			vpn.Remember = c.Remember
			q := r.desktop(vpn, "alice")
			q.Cred = mfa.Password("right")
			a := r.send(q)
			answer := r.reply(a, "123456")
			answer.EndUser = q.EndUser
			r.send(answer).want(mfa.Accept, mfa.ReasonDefaultOTP)
			r.users.set("alice", func(u *mfa.User) { u.Default = mfa.MethodPush })
		},
		"no second factor": func(r *rig, c *mfa.Client) {
			c.ExemptClient = true
			r.send(r.desktop(c, "alice")).want(mfa.Accept, mfa.ReasonExemptClient)
			c.ExemptClient = false
		},
	}
	for name, first := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.gateway("rdg", "rdg")
				c.Remember = 8 * time.Hour
				first(r, c)
				for key, a := range r.Pending.memory.origins {
					if key == "" || !a.until.After(a.at) {
						t.Errorf("origin %q is kept from %s until %s", key, a.at, a.until)
					}
				}
				time.Sleep(time.Minute)
				before := len(r.phone.all())
				for _, machine := range []string{"PC-17", "", "198.51.100.7"} {
					q := r.desktop(c, "alice")
					q.EndUser = machine
					r.send(q).wantWaits()
					before++
					r.prompted(before)
					time.Sleep(2 * time.Minute) // no answer
				}
			})
		})
	}
}

// anonymous approves without saying which device it was.
type anonymous struct{}

func (anonymous) Abilities() mfa.PushAbilities { return mfa.PushAbilities{} }

func (anonymous) Push(context.Context, mfa.Prompt) (mfa.Approval, error) {
	return mfa.Approval{Device: "x"}, nil
}

// An answer from the device that cannot be checked asks again, and forgets nothing.
func TestRememberDirectoryFails(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.approved()
		r.users.setRegisteredFail(errors.New("locked"))
		a := r.send(r.desktop(c, "alice"))
		a.wantWaits()
		r.prompted(2)
		r.users.setRegisteredFail(nil)
		r.send(r.desktop(c, "alice")).want(mfa.Accept, mfa.ReasonRemembered)
	})
}

// "This was not me" that another node has seen stands here too.
func TestRememberPushBlocked(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.approved()
		r.users.set("alice", func(u *mfa.User) { u.PushBlocked = []string{"other"} })
		r.send(r.desktop(c, "alice")).want(mfa.Accept, mfa.ReasonRemembered)
		r.users.set("alice", func(u *mfa.User) { u.PushBlocked = []string{"rdg"} })
		r.send(r.desktop(c, "alice")).want(mfa.Reject, mfa.ReasonPushBlocked)
		r.users.set("alice", func(u *mfa.User) { u.PushBlocked = nil })
		r.send(r.desktop(c, "alice")).wantWaits()
	})
}

// The same where an answer to a challenge was let in.
func TestRememberAliasAtPrompt(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.users.set("asmith", func(u *mfa.User) { u.Devices = 1 })
		r.primary.names = map[string]string{"alice.smith": "asmith"}
		r.client.Remember, r.client.NumberInPrompt = time.Hour, true
		a := r.sendAnswer(r.send(r.request("alice.smith")), "")
		r.prompted(1).decides(nil)
		a.want(mfa.Accept, mfa.ReasonNumberMatch)
		r.send(r.request("asmith")).want(mfa.Accept, mfa.ReasonRemembered)
		wrong := r.request("alice.smith")
		wrong.Cred = mfa.Password("wrong")
		r.send(wrong).want(mfa.Reject, mfa.ReasonWrongPassword)
		time.Sleep(time.Minute)
		r.send(r.request("asmith")).want(mfa.Challenge, mfa.ReasonNumberMatch)
	})
}

// A login under a name that is not the canonical one is forgotten by that name too.
func TestRememberAlias(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.users.set("asmith", func(u *mfa.User) { u.Devices = 1 })
		r.primary.names = map[string]string{"alice.smith": "asmith"}
		c := r.gateway("rdg", "rdg")
		c.Remember = time.Hour
		a := r.send(r.desktop(c, "alice.smith"))
		r.prompted(1).decides(nil)
		a.want(mfa.Accept, mfa.ReasonApproveDeny)
		r.send(r.desktop(c, "asmith")).want(mfa.Accept, mfa.ReasonRemembered)
		wrong := r.request("alice.smith@example.org")
		wrong.Cred = mfa.Password("wrong")
		r.send(wrong).want(mfa.Reject, mfa.ReasonWrongPassword)
		time.Sleep(time.Minute)
		r.send(r.desktop(c, "asmith")).wantWaits()
	})
}

// The table is bounded for a user and in all; a full one takes nothing new.
func TestMemoryIsBounded(t *testing.T) {
	start := time.Now()
	var m memory
	put := func(user, machine string, at time.Time) string {
		a := &remembered{key: user + "\x00" + machine, names: []mfa.NameKey{mfa.NameOf(user).Key()}, at: at, until: at.Add(time.Hour)}
		m.Add(a)
		return a.key
	}
	var keys []string
	for i := range maxOrigins + 2 {
		keys = append(keys, put("alice", fmt.Sprint(i), start))
	}
	for i, key := range keys {
		if found := m.find(key, start, time.Hour) != nil; found != (i >= 2) {
			t.Errorf("origin %d: found %t", i, found)
		}
	}
	for i := range maxRemembered {
		put(fmt.Sprint("u", i), "pc", start)
	}
	late := put("late", "pc", start.Add(time.Minute))
	if n := len(m.origins); n != maxRemembered || m.find(late, start, time.Hour) != nil {
		t.Errorf("%d origins, the newest is there: %t", n, m.find(late, start, time.Hour) != nil)
	}
	if m.find(keys[5], start, time.Hour) == nil {
		t.Error("got an approval that was there shed; want it kept")
	}
	late = put("late", "pc", start.Add(2*time.Hour))
	if n := len(m.origins); n != 1 || m.find(late, start.Add(2*time.Hour), time.Hour) == nil || len(m.names) != 1 {
		t.Errorf("after all has run out: %d origins, %d names", n, len(m.names))
	}
	m.forget(mfa.NameOf(`CORP\Late`).Key())
	if len(m.origins)+len(m.names) != 0 {
		t.Errorf("forgotten, and %d origins and %d names are left", len(m.origins), len(m.names))
	}
}

func TestBareName(t *testing.T) {
	for in, want := range map[string]string{
		"alice": "alice", `CORP\Alice`: "alice", "Alice@corp.example.org": "alice", `A\B\c@d@e`: "c", "": "", `CORP\`: "", "@x": "",
	} {
		if got := bareName(mfa.NameOf(in).Key()).String(); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
