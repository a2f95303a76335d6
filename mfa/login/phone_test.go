package login

import (
	"context"
	"errors"
	"github.com/radmatch/radmatch/mfa"
	"slices"
	"sync"
	"testing/synctest"
)

// phone is a push provider whose device a test holds in its hand.
type phone struct {
	mu      sync.Mutex
	prompts []*ring
	amended map[string][]mfa.PromptRequest
	fail    func() error
}

// ring is one prompt on the phone.
type ring struct {
	mfa.Prompt
	ctx    context.Context
	decide chan error
}

func (f *phone) Abilities() mfa.PushAbilities {
	return mfa.PushAbilities{Amender: f, ChecksNumbers: true, TypesNumbers: true, ShowsCodes: true}
}

func (f *phone) Push(ctx context.Context, p mfa.Prompt) (mfa.Approval, error) {
	g := &ring{Prompt: p, ctx: ctx, decide: make(chan error, 1)}
	f.mu.Lock()
	f.prompts = append(f.prompts, g)
	fail := f.fail
	f.mu.Unlock()
	if fail != nil {
		if err := fail(); err != nil {
			return mfa.Approval{}, err
		}
	}
	select {
	case err := <-g.decide:
		return mfa.Approval{Device: "pixel", DeviceID: "d1", Signature: []byte("sig")}, err
	case <-ctx.Done():
		return mfa.Approval{}, ctx.Err()
	}
}

func (f *phone) Amend(id string, requests []mfa.PromptRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.amended == nil {
		f.amended = make(map[string][]mfa.PromptRequest)
	}
	f.amended[id] = requests
}

func (f *phone) all() []*ring {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.prompts)
}

// rings ends the test unless the phone has rung n times, and returns the last prompt.
func (r *rig) prompted(n int) *ring {
	r.t.Helper()
	all := r.phone.all()
	if len(all) != n {
		r.t.Fatalf("the phone rang %d times, want %d", len(all), n)
	}
	if n == 0 {
		return nil
	}
	return all[n-1]
}

// decides lets the device answer and everything that follows happen.
func (g *ring) decides(err error) {
	g.decide <- err
	synctest.Wait()
}

func (g *ring) withdrawn() bool { return g.ctx.Err() != nil }

var errNotMe = errors.Join(mfa.ErrRejected, mfa.ErrNotMe)
var errNumber = errors.Join(mfa.ErrRejected, mfa.ErrWrongNumber)
