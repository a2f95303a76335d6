package main

import (
	"context"
	"errors"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/login"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/otp"
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/wire"
)

// inspection is what a command sees of a server that has just started: it decides as
// that one would, and serves no client.
type inspection struct {
	engine     *login.Engine
	dictionary *wire.Dictionary

	cfg       *config.Config
	primaries primaries
	pushers   map[string]mfa.Pusher
}

// inspect opens what the configuration names, with the users of a database. The
// caller closes it.
func inspect(ctx context.Context, cfg *config.Config, st *store.Store) (*inspection, error) {
	p, err := commandParts(cfg)
	if err != nil {
		return nil, &exitError{code: exitConfig, err: err, hint: "radmatch check"}
	}
	p.approver = &push.Approver{Store: st}
	x := &inspection{cfg: cfg, dictionary: p.dictionary}
	if x.primaries, err = openPrimaries(cfg, p); err != nil {
		return nil, &exitError{code: exitConfig, err: err, hint: "radmatch check --connect"}
	}
	if x.pushers, err = openPushers(cfg, p); err != nil {
		return nil, &exitError{code: exitConfig, err: errors.Join(err, x.Close()), hint: "radmatch check --connect"}
	}
	l := &lasting{parts: p, pending: &login.Pending{}, limits: &login.Limits{}, directory: st, codes: &otp.Verifier{Store: st}}
	if l.bypasses, err = bypassesInForce(ctx, st); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	x.engine = newEngine(cfg, l)
	if err := restoreLimits(ctx, st, cfg, l.limits); err != nil {
		return nil, errors.Join(err, x.Close())
	}
	return x, nil
}

// client is a client of the configuration as it would be served.
func (x *inspection) client(c *config.Client) (radius.Client, error) {
	return newClient(x.cfg, c, x.dictionary, x.primaries, x.pushers)
}

// Close lets go of the primaries.
func (x *inspection) Close() error { return x.primaries.Close() }

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
