package serve

import (
	"context"
	"errors"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/login"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/otp"
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/wire"
)

// Inspection is what a command sees of a server that has just started: it decides as
// that one would, and serves no client.
type Inspection struct {
	Engine     *login.Engine
	Dictionary *wire.Dictionary

	cfg       *config.Config
	primaries providers.Primaries
	pushers   map[string]mfa.Pusher
}

// Inspect opens what the configuration names, with the users of a database. The
// caller closes it.
func Inspect(ctx context.Context, cfg *config.Config, st *store.Store) (*Inspection, error) {
	p, err := providers.CommandParts(cfg)
	if err != nil {
		return nil, &console.ExitError{Code: console.ExitConfig, Err: err, Hint: "radmatch check"}
	}
	p.Approver = &push.Approver{Store: st}
	x := &Inspection{cfg: cfg, Dictionary: p.Dictionary}
	if x.primaries, err = providers.OpenPrimaries(cfg, p); err != nil {
		return nil, &console.ExitError{Code: console.ExitConfig, Err: err, Hint: "radmatch check --connect"}
	}
	if x.pushers, err = providers.OpenPushers(cfg, p); err != nil {
		return nil, &console.ExitError{Code: console.ExitConfig, Err: errors.Join(err, x.Close()), Hint: "radmatch check --connect"}
	}
	l := &lasting{Parts: p, pending: &login.Pending{}, limits: &login.Limits{}, directory: st, codes: &otp.Verifier{Store: st}}
	if l.bypasses, err = bypassesInForce(ctx, st); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	x.Engine = newEngine(cfg, l)
	if err := RestoreLimits(ctx, st, cfg, l.limits); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

// Client is a client of the configuration as it would be served.
func (x *Inspection) Client(c *config.Client) (radius.Client, error) {
	return newClient(x.cfg, c, x.Dictionary, x.primaries, x.pushers)
}

// Close lets go of the primaries.
func (x *Inspection) Close() error { return x.primaries.Close() }

// fixedBypasses are those that were in force when a command began.
type fixedBypasses []mfa.Bypass

func (list fixedBypasses) Bypasses() []mfa.Bypass { return list }

func bypassesInForce(ctx context.Context, st *store.Store) (list fixedBypasses, err error) {
	stored, left, err := st.StoredBypasses(ctx)
	for i, b := range stored {
		if left[i] > 0 {
			list = append(list, b)
		}
	}
	return list, err
}
