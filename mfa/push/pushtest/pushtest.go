// Package pushtest is the suite that every push provider passes: the contract of
// mfa.Pusher, and of the mfa.PushAbilities that a provider
// one, line by line. It also has a device.Store in memory for tests.
package pushtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Answer is what the user does with a prompt.
type Answer int

// The answers.
const (
	Approve Answer = iota
	Deny
	NotMe
)

// Rig is a provider under test, and the hands of the user who has the device.
// Its functions may be called concurrently and give up when ctx ends.
type Rig struct {
	Pusher  mfa.Pusher
	User    string // who has a device
	Nobody  string // who has none
	Shown   func(ctx context.Context, promptID string) error
	Gone    func(ctx context.Context, promptID string) error // after it was shown
	Respond func(ctx context.Context, promptID string, a Answer, number string) error
}

// Run runs the suite. start makes a new rig, with no prompt in it.
func Run(t *testing.T, start func(t *testing.T) Rig) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Rig)
	}{
		{"answers", answers},
		{"numbers", numbers},
		{"context ends", contextEnds},
		{"context has ended", contextHasEnded},
		{"no device", noDevice},
		{"late answer", lateAnswer},
		{"prompts apart", promptsApart},
		{"abilities", abilities},
		{"amend", amend},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, start(t)) })
	}
}

// result is what Push returned.
type result struct {
	approval mfa.Approval
	err      error
}

// waiting is longer than any provider under test needs.
func waiting(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (r Rig) prompt(id, number string) mfa.Prompt {
	now := time.Now()
	return mfa.Prompt{ID: id, User: mfa.NameOf(r.User), Client: "vpn", Number: number, Started: now,
		Expires: now.Add(time.Minute), Requests: []mfa.PromptRequest{{Time: now, Client: "vpn", EndUser: "198.51.100.7"}}}
}

// push starts a prompt and returns when the device shows it.
func (r Rig) push(t *testing.T, ctx context.Context, p mfa.Prompt) <-chan result {
	t.Helper()
	done := make(chan result, 1)
	go func() {
		a, err := r.Pusher.Push(ctx, p)
		done <- result{a, err}
	}()
	if err := r.Shown(waiting(t), p.ID); err != nil {
		t.Fatalf("prompt not shown: got error %v; want none", err)
	}
	return done
}

func take(t *testing.T, done <-chan result) result {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-waiting(t).Done():
		t.Fatal("got no return of Push; want one after the end of its context")
		return result{}
	}
}

func answers(t *testing.T, r Rig) {
	for _, c := range []struct {
		name   string
		answer Answer
		is     []error
		isNot  []error
	}{
		{"approve", Approve, []error{nil}, nil},
		{"deny", Deny, []error{mfa.ErrRejected}, []error{mfa.ErrNotMe, mfa.ErrWrongNumber}},
		{"not me", NotMe, []error{mfa.ErrRejected, mfa.ErrNotMe}, []error{mfa.ErrWrongNumber}},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := "prompt " + c.name
			done := r.push(t, waiting(t), r.prompt(id, ""))
			if err := r.Respond(waiting(t), id, c.answer, ""); err != nil {
				t.Fatal(err)
			}
			got := take(t, done)
			check(t, got.err, c.is, c.isNot)
			if got.approval.Device == "" {
				t.Error("the Approval does not tell who decided")
			}
			if err := r.Gone(waiting(t), id); err != nil {
				t.Errorf("prompt still shown: got error %v; want none", err)
			}
		})
	}
}

func numbers(t *testing.T, r Rig) {
	if !r.Pusher.Abilities().ChecksNumbers {
		t.Skip("it checks no numbers")
	}
	for _, c := range []struct {
		name   string
		answer Answer
		typed  string
		is     []error
		isNot  []error
	}{
		{"right", Approve, "42", []error{nil}, nil},
		{"wrong", Approve, "24", []error{mfa.ErrRejected, mfa.ErrWrongNumber}, []error{mfa.ErrNotMe}},
		{"longer", Approve, "421", []error{mfa.ErrRejected, mfa.ErrWrongNumber}, nil},
		{"shorter", Approve, "4", []error{mfa.ErrRejected, mfa.ErrWrongNumber}, nil},
		{"deny", Deny, "", []error{mfa.ErrRejected}, []error{mfa.ErrWrongNumber}},
		{"not me", NotMe, "", []error{mfa.ErrRejected, mfa.ErrNotMe}, []error{mfa.ErrWrongNumber}},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := "number " + c.name
			done := r.push(t, waiting(t), r.prompt(id, "42"))
			if err := r.Respond(waiting(t), id, c.answer, c.typed); err != nil {
				t.Fatal(err)
			}
			check(t, take(t, done).err, c.is, c.isNot)
		})
	}
	t.Run("none", func(t *testing.T) {
		ctx, cancel := context.WithCancel(waiting(t))
		done := r.push(t, ctx, r.prompt("number none", "42"))
		_ = r.Respond(waiting(t), "number none", Approve, "") // refused, or a denial: never an approval
		cancel()
		if got := take(t, done); got.err == nil {
			t.Error("got an approval without the number; want a rejection")
		}
	})
}

