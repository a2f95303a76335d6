package login

import (
	"context"
	"encoding/json"
	"github.com/radmatch/radmatch/mfa"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// kept is alice's prompt of a server that was killed 20 s after it was opened.
func (r *rig) kept() mfa.OpenPrompt {
	r.client.Resumes = true
	now := time.Now()
	time.Sleep(20 * time.Second)
	q := r.request("alice")
	return mfa.OpenPrompt{
		ID: "old", Key: originKey(q, &mfa.Identity{Name: mfa.NameOf("alice")}), Origin: mfa.Origin{User: mfa.NameOf("alice"), Client: "vpn", Group: "edge", EndUser: q.EndUser, Source: q.Source},
		Plan: mfa.PlanPush, Reason: mfa.ReasonApproveDeny, Started: now, Opened: now, Until: now.Add(r.client.PushTimeout), Requests: []mfa.PromptRequest{{Time: now, Client: "vpn"}},
	}
}

// resume goes on with k. It returns the prompts that are open from then on.
func (r *rig) resume(k mfa.OpenPrompt) (open func() []mfa.OpenPrompt) {
	r.Resume(context.Background(), []mfa.OpenPrompt{k})
	synctest.Wait()
	return func() []mfa.OpenPrompt { return r.journal.prompts(k) }
}

// Each field of what is kept of a prompt comes from its login, and is in it again after
// the restart.
func TestKeptIsWhole(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		k := r.kept()
		k.Claimed, k.HideClient, k.HidePlace, k.Node = true, true, true, "1"
		for _, f := range reflect.VisibleFields(reflect.TypeOf(k)) {
			if reflect.ValueOf(k).FieldByIndex(f.Index).IsZero() {
				t.Errorf("the test sets no %s", f.Name)
			}
		}
		r.resume(k)
		for _, w := range r.Pending.all() {
			if !reflect.DeepEqual(w.OpenPrompt, k) {
				t.Errorf("resumed\n got %+v\nwant %+v", w.OpenPrompt, k)
			}
			r.Engine.open(t.Context(), w)
		}
		if all := r.journal.prompts(); len(all) != 1 || !reflect.DeepEqual(all[0], k) {
			t.Errorf("kept\n got %+v\nwant %+v", all, k)
		}
	})
}

func TestResume(t *testing.T) {
	table(t, map[string]func(*testing.T, *rig){
		"joined": func(t *testing.T, r *rig) {
			kept := r.resume(r.kept())
			g := r.prompted(1)
			if g.ID != "old" || !g.Resumed || !g.Expires.Equal(time.Now().Add(35*time.Second)) {
				t.Errorf("the device is shown %+v", g.Prompt)
			}
			a := r.send(r.request("alice"))
			a.wantWaits()
			if all := kept(); len(all) != 1 || len(all[0].Requests) != 2 {
				t.Errorf("got kept %+v; want 1 of them, 2 Requests", all)
			}
			g.decides(nil)
			if d := a.want(mfa.Accept, mfa.ReasonApproveDeny); d.LoginID != "old" || len(d.Identity.Attributes) != 1 {
				t.Errorf("got %+v", d)
			}
			if ev := r.journal.last(t); ev.ID != "old" || len(ev.Requests) != 2 || len(kept()) != 0 {
				t.Errorf("event %+v, kept %+v", ev, kept())
			}
		},
		// Its challenge is answered without a primary check of its own.
		"joined, and then a challenge": func(t *testing.T, r *rig) {
			r.resume(r.kept())
			q := r.request("alice")
			q.GivesUp = time.Now().Add(10 * time.Second)
			a := r.send(q)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			ok := r.sendAnswer(a, "")
			r.prompted(1).decides(nil)
			if d := ok.want(mfa.Accept, ""); len(d.Identity.Attributes) != 1 || string(d.Identity.Attributes[0].Value) != "of alice" {
				t.Errorf("the attributes are lost: %+v", d)
			}
		},
		"wrong password": func(t *testing.T, r *rig) {
			r.resume(r.kept())
			q := r.request("alice")
			q.Cred = mfa.Password("wrong")
			r.send(q).want(mfa.Reject, mfa.ReasonWrongPassword)
			r.prompted(1).decides(nil)
			r.send(q).want(mfa.Reject, mfa.ReasonWrongPassword)
		},
		"approved, and nobody comes": func(t *testing.T, r *rig) {
			r.resume(r.kept())
			r.prompted(1).decides(nil)
			if len(r.journal.all()) != 0 {
				t.Error("got an event; want none while the login goes on")
			}
			time.Sleep(12 * time.Second)
			if ev := r.journal.last(t); ev.Kind != mfa.EventUnclaimed {
				t.Errorf("got event %+v; want Kind mfa.EventUnclaimed", ev)
			}
		},
		"nobody decides": func(t *testing.T, r *rig) {
			r.resume(r.kept())
			time.Sleep(36 * time.Second)
			if g := r.prompted(1); !g.withdrawn() || r.journal.last(t).Reason != mfa.ReasonPushNoResponse {
				t.Errorf("withdrawn %v, events %v", g.withdrawn(), r.journal.all())
			}
		},
		"the user is blocked by now": func(t *testing.T, r *rig) {
			r.resume(r.kept())
			r.users.set("alice", func(u *mfa.User) { u.Blocked = true })
			r.prompted(1).decides(nil)
			if ev := r.journal.last(t); ev.Reason != mfa.ReasonUserBlocked || ev.Outcome != mfa.Reject {
				t.Errorf("got event %+v; want Reason mfa.ReasonUserBlocked, Outcome mfa.Reject", ev)
			}
		},
	})
}

