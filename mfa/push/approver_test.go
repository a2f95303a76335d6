package push_test

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/push/pushtest"
)

func TestApproverConformance(t *testing.T) {
	pushtest.Run(t, func(t *testing.T) pushtest.Rig {
		st := &pushtest.Store{}
		key := st.Add(t, "Anna", "dev1", device.MaxVersion)
		a := &push.Approver{Store: st}
		return pushtest.Rig{
			Pusher: a, User: "anna", Nobody: "bob",
			Shown: func(ctx context.Context, id string) error { return await(ctx, a, id, true) },
			Gone:  func(ctx context.Context, id string) error { return await(ctx, a, id, false) },
			Respond: func(ctx context.Context, id string, r pushtest.Answer, number string) error {
				action := []device.Action{device.ActionApprove, device.ActionDeny, device.ActionNotMe}[r]
				_, err := a.Decide(ctx, signed(t, key, "anna", device.Decision{Version: device.MaxVersion, Device: "dev1", Prompt: id, Action: action, Number: number, Surface: device.SurfaceApp}))
				return err
			},
		}
	})
}

// await waits until anna's prompt id is live, or is not.
func await(ctx context.Context, a *push.Approver, id string, live bool) error {
	sub := a.Subscribe(mfa.NameOf("anna"), device.MaxVersion)
	defer sub.Close()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-sub.Ready():
			sub.Take()
		}
		found := false
		for _, p := range a.Live(mfa.NameOf("anna"), device.MaxVersion).Prompts {
			found = found || p.ID == id
		}
		if found == live {
			return nil
		}
	}
}

func signed(t testing.TB, key *ecdsa.PrivateKey, user string, d device.Decision) device.Decision {
	t.Helper()
	if err := d.Sign(key, user); err != nil {
		t.Fatal(err)
	}
	return d
}

// rig is an approver, anna with two devices and an old one, and bob with one.
type rig struct {
	*push.Approver
	store *pushtest.Store
	keys  map[string]*ecdsa.PrivateKey
}

func newRig(t testing.TB) *rig {
	st := &pushtest.Store{}
	r := &rig{Approver: &push.Approver{Store: st}, store: st, keys: map[string]*ecdsa.PrivateKey{}}
	for _, d := range []struct {
		id, user string
		version  int
	}{{"anna1", "anna", 2}, {"anna2", "anna", 2}, {"annaold", "anna", 1}, {"bob1", "bob", 2}} {
		r.keys[d.id] = st.Add(t, d.user, d.id, d.version)
	}
	return r
}

func prompt(id, user, number string) mfa.Prompt {
	now := time.Now()
	return mfa.Prompt{ID: id, User: mfa.NameOf(user), Client: "vpn", Number: number, Started: now, Expires: now.Add(55 * time.Second)}
}

// start pushes in a bubble and returns when the prompt is live.
func (r *rig) start(ctx context.Context, p mfa.Prompt) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := r.Push(ctx, p)
		done <- err
	}()
	synctest.Wait()
	return done
}

