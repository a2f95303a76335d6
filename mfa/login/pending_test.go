package login

import (
	"context"
	"errors"
	"fmt"
	"github.com/radmatch/radmatch/mfa"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestDrainAndClose(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		code := r.send(r.request("bob"))
		waiters := r.send(r.request("alice"))
		r.users.set("carol", func(u *mfa.User) { u.Devices = 1 })
		unclaimed := r.send(r.request("carol"))
		unclaimed.req.Supersede()
		r.prompted(2).decides(nil)

		r.Pending.Drain()
		q := r.request("bob")
		q.EndUser = "203.0.113.66"
		r.send(q).want(mfa.Discard, mfa.ReasonOverload)
		r.users.set("dave", func(u *mfa.User) { u.Devices = 1 })
		r.send(r.request("dave")).want(mfa.Discard, mfa.ReasonOverload)
		r.sendAnswer(code, "000000").want(mfa.Challenge, "") // who waits goes on
		before := len(r.journal.all())

		r.Pending.Close(context.Background())
		waiters.want(mfa.Discard, mfa.ReasonShutdown)
		unclaimed.want(mfa.Discard, mfa.ReasonShutdown)
		synctest.Wait()
		if !r.prompted(2).withdrawn() || r.Pending.Len() != 0 {
			t.Errorf("%d wait", r.Pending.Len())
		}
		for _, ev := range r.journal.all()[before:] {
			if ev.Reason != mfa.ReasonShutdown || ev.Outcome != mfa.Discard {
				t.Errorf("event: got %+v; want Reason mfa.ReasonShutdown, Outcome mfa.Discard", ev)
			}
		}
		if n := len(r.journal.all()) - before; n != 3 {
			t.Errorf("%d events, want 3", n)
		}
		r.sendAnswer(code, "123456").want(mfa.Reject, mfa.ReasonStateUnknown)
	})
}

// Close waits for what is being decided, and does not end it twice.
func TestCloseWhileDeciding(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := r.send(r.request("bob"))
		r.codes.slow = make(chan struct{})
		code := r.send(r.reply(a, "123456"))
		closed := make(chan struct{})
		go func() { r.Pending.Close(context.Background()); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("got a Close that returned at once; want it to wait")
		default:
		}
		close(r.codes.slow)
		<-closed
		code.want(mfa.Accept, "")
	})
}

func TestOverload(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Pending.Max, r.Pending.MaxPerClient = 3, 2
		send := func(user string, c *mfa.Client) *answer {
			r.users.set(user, func(u *mfa.User) { u.Codes = 1 })
			q := r.request(user)
			q.Client = c
			return r.send(q)
		}
		other := r.newClient("mail", "mail")
		first := send("u1", r.client)
		send("u2", r.client).want(mfa.Challenge, "")
		send("u3", r.client).want(mfa.Discard, mfa.ReasonOverload)
		send("u4", other).want(mfa.Challenge, "")
		send("u5", other).want(mfa.Discard, mfa.ReasonOverload)
		r.sendAnswer(first, "123456").want(mfa.Accept, "") // who waits is never shed
		send("u3", r.client).want(mfa.Challenge, "")
	})
}

// However many devices are behind a proxy, the logins that wait at them fill the part of
// the proxy, and leave room for the other clients.
func TestOverloadBehindProxy(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.Pending.Max, r.Pending.MaxPerClient = 4, 2
		send := func(user string, c *mfa.Client) *answer {
			r.users.set(user, func(u *mfa.User) { u.Codes = 1 })
			q := r.request(user)
			q.Client = c
			return r.send(q)
		}
		branch, lab := r.newClient("branch", "branch"), r.newClient("lab", "lab")
		branch.Behind, lab.Behind = r.client.Name, r.client.Name
		first := send("u1", branch)
		send("u2", lab).want(mfa.Challenge, "")
		for _, c := range []*mfa.Client{r.client, branch, lab} {
			send("u3", c).want(mfa.Discard, mfa.ReasonOverload)
		}
		send("u4", r.newClient("mail", "mail")).want(mfa.Challenge, "")
		r.sendAnswer(first, "123456").want(mfa.Accept, "")
		send("u3", lab).want(mfa.Challenge, "")
	})
}

