package check

import (
	"context"
	"errors"
	"os"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/serve"
	"github.com/radmatch/radmatch/cmd/radmatch/site"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/password"
)

// checker is one run of check.
type checker struct {
	console.Streams
	*site.Site
	json bool
}

// Run says everything that is wrong or unwise in the configuration of a site. With
// connect it also tries what that names. The error has exit code 3 where it cannot be
// served, and no text: what it is has been said.
func Run(ctx context.Context, s console.Streams, at *site.Site, connect, asJSON bool) error {
	return (&checker{s, at, asJSON}).check(ctx, connect)
}

func (k *checker) check(ctx context.Context, connect bool) error {
	cfg, err := site.ReadConfig(k.ConfigFile)
	if problems := (config.Problems)(nil); errors.As(err, &problems) {
		k.findProblems(problems)
		return &console.ExitError{Code: console.ExitConfig}
	} else if err != nil {
		k.findError(err, "")
		return &console.ExitError{Code: console.ExitConfig}
	}
	// What serve would do, and can read and listen on from then on.
	if err := k.BecomeOwner(cfg.DataDir); err != nil {
		k.findError(serve.DataDirError(cfg, err), "")
		return &console.ExitError{Code: console.ExitConfig}
	}
	k.findProblems(cfg.Warnings)
	k.warnUsers(cfg)
	unread := k.checkBypasses(ctx, cfg)
	if err := k.checkClients(cfg); err != nil {
		return err
	}
	if err := k.checkAttributes(cfg); err != nil {
		return err
	}
	if err := k.checkWeb(cfg); err != nil {
		return err
	}
	k.warnNASTimeouts(cfg)
	k.warnUnsureNames(cfg)
	k.warnReplies(cfg)
	if err := k.checkPages(cfg); err != nil {
		return err
	}
	k.noteOwner(cfg)
	if connect {
		return k.checkConnect(ctx, cfg)
	}
	if err := errors.Join(serve.Servable(cfg), unread); err != nil {
		k.findError(err, "")
		return &console.ExitError{Code: console.ExitConfig}
	}
	k.find(foundOK, "", cfg.File+" can be served; --connect also tries what it names", "")
	return nil
}

// warnUsers warns of users files that everyone can read: an {NT} hash is as
// good as the password.
func (k *checker) warnUsers(cfg *config.Config) {
	for _, p := range cfg.Primaries {
		s, ok := p.Settings.(*password.FileSettings)
		if !ok {
			continue
		}
		file := cfg.Resolve(s.Path)
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
			k.find(foundWarning, file, "everyone on this machine can read the hashes in it: chmod 640 "+file, "")
		}
	}
}