// TestDecideRefuses: what is not a genuine decision on this live prompt does not
// end it, and says why.
func TestDecideRefuses(t *testing.T) {
	approve := device.Decision{Version: 2, Device: "anna1", Prompt: "p1", Action: device.ActionApprove, Number: "42"}
	for _, c := range []struct {
		name   string
		user   string // signed for
		signer string
		d      func(device.Decision) device.Decision // before the signature
		tamper func(device.Decision) device.Decision // after it
		want   error
	}{
		{name: "key of another device of the user", signer: "anna2", want: device.ErrSignature},
		{name: "key of another user's device", signer: "bob1", want: device.ErrSignature},
		{name: "device of another user", signer: "bob1", user: "bob", d: func(d device.Decision) device.Decision { d.Device = "bob1"; return d }, want: push.ErrNotYours},
		{name: "device of another user signs for the user", signer: "bob1", d: func(d device.Decision) device.Decision { d.Device = "bob1"; return d }, want: push.ErrNotYours},
		{name: "signed for another user", user: "bob", want: device.ErrSignature},
		{name: "signed for the user in another spelling", user: "Anna", want: device.ErrSignature},
		{name: "device named that did not sign", tamper: func(d device.Decision) device.Decision { d.Device = "anna2"; return d }, want: device.ErrSignature},
		{name: "another request", d: func(d device.Decision) device.Decision { d.Prompt = "p2"; return d },
			tamper: func(d device.Decision) device.Decision { d.Prompt = "p1"; return d }, want: device.ErrSignature},
		{name: "tampered number", d: func(d device.Decision) device.Decision { d.Number = "41"; return d },
			tamper: func(d device.Decision) device.Decision { d.Number = "42"; return d }, want: device.ErrSignature},
		{name: "deny turned into approve", d: func(d device.Decision) device.Decision { d.Action, d.Number = device.ActionDeny, ""; return d },
			tamper: func(d device.Decision) device.Decision { d.Action, d.Number = device.ActionApprove, "42"; return d }, want: device.ErrSignature},
		{name: "version turned up", signer: "annaold", d: func(d device.Decision) device.Decision { d.Version, d.Device = 1, "annaold"; return d },
			tamper: func(d device.Decision) device.Decision { d.Version = 2; return d }, want: device.ErrSignature},
		{name: "no signature", tamper: func(d device.Decision) device.Decision { d.Signature = nil; return d }, want: device.ErrSignature},
		{name: "zero signature", tamper: func(d device.Decision) device.Decision { d.Signature = make([]byte, 64); return d }, want: device.ErrSignature},
		{name: "long signature", tamper: func(d device.Decision) device.Decision { d.Signature = append(d.Signature, 0); return d }, want: device.ErrSignature},
		{name: "unknown request", d: func(d device.Decision) device.Decision { d.Prompt = "p9"; return d }, want: push.ErrUnknownPrompt},
		{name: "unknown device", d: func(d device.Decision) device.Decision { d.Device = "anna9"; return d }, want: device.ErrNoDevice},
		{name: "old device", signer: "annaold", d: func(d device.Decision) device.Decision { d.Version, d.Device = 1, "annaold"; return d }, want: push.ErrTooOld},
		{name: "no number", d: func(d device.Decision) device.Decision { d.Number = ""; return d }, want: push.ErrNumberRequired},
		{name: "no digits", d: func(d device.Decision) device.Decision { d.Number = "4２"; return d }, want: device.ErrMalformed},
		{name: "no action", d: func(d device.Decision) device.Decision { d.Action = ""; return d }, want: device.ErrMalformed},
		{name: "unknown action", d: func(d device.Decision) device.Decision { d.Action = "APPROVE"; return d }, want: device.ErrMalformed},
		{name: "number with deny", d: func(d device.Decision) device.Decision { d.Action = device.ActionDeny; return d }, want: device.ErrMalformed},
		{name: "long id", d: func(d device.Decision) device.Decision { d.Prompt = strings.Repeat("p", 1000); return d }, want: device.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				ctx, cancel := context.WithCancel(t.Context())
				done := r.start(ctx, prompt("p1", "anna", "42"))
				other := r.start(ctx, prompt("p2", "anna", "42"))
				d := approve
				if c.d != nil {
					d = c.d(d)
				}
				key, user := r.keys["anna1"], "anna"
				if c.signer != "" {
					key = r.keys[c.signer]
				}
				if c.user != "" {
					user = c.user
				}
				d = signed(t, key, user, d)
				if c.tamper != nil {
					d = c.tamper(d)
				}
				if told, err := r.Decide(t.Context(), d); !errors.Is(err, c.want) || told != (device.DecisionResponse{}) {
					t.Errorf("got %+v, %v; want %v", told, err, c.want)
				}
				synctest.Wait()
				if n := len(r.Live(mfa.NameOf("anna"), 2).Prompts); n != 2 {
					t.Errorf("%d prompts live, want both", n)
				}
				cancel()
				for _, ch := range []<-chan error{done, other} {
					if err := <-ch; !errors.Is(err, context.Canceled) {
						t.Errorf("Push: got %v, want that it waited", err)
					}
				}
			})
		})
	}
}

func TestDecideVersion(t *testing.T) {
	r := newRig(t)
	var version *device.VersionError
	for _, v := range []int{-1, 0, device.MaxVersion + 1} {
		_, err := r.Decide(t.Context(), signed(t, r.keys["anna1"], "anna", device.Decision{Version: v, Device: "anna1", Prompt: "p1", Action: device.ActionDeny}))
		if !errors.As(err, &version) {
			t.Errorf("version %d: got %v", v, err)
		}
	}
}