// TestStorm lets many users, and some who know their passwords, do everything
// at once. The rig checks that each request has one reply, each login one event
// and no login was accepted before it; here the sums must add up too.
func TestStorm(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) { storm(t, r, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func storm(t *testing.T, r *rig, rnd *rand.Rand) {
	const users, rounds = 12, 300
	r.Lockout.Max, r.Fatigue.Max = 50, 50
	clients := []*mfa.Client{r.client, r.newClient("vpn2", "edge"), r.newClient("mail", "mail")}
	clients[1].NumberInPrompt = true
	clients[2].NumberInPrompt, clients[2].Join = true, false
	for i := range users {
		r.users.set(fmt.Sprint("u", i), func(u *mfa.User) { u.Devices, u.Codes = i%3, (i+1)%2 })
	}
	if rnd.IntN(2) == 0 {
		r.journal.fail = func(mfa.Event) error { // sometimes the disk says no
			if rand.IntN(20) == 0 {
				return errors.New("no space left on device")
			}
			return nil
		}
	}
	for range rounds {
		for range 1 + rnd.IntN(10) {
			act(r, rnd, clients, fmt.Sprint("u", rnd.IntN(users)))
		}
		switch rnd.IntN(4) {
		case 0:
			synctest.Wait()
		case 1:
			time.Sleep(time.Duration(rnd.IntN(20_000)) * time.Millisecond)
		}
	}
	synctest.Wait()
	time.Sleep(4 * time.Minute)
	if n := r.Pending.Len(); n != 0 {
		t.Errorf("got %d logins that still wait; want none", n)
	}
	events := make(map[string]mfa.Event)
	for _, ev := range r.journal.all() {
		events[ev.ID] = ev
	}
	var outcomes [4]int
	for _, a := range r.answers {
		d, _ := a.decision()
		outcomes[d.Outcome]++
		ev, ok := events[d.LoginID]
		if !ok && !r.journal.broken && d.Reason != mfa.ReasonSuperseded && r.journal.count(d.Reason) < refusalsKept {
			t.Errorf("%s %s has no event", d.Outcome, d.Reason)
		}
		if d.Outcome == mfa.Accept && (ev.Outcome != mfa.Accept || ev.Kind != mfa.EventLogin) {
			t.Errorf("accepted, and the event says %s %s %s", ev.Kind, ev.Outcome, ev.Reason)
		}
		if ev.Kind == mfa.EventUnclaimed && d.Outcome == mfa.Accept {
			t.Error("got an unclaimed approval beside an Access-Accept; want one of them")
		}
	}
	if outcomes[mfa.Accept] == 0 || outcomes[mfa.Challenge] == 0 || outcomes[mfa.Reject] == 0 || outcomes[mfa.Discard] == 0 {
		t.Errorf("the storm is too mild: %v", outcomes)
	}
	t.Log(outcomes, len(events), "events")
}

// act does one random thing.
func act(r *rig, rnd *rand.Rand, clients []*mfa.Client, user string) {
	pick := func() *answer {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.answers) == 0 {
			return nil
		}
		n := len(r.answers)
		return r.answers[n-1-rnd.IntN(min(n, 30))]
	}
	switch rnd.IntN(10) {
	case 0, 1, 2:
		q := r.request(user)
		q.Client, q.Signed = clients[rnd.IntN(len(clients))], rnd.IntN(5) > 0
		q.EndUser = []string{"198.51.100.7", "203.0.113.66", ""}[rnd.IntN(3)]
		switch rnd.IntN(5) {
		case 0:
			q.Cred = mfa.MSCHAPv2{Ident: 1}
		case 1:
			q.Cred = mfa.Password("wrong")
		}
		r.start(q)
	case 3, 4, 5:
		a := pick()
		if a == nil {
			return
		}
		if d, _ := a.decision(); d.Outcome == mfa.Challenge {
			text := []string{"", "OK", "123456", "000000"}[rnd.IntN(4)]
			r.start(r.reply(a, text))
		}
	case 6:
		if a := pick(); a != nil && a.waits() {
			a.req.Supersede()
		}
	case 7, 8:
		prompts := r.phone.all()
		if len(prompts) == 0 {
			return
		}
		g := prompts[len(prompts)-1-rnd.IntN(min(len(prompts), 8))]
		select {
		case g.decide <- []error{nil, nil, nil, mfa.ErrRejected, errNotMe, errNumber, errors.New("down")}[rnd.IntN(7)]:
		default:
		}
	case 9:
		r.codes.mu.Lock()
		delete(r.codes.used, user) // the next step of the token
		r.codes.mu.Unlock()
	}
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		r := &Refusals{Journal: j}
		ctx, cancel := context.WithCancel(t.Context())
		var ran sync.WaitGroup
		ran.Go(func() { r.Run(ctx) })
		record := func(client string, reason mfa.Reason, n int) {
			for i := range n {
				if err := r.Record(ctx, mfa.Event{ID: fmt.Sprint(client, reason, time.Now().UnixNano(), i), Time: time.Now(), Origin: mfa.Origin{Client: client}, Reason: reason}); err != nil {
					t.Fatal(err)
				}
			}
		}
		record("vpn", mfa.ReasonWrongPassword, 1000)
		record("vpn", mfa.ReasonStateUnknown, 3)
		record("mail", mfa.ReasonWrongPassword, refusalsKept)
		if n := len(j.all()); n != 2*refusalsKept+3 {
			t.Errorf("%d events at once", n)
		}
		time.Sleep(refusalWindow + 2*time.Second)
		if ev := j.last(t); ev.Count != 1000-refusalsKept || ev.Client != "vpn" || ev.Reason != mfa.ReasonWrongPassword {
			t.Errorf("the sum: %+v", ev)
		}
		if n := len(j.all()); n != 2*refusalsKept+4 || len(r.sums) != 0 {
			t.Errorf("%d events, %d sums are left", n, len(r.sums))
		}
		record("vpn", mfa.ReasonWrongPassword, refusalsKept+7)
		cancel() // the last sum is written at the end
		ran.Wait()
		if ev := j.last(t); ev.Count != 7 {
			t.Errorf("the last sum: got %+v; want Count 7", ev)
		}
		total := 0
		for _, ev := range j.all() {
			if total++; ev.Count > 1 {
				total += ev.Count - 1
			}
		}
		if want := 1000 + 3 + refusalsKept + refusalsKept + 7; total != want {
			t.Errorf("the events stand for %d refusals, want %d", total, want)
		}
	})
}