// A prompt that no request could join ends with an event, and sends no prompt.
func TestResumeEnds(t *testing.T) {
	for name, change := range map[string]func(r *rig, k *mfa.OpenPrompt){
		"time is over":             func(r *rig, _ *mfa.OpenPrompt) { time.Sleep(40 * time.Second) },
		"the clock was set back":   func(_ *rig, k *mfa.OpenPrompt) { k.Opened = time.Now().Add(time.Second) },
		"no end-user field":        func(_ *rig, k *mfa.OpenPrompt) { k.Key = "" },
		"a number":                 func(_ *rig, k *mfa.OpenPrompt) { k.Plan = mfa.PlanNumber },
		"a code from the device":   func(_ *rig, k *mfa.OpenPrompt) { k.Plan = mfa.PlanCode },
		"the client is gone":       func(_ *rig, k *mfa.OpenPrompt) { k.Client = "gone" },
		"the client is elsewhere":  func(r *rig, _ *mfa.OpenPrompt) { r.client.Group = "other" },
		"join is off":              func(r *rig, _ *mfa.OpenPrompt) { r.client.Join = false },
		"a provider that cannot":   func(r *rig, _ *mfa.OpenPrompt) { r.client.Resumes = false },
		"too many logins":          func(r *rig, _ *mfa.OpenPrompt) { r.Pending.Max = 0 },
		"what no prompt ever was":  func(_ *rig, k *mfa.OpenPrompt) { k.Plan = mfa.PlanOTP },
		"more than one for a user": func(r *rig, _ *mfa.OpenPrompt) { r.send(r.request("alice")); r.prompted(1).decides(mfa.ErrRejected) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				k := r.kept()
				change(r, &k)
				if name == "more than one for a user" {
					r.resume(k)
					k.ID = "second"
				}
				before := len(r.phone.all())
				kept := r.resume(k)
				if n := len(r.phone.all()); n != before {
					t.Errorf("%d prompts", n-before)
				}
				ev := r.journal.last(t)
				if ev.ID != k.ID || ev.Reason != mfa.ReasonShutdown || ev.Outcome != mfa.Discard || !strings.Contains(ev.Text, "killed") {
					t.Errorf("got event %+v; want ID k.ID, Reason mfa.ReasonShutdown, Outcome mfa.Discard, \"killed\" in it", ev)
				}
				if k.Plan != mfa.PlanOTP && len(kept()) != 0 {
					t.Error("got the prompt still kept; want it forgotten")
				}
				r.Pending.Max = 10
			})
		})
	}
}

// A denial from before the restart speaks for the rest of its 10 s.
func TestRestoreDenied(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		now := time.Now()
		event := func(user string, reason mfa.Reason, ago time.Duration) mfa.Event {
			return mfa.Event{Kind: mfa.EventLogin, Time: now.Add(-ago), Origin: mfa.Origin{User: mfa.NameOf(user), Group: "edge", EndUser: "198.51.100.7"}, Plan: mfa.PlanPush, Reason: reason}
		}
		report := event("erin", mfa.ReasonNotMe, 0)
		report.Kind = mfa.EventReport
		events := []mfa.Event{
			event("alice", mfa.ReasonPushDenied, 4*time.Second), event("bob", mfa.ReasonApproveDeny, 0), event("carol", mfa.ReasonPushDenied, 10*time.Second),
			event("dave", mfa.ReasonPushDenied, -time.Hour), report,
		}
		for _, name := range []string{"bob", "carol", "dave", "erin"} {
			r.users.set(name, func(u *mfa.User) { u.Devices, u.Codes = 1, 0 })
		}
		r.Pending.RestoreDenied(slices.Clone(events), now)
		for _, name := range []string{"bob", "carol", "dave", "erin"} {
			r.send(r.request(name)).wantWaits()
		}
		r.send(r.request("alice")).want(mfa.Reject, mfa.ReasonRecentlyDenied)
		time.Sleep(5 * time.Second)
		r.send(r.request("alice")).want(mfa.Reject, mfa.ReasonRecentlyDenied)
		time.Sleep(2 * time.Second)
		r.send(r.request("alice")).wantWaits()
	})
}

// The kept form of an open prompt has no password, no key and no number in it.
func TestOpenPromptHoldsNoSecret(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.client.NumberInPrompt = true
		r.primary.groups = []string{"group-of-alice"}
		r.send(r.request("alice"))
		g := r.prompted(1)
		b, err := json.Marshal(r.journal.prompts())
		if err != nil || len(r.journal.prompts()) != 1 {
			t.Fatalf("kept %s, %v", b, err)
		}
		var fields map[string]any
		if err := json.Unmarshal(b[1:len(b)-1], &fields); err != nil {
			t.Fatal(err)
		}
		for name, value := range fields {
			if text, _ := value.(string); text == g.Number || strings.Contains(text, "right") || strings.Contains(text, "group-of-alice") {
				t.Errorf("%s is %q", name, text)
			}
		}
		want := "HideClient HidePlace ID Key Opened Plan Reason Requests Started Until claimed client end_user group source user"
		if got := strings.Join(slices.Sorted(maps.Keys(fields)), " "); got != want {
			t.Errorf("kept are %s; want %s", got, want)
		}
	})
}