// TestOldDeviceMayDeny: only an approval needs the number.
func TestOldDeviceMayDeny(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		done := r.start(t.Context(), prompt("p1", "anna", "42"))
		if refused := r.Live(mfa.NameOf("anna"), 1).Prompts[0].Refused; !strings.Contains(refused, "cannot match numbers") {
			t.Errorf("old device is told %q; want \"cannot match numbers\" in it", refused)
		}
		if refused := r.Live(mfa.NameOf("anna"), 2).Prompts[0].Refused; refused != "" {
			t.Errorf("new device is told: got %q; want no text", refused)
		}
		d := signed(t, r.keys["annaold"], "anna", device.Decision{Version: 1, Device: "annaold", Prompt: "p1", Action: device.ActionDeny})
		if told, err := r.Decide(t.Context(), d); told.Outcome != device.OutcomeDenied || err != nil {
			t.Errorf("got %+v, %v", told, err)
		}
		if err := <-done; !errors.Is(err, mfa.ErrRejected) {
			t.Errorf("Push: got %v; want mfa.ErrRejected", err)
		}
	})
}

func TestNumberOnPlainPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(t.Context(), prompt("p1", "anna", ""))
		d := signed(t, r.keys["anna1"], "anna", device.Decision{Version: 2, Device: "anna1", Prompt: "p1", Action: device.ActionApprove, Number: "42"})
		if _, err := r.Decide(t.Context(), d); !errors.Is(err, device.ErrMalformed) {
			t.Errorf("got %v", err)
		}
	})
}

func TestReplayAndSecondDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		done := r.start(t.Context(), prompt("p1", "anna", ""))
		first := signed(t, r.keys["anna1"], "anna", device.Decision{Version: 2, Device: "anna1", Prompt: "p1", Action: device.ActionApprove})
		if told, err := r.Decide(t.Context(), first); told.Outcome != device.OutcomeApproved || err != nil {
			t.Fatalf("got %+v, %v", told, err)
		}
		if err := <-done; err != nil {
			t.Fatalf("Push: got error %v; want none", err)
		}
		if _, err := r.Decide(t.Context(), first); !errors.Is(err, push.ErrDecided) {
			t.Errorf("replay: got %v", err)
		}
		second := signed(t, r.keys["anna2"], "anna", device.Decision{Version: 2, Device: "anna2", Prompt: "p1", Action: device.ActionDeny})
		if _, err := r.Decide(t.Context(), second); !errors.Is(err, push.ErrDecided) {
			t.Errorf("second device: got %v", err)
		}
		foreign := signed(t, r.keys["bob1"], "bob", device.Decision{Version: 2, Device: "bob1", Prompt: "p1", Action: device.ActionDeny})
		if _, err := r.Decide(t.Context(), foreign); !errors.Is(err, push.ErrNotYours) {
			t.Errorf("another user: got %v", err)
		}
		// The id of a login is never used again: an old decision must fit nothing.
		if _, err := r.Push(t.Context(), prompt("p1", "anna", "")); err == nil || errors.Is(err, mfa.ErrRejected) {
			t.Errorf("the same id again: got %v", err)
		}
	})
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		p := prompt("p1", "anna", "")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // longer than the prompt says: the prompt wins
		done := r.start(ctx, p)
		d := signed(t, r.keys["anna1"], "anna", device.Decision{Version: 2, Device: "anna1", Prompt: "p1", Action: device.ActionApprove})
		time.Sleep(55 * time.Second)
		if _, err := r.Decide(t.Context(), d); !errors.Is(err, push.ErrExpired) {
			t.Errorf("at its expiry: got %v", err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Push: got %v", err)
		}
		if _, err := r.Decide(t.Context(), d); !errors.Is(err, push.ErrExpired) {
			t.Errorf("after it: got %v", err)
		}
	})
}

func TestRemovedDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.start(t.Context(), prompt("p1", "anna", ""))
		d := signed(t, r.keys["anna1"], "anna", device.Decision{Version: 2, Device: "anna1", Prompt: "p1", Action: device.ActionApprove})
		r.store.Remove("anna1")
		if _, err := r.Decide(t.Context(), d); !errors.Is(err, device.ErrNoDevice) {
			t.Errorf("got %v", err)
		}
	})
}