func TestEntropy(t *testing.T) {
	var e entropy
	seen, numbers := make(map[string]bool), make(map[string]int)
	for range 20_000 {
		s := e.text(16)
		if len(s) != 26 || seen[s] {
			t.Fatalf("State %q", s)
		}
		seen[s] = true
		numbers[e.number()]++
	}
	if len(numbers) != 90 {
		t.Errorf("got %d different numbers; want 90", len(numbers))
	}
	for n, count := range numbers {
		if len(n) != 2 || n < "10" || n > "99" || count < 120 || count > 340 { // 222 ± 8 standard deviations
			t.Errorf("number %q came %d times", n, count)
		}
	}
}

// While the server drains no new login is accepted, even without a second factor:
// the NAS is to ask another server.
func TestDrainedAcceptsNobodyNew(t *testing.T) {
	for name, exempt := range map[string]func(r *rig){
		"the client is exempt":         func(r *rig) { r.client.ExemptClient = true },
		"nothing is registered":        func(r *rig) { r.client.RequireUserMatch = false },
		"a group is exempt":            func(r *rig) { r.client.ExemptGroups, r.primary.groups = mfa.GroupsOf("staff"), []string{"staff"} },
		"a code came with it":          func(r *rig) { r.appends(mfa.AppendDelimiter); r.users.set("carol", func(u *mfa.User) { u.Codes = 1 }) },
		"a device has to approve":      func(r *rig) { r.users.set("carol", func(u *mfa.User) { u.Devices = 1 }) },
		"the primary asks what is due": func(r *rig) { r.asks() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				exempt(r)
				r.Pending.Drain()
				q := r.request("carol")
				if r.client.AppendsCode() {
					q.Cred = mfa.Password("right,123456")
				}
				r.send(q).want(mfa.Discard, mfa.ReasonOverload)
				r.prompted(0)
			})
		})
	}
}