func contextEnds(t *testing.T, r Rig) {
	ctx, cancel := context.WithCancel(waiting(t))
	done := r.push(t, ctx, r.prompt("ends", ""))
	cancel()
	check(t, take(t, done).err, []error{context.Canceled}, []error{mfa.ErrRejected})
	if err := r.Gone(waiting(t), "ends"); err != nil {
		t.Errorf("prompt still shown: got error %v; want none", err)
	}

	ctx, cancel = context.WithDeadline(waiting(t), time.Now().Add(50*time.Millisecond))
	defer cancel()
	_, err := r.Pusher.Push(ctx, r.prompt("deadline", ""))
	check(t, err, []error{context.DeadlineExceeded}, []error{mfa.ErrRejected})
}

func contextHasEnded(t *testing.T, r Rig) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.Pusher.Push(ctx, r.prompt("over", ""))
	check(t, err, []error{context.Canceled}, []error{mfa.ErrRejected})
}

func noDevice(t *testing.T, r Rig) {
	p := r.prompt("nobody", "")
	p.User = mfa.NameOf(r.Nobody)
	ctx := waiting(t)
	_, err := r.Pusher.Push(ctx, p)
	if err == nil || ctx.Err() != nil {
		t.Fatalf("got %v, want an error at once", err)
	}
	check(t, err, nil, []error{mfa.ErrRejected})
}

// lateAnswer: an answer to a prompt that is over counts for no other.
func lateAnswer(t *testing.T, r Rig) {
	ctx, cancel := context.WithCancel(waiting(t))
	first := r.push(t, ctx, r.prompt("late 1", ""))
	cancel()
	take(t, first)
	ctx, cancel = context.WithCancel(waiting(t))
	second := r.push(t, ctx, r.prompt("late 2", ""))
	if err := r.Respond(waiting(t), "late 1", Approve, ""); err == nil {
		t.Error("an answer to a prompt that is over was taken: got no error; want one")
	}
	cancel()
	check(t, take(t, second).err, []error{context.Canceled}, nil)
}

// promptsApart: each of many prompts at once gets its own answer.
func promptsApart(t *testing.T, r Rig) {
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			id, answer, want := fmt.Sprint("apart ", i), Approve, error(nil)
			if i%2 == 1 {
				answer, want = Deny, mfa.ErrRejected
			}
			responded := make(chan error, 1)
			go func() {
				err := r.Shown(waiting(t), id)
				if err == nil {
					err = r.Respond(waiting(t), id, answer, "")
				}
				responded <- err
			}()
			_, err := r.Pusher.Push(waiting(t), r.prompt(id, ""))
			if !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", id, err, want)
			}
			if err := <-responded; err != nil {
				t.Errorf("%s: got error %v; want none", id, err)
			}
		})
	}
	wg.Wait()
}

// abilities checks that the provider tells what it has, and has what it tells.
func abilities(t *testing.T, r Rig) {
	can := r.Pusher.Abilities()
	if _, is := r.Pusher.(mfa.PromptAmender); is != (can.Amender != nil) {
		t.Errorf("PromptAmender: it tells %t, and is one: %t", can.Amender != nil, is)
	}
	if can.TypesNumbers && !can.ChecksNumbers {
		t.Error("a number is typed, and not checked")
	}
}

func amend(t *testing.T, r Rig) {
	a := r.Pusher.Abilities().Amender
	if a == nil {
		t.Skip("no PromptAmender")
	}
	p := r.prompt("amend", "")
	done := r.push(t, waiting(t), p)
	requests := append(p.Requests, mfa.PromptRequest{Time: time.Now(), Client: "vpn", EndUser: "198.51.100.7"})
	a.Amend(p.ID, requests)
	requests[0].Client = "the caller's again"
	if err := r.Respond(waiting(t), p.ID, Approve, ""); err != nil {
		t.Fatal(err)
	}
	check(t, take(t, done).err, []error{nil}, nil)
	a.Amend(p.ID, requests) // over
	a.Amend("unknown", requests)
}

func check(t *testing.T, err error, is, isNot []error) {
	t.Helper()
	for _, want := range is {
		if !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	for _, other := range isNot {
		if errors.Is(err, other) {
			t.Errorf("got %v, which must not be %v", err, other)
		}
	}
}
