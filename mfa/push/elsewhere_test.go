package push_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/device"
	"github.com/radmatch/radmatch/mfa/push"
)

// A prompt that another node shows is brought here when a device decides it, asks for what
// is live, or connects; and only the prompts of its own user are.
func TestElsewhere(t *testing.T) {
	decision := func(id string) device.Decision {
		return device.Decision{Version: 2, Device: "anna1", Prompt: id, Action: device.ActionApprove}
	}
	for name, tt := range map[string]struct {
		brings string
		act    func(r *rig) error
		want   error
		shown  bool
	}{
		"decided": {"p1", func(r *rig) error {
			_, err := r.Decide(context.Background(), signed(t, r.keys["anna1"], "anna", decision("p1")))
			return err
		}, nil, false},
		"another one is decided": {"p1", func(r *rig) error {
			_, err := r.Decide(context.Background(), signed(t, r.keys["anna1"], "anna", decision("p2")))
			return err
		}, push.ErrUnknownPrompt, true},
		"there is none": {"", func(r *rig) error {
			_, err := r.Decide(context.Background(), signed(t, r.keys["anna1"], "anna", decision("p1")))
			return err
		}, push.ErrUnknownPrompt, false},
		"listed": {"p1", func(r *rig) error {
			if n := len(r.Live(mfa.NameOf("anna"), 2).Prompts); n != 1 {
				return errors.New("not in the list")
			}
			return nil
		}, nil, true},
		"connected": {"p1", func(r *rig) error {
			s := r.Subscribe(mfa.NameOf("anna"), 2)
			defer s.Close()
			time.Sleep(100 * time.Millisecond)
			<-s.Ready()
			if u := s.Take(); len(u) == 0 || u[0].Sync == nil || len(u[0].Sync.Prompts) != 1 {
				return errors.New("not told")
			}
			return nil
		}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				left := tt.brings
				r.Elsewhere = func(user mfa.Name) string {
					id := left
					left = ""
					if id != "" && user.Is(mfa.NameOf("anna")) {
						go func() {
							time.Sleep(50 * time.Millisecond) // it reads the log first
							r.Push(ctx, prompt(id, "anna", ""))
						}()
					}
					return id
				}
				if err := tt.act(r); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				time.Sleep(time.Second)
				if n := len(r.Live(mfa.NameOf("anna"), 2).Prompts); (n == 1) != tt.shown {
					t.Errorf("%d prompts are live, want one: %v", n, tt.shown)
				}
				cancel()
				synctest.Wait()
			})
		})
	}
}