// TestDevicesRace: of decisions at once one wins, and Push returns that one.
func TestDevicesRace(t *testing.T) {
	r := newRig(t)
	for i := range 50 {
		id := fmt.Sprint("race ", i)
		type pushed struct {
			approval mfa.Approval
			err      error
		}
		done := make(chan pushed, 1)
		go func() {
			a, err := r.Push(t.Context(), prompt(id, "anna", ""))
			done <- pushed{a, err}
		}()
		if err := await(t.Context(), r.Approver, id, true); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		won := make(chan string, 2)
		for from, action := range map[string]device.Action{"anna1": device.ActionApprove, "anna2": device.ActionDeny} {
			d := signed(t, r.keys[from], "anna", device.Decision{Version: 2, Device: from, Prompt: id, Action: action})
			wg.Go(func() {
				switch _, err := r.Decide(t.Context(), d); {
				case err == nil:
					won <- from
				case !errors.Is(err, push.ErrDecided):
					t.Errorf("%s: %v", from, err)
				}
			})
		}
		wg.Wait()
		got := <-done
		if len(won) != 1 {
			t.Fatalf("got %d decisions won; want 1", len(won))
		}
		winner := <-won
		if got.approval.DeviceID != winner || (got.err == nil) != (winner == "anna1") {
			t.Fatalf("%s won, but Push returned %+v, %v", winner, got.approval, got.err)
		}
	}
}

// TestDecisionAgainstEnd: what a device was told is what Push returns, when the
// prompt ends in the same moment.
func TestDecisionAgainstEnd(t *testing.T) {
	r := newRig(t)
	for i := range 200 {
		id := fmt.Sprint("end ", i)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := r.Push(ctx, prompt(id, "anna", ""))
			done <- err
		}()
		if err := await(t.Context(), r.Approver, id, true); err != nil {
			t.Fatal(err)
		}
		d := signed(t, r.keys["anna1"], "anna", device.Decision{Version: 2, Device: "anna1", Prompt: id, Action: device.ActionApprove})
		go cancel()
		_, told := r.Decide(t.Context(), d)
		got := <-done
		if (told == nil) != (got == nil) {
			t.Fatalf("device was told %v, Push returned %v", told, got)
		}
	}
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.MaxPrompts = 1
		ctx, cancel := context.WithCancel(t.Context())
		done := r.start(ctx, prompt("p1", "anna", ""))
		if _, err := r.Push(t.Context(), prompt("p2", "bob", "")); !errors.Is(err, push.ErrBusy) {
			t.Errorf("got %v", err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the live one: got %v; want context.Canceled", err)
		}
	})
}

type brokenStore struct{ device.Store }

func (brokenStore) Devices(context.Context, mfa.Name) ([]device.Device, error) {
	return nil, errors.New("disk on fire")
}

func TestStoreFails(t *testing.T) {
	a := &push.Approver{Store: brokenStore{}}
	if _, err := a.Push(t.Context(), prompt("p1", "anna", "")); err == nil || errors.Is(err, mfa.ErrRejected) {
		t.Errorf("got %v", err)
	}
}

func TestSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.Subscribe(mfa.NameOf("ANNA"), 2)
		other := r.Subscribe(mfa.NameOf("bob"), 2)
		if u := sub.Take(); len(u) != 1 || u[0].Sync == nil || len(u[0].Sync.Prompts) != 0 {
			t.Fatalf("first: got %+v; want 1 of them, Sync set, no Prompts", u)
		}
		other.Take()
		<-sub.Ready()
		<-other.Ready()

		p := prompt("p1", "anna", "42")
		p.Requests = []mfa.PromptRequest{{Client: "vpn", EndUser: "evil\x1b[31m\u202e"}}
		ctx, cancel := context.WithCancel(t.Context())
		done := r.start(ctx, p)
		<-sub.Ready()
		u := sub.Take()
		if len(u) != 1 || u[0].Prompt == nil || !u[0].Prompt.NumberRequired {
			t.Fatalf("push: got %+v; want 1 of them, Prompt set, NumberRequired true", u)
		}
		if got := u[0].Prompt.Requests[0].EndUser; got != "evil\ufffd[31m\ufffd" {
			t.Errorf("end user is shown as: got %q; want \"evil\ufffd[31m\ufffd\"", got)
		}
		if text, _ := json.Marshal(u); strings.Contains(string(text), "42") {
			t.Errorf("the number reaches the device: got %s; want no \"42\" in it", text)
		}

		p.Requests[0].EndUser = "the caller's again"
		if got := r.Live(mfa.NameOf("anna"), 2).Prompts[0].Requests[0].EndUser; !strings.HasPrefix(got, "evil") {
			t.Errorf("the prompt shows what the caller wrote after the call: got %q; want \"evil\" first", got)
		}

		joined := make([]mfa.PromptRequest, 25)
		r.Amend("p1", joined)
		joined[0].EndUser = "the caller's again"
		<-sub.Ready()
		if u := sub.Take(); len(u) != 1 || len(u[0].Prompt.Requests) != 20 || u[0].Prompt.More != 5 || u[0].Prompt.Requests[0].EndUser != "" {
			t.Fatalf("amend: got %+v; want 1 of them, 20 Requests, More 5, EndUser no text", u)
		}
		cancel()
		<-done
		<-sub.Ready()
		if u := sub.Take(); len(u) != 1 || u[0].Withdrawn == nil || *u[0].Withdrawn != (device.Withdrawn{ID: "p1", Reason: "ended"}) {
			t.Fatalf("end: %+v", u)
		}
		if u := other.Take(); len(u) != 0 {
			t.Errorf("bob is told %+v; want none", u)
		}

		ctx, cancel = context.WithCancel(t.Context())
		done = r.start(ctx, prompt("p2", "anna", ""))
		cancel()
		<-done
		if u := sub.Take(); len(u) != 1 || u[0].Withdrawn == nil {
			t.Errorf("a phone shows a prompt that is over: got %+v; want 1 of them, Withdrawn set", u)
		}
		sub.Close()
		sub.Close()
		other.Close()
	})
}

