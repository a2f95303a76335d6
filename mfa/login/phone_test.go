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
	prompts []*shownPrompt
	amended map[string][]mfa.PromptRequest
	fail    func() error
}

// shownPrompt is one prompt on the phone.
type shownPrompt struct {
	mfa.Prompt
	ctx    context.Context
	decide chan error
}

func (f *phone) Abilities() mfa.PushAbilities {
	return mfa.PushAbilities{Amender: f, ChecksNumbers: true, TypesNumbers: true, ShowsCodes: true}
}

func (f *phone) Push(ctx context.Context, p mfa.Prompt) (mfa.Approval, error) {
	g := &shownPrompt{Prompt: p, ctx: ctx, decide: make(chan error, 1)}
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

func (f *phone) all() []*shownPrompt {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.prompts)
}

// prompted ends the test unless the phone has shown n prompts, and returns the last.
func (r *rig) prompted(n int) *shownPrompt {
	r.t.Helper()
	all := r.phone.all()
	if len(all) != n {
		r.t.Fatalf("got %d prompts on the phone; want %d", len(all), n)
	}
	if n == 0 {
		return nil
	}
	return all[n-1]
}

// decides lets the device answer and everything that follows happen.
func (g *shownPrompt) decides(err error) {
	g.decide <- err
	synctest.Wait()
}

func (g *shownPrompt) withdrawn() bool { return g.ctx.Err() != nil }

var errNotMe = errors.Join(mfa.ErrRejected, mfa.ErrNotMe)
var errNumber = errors.Join(mfa.ErrRejected, mfa.ErrWrongNumber)
