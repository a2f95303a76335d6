package main

import (
	"context"
	"errors"
	"os"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/password"
)

// checker is one run of check.
type checker struct {
	streams
	*site
	json bool
}

// runCheck says everything that is wrong or unwise in the configuration of a site. With
// connect it also tries what that names. The error has exit code 3 where it cannot be
// served, and no text: what it is has been said.
func runCheck(ctx context.Context, s streams, at *site, connect, asJSON bool) error {
	return (&checker{s, at, asJSON}).check(ctx, connect)
}

func (k *checker) check(ctx context.Context, connect bool) error {
	cfg, err := readConfig(k.configFile)
	if problems := (config.Problems)(nil); errors.As(err, &problems) {
		k.findProblems(problems)
		return &exitError{code: exitConfig}
	} else if err != nil {
		k.findError(err, "")
		return &exitError{code: exitConfig}
	}
	// What serve would do, and can read and listen on from then on.
	if err := k.becomeOwner(cfg.DataDir); err != nil {
		k.findError(dataDirError(cfg, err), "")
		return &exitError{code: exitConfig}
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
	if err := errors.Join(servable(cfg), unread); err != nil {
		k.findError(err, "")
		return &exitError{code: exitConfig}
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