// TestSubscriptionOverflow: a device that does not read is told the whole list
// when it does, and has cost a bounded queue.
func TestSubscriptionOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		sub := r.Subscribe(mfa.NameOf("anna"), 2)
		defer sub.Close()
		sub.Take()
		ctx, cancel := context.WithCancel(t.Context())
		var all []<-chan error
		for i := range 30 {
			all = append(all, r.start(ctx, prompt(fmt.Sprint("p", i), "anna", "")))
		}
		if u := sub.Take(); len(u) != 1 || u[0].Sync == nil || len(u[0].Sync.Prompts) != 30 {
			t.Fatalf("got %d updates", len(u))
		}
		r.Amend("p7", nil)
		if u := sub.Take(); len(u) != 1 || u[0].Prompt == nil || u[0].Prompt.ID != "p7" {
			t.Errorf("after it: got %+v; want 1 of them, Prompt set, ID \"p7\"", u)
		}
		cancel()
		for _, done := range all {
			<-done
		}
	})
}

// TestWaitingIsCheap: 20,000 prompts wait in little memory.
func TestWaitingIsCheap(t *testing.T) {
	const n = 20_000
	per := holdPrompts(t, newRig(t), n, memory())
	t.Logf("%d bytes a prompt, goroutine included", per)
	if per > 8<<10 {
		t.Errorf("got %d bytes a prompt, want at most 8 KiB", per)
	}
}

func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// holdPrompts opens n prompts of n users and returns the bytes that each costs.
func holdPrompts(t testing.TB, r *rig, n int, before uint64) uint64 {
	r.Approver = &push.Approver{Store: everybody{r.store}}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := r.Push(ctx, prompt(fmt.Sprint("p", i), fmt.Sprint("user", i), "")); !errors.Is(err, context.Canceled) {
				t.Errorf("Push: got %v; want context.Canceled", err)
			}
		})
	}
	for i := range n {
		for len(r.Live(mfa.NameOf(fmt.Sprint("user", i)), 2).Prompts) == 0 {
			runtime.Gosched()
		}
	}
	after := memory()
	cancel()
	wg.Wait()
	return (after - before) / uint64(n)
}

// everybody has a device.
type everybody struct{ device.Store }

func (everybody) Devices(context.Context, mfa.Name) ([]device.Device, error) {
	return make([]device.Device, 1), nil
}

func BenchmarkWaitingPrompts(b *testing.B) {
	for b.Loop() {
		r := newRig(b)
		b.ReportMetric(float64(holdPrompts(b, r, 20_000, memory())), "B/prompt")
	}
}

func BenchmarkDecide(b *testing.B) {
	r := newRig(b)
	for i := 0; b.Loop(); i++ {
		id := fmt.Sprint("p", i)
		done := make(chan struct{})
		go func() {
			_, _ = r.Push(b.Context(), prompt(id, "anna", ""))
			close(done)
		}()
		if err := await(b.Context(), r.Approver, id, true); err != nil {
			b.Fatal(err)
		}
		d := signed(b, r.keys["anna1"], "anna", device.Decision{Version: 2, Device: "anna1", Prompt: id, Action: device.ActionApprove})
		if _, err := r.Decide(b.Context(), d); err != nil {
			b.Fatal(err)
		}
		<-done
	}
}
