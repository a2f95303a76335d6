package check

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/cmd/radmatch/serve"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/push"
	"github.com/radmatch/radmatch/mfa/text"
)

// checkConnect tries what the configuration names, all of it.
func (k *checker) checkConnect(ctx context.Context, cfg *config.Config) error {
	failed := false
	report := func(what string, err error, ok string) {
		if err != nil {
			failed = true
			k.explainFailure(err)
			return
		}
		k.find(foundOK, what, ok, "")
	}
	p, err := providers.CommandParts(cfg)
	if err != nil {
		return err
	}
	p.Approver = &push.Approver{}
	built := providers.Primaries{}
	defer built.Close()
	state, broken := k.checkStore(ctx, cfg)
	report(storeName(cfg), broken, state)
	for _, e := range cfg.Primaries {
		state, err := checkPrimary(ctx, cfg, p, built, e)
		report("primary "+e.Name, err, state)
	}
	for _, e := range cfg.Push {
		state, err := checkPusher(ctx, cfg, p, e)
		report("push "+e.Name, err, state)
	}
	if broken == nil {
		if err := k.checkNames(ctx, cfg); err != nil {
			report("names", err, "")
		}
	}
	if err := k.checkGroups(ctx, cfg); err != nil {
		report("groups", err, "")
	}
	k.checkPublic(ctx, cfg)
	failed = k.checkListen(ctx, cfg) || failed
	if !failed {
		report(cfg.File, serve.Servable(cfg), "can be served")
	}
	if failed {
		return &console.ExitError{Code: console.ExitConfig}
	}
	return nil
}

// checkPrimary builds a primary and lets it try its servers.
func checkPrimary(ctx context.Context, cfg *config.Config, p providers.Parts, built providers.Primaries, e config.Provider) (state string, err error) {
	primary, err := providers.OpenPrimary(cfg, p, built, e)
	if err != nil {
		return "", err
	}
	if users, ok := primary.(interface{ Len() int }); ok {
		return fmt.Sprintf("%d users", users.Len()), nil
	}
	return tryConnect(ctx, e, primary, "every server answers")
}

// checkPusher builds a push provider and lets it try its server.
func checkPusher(ctx context.Context, cfg *config.Config, p providers.Parts, e config.Provider) (state string, err error) {
	pusher, err := providers.OpenPusher(cfg, p, e)
	if err != nil {
		return "", err
	}
	return tryConnect(ctx, e, pusher, "its server answers")
}

// tryConnect lets a provider that has a server try it.
func tryConnect(ctx context.Context, e config.Provider, p any, good string) (state string, err error) {
	connector, ok := p.(mfa.Connector)
	if !ok {
		return "ok", nil
	}
	ctx, cancel := context.WithTimeout(ctx, providers.ConnectTime)
	defer cancel()
	if err := connector.Connect(ctx); err != nil {
		return "", &unreachable{where: e.Where, err: err}
	}
	return good, nil
}

// unreachable is what Connect returned, with the entry of the configuration.
type unreachable struct {
	where string
	err   error
}

func (e *unreachable) Error() string { return e.where + ": " + e.err.Error() }

// explainFailure prints an error, those of several servers one a line, each with
// what to do about it.
func (k *checker) explainFailure(err error) {
	u, ok := err.(*unreachable)
	if !ok {
		hint := ""
		if e := (*console.ExitError)(nil); errors.As(err, &e) {
			hint = e.Hint
		}
		k.findError(err, hint)
		return
	}
	for _, err := range providers.SplitErrors(u.err) {
		k.find(foundError, u.where, text.Printable(err.Error(), 500), providers.HintOf(err)) // a server may have worded it
	}
}

// checkStore opens the database. It does not make one: a folder made by root
// would keep the server out.
func (k *checker) checkStore(ctx context.Context, cfg *config.Config) (state string, err error) {
	if err := serve.TryDataDir(cfg); err != nil {
		return "", err
	}
	if _, err := os.Stat(cfg.DataDir); errors.Is(err, os.ErrNotExist) && !cfg.Store.Postgres() {
		return "is not there yet; the first start makes it", nil
	}
	st, err := k.OpenStore(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer st.Close()
	if err := st.Verify(ctx); err != nil {
		return "", serve.DamageHint(err)
	}
	if err := k.checkNodes(ctx, cfg, st); err != nil {
		return "", err
	}
	users, err := st.Users(ctx)
	if err != nil {
		return "", err
	}
	devices, err := st.ListDevices(ctx, mfa.Name{})
	if err != nil {
		return "", err
	}
	if err := k.checkWebPush(ctx, cfg, devices); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d users with a second factor, %d devices", len(users), len(devices)), nil
}
