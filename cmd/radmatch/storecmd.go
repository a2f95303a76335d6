package main

import (
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/admin"
	"github.com/radmatch/radmatch/mfa/store"
)

// openStore opens the database for a command, beside a running server or
// without one. The caller closes it.
func (a *app) openStore(ctx context.Context, cfg *config.Config) (*store.Store, error) {
	if err := a.becomeOwner(cfg.DataDir, false); err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, store.Options{Dir: cfg.DataDir})
	if errors.Is(err, os.ErrPermission) {
		return nil, withHint("run it as the user that radmatch serve runs as", err)
	}
	return st, damageHint(err)
}

// hasDatabase reports whether there is one. Opening it would make it, and as root
// keep the server out.
func hasDatabase(cfg *config.Config) bool {
	_, err := os.Stat(filepath.Join(cfg.DataDir, "radmatch.db"))
	return err == nil
}

// openConfigured reads the configuration and opens its database for a command.
// The caller closes it.
func (a *app) openConfigured(ctx context.Context) (*config.Config, *store.Store, error) {
	cfg, err := a.loadForCommand()
	if err != nil {
		return nil, nil, err
	}
	st, err := a.openStore(ctx, cfg)
	return cfg, st, err
}

// withStore calls f with the database of the configuration, of which it reads
// nothing else.
func (a *app) withStore(ctx context.Context, f func(*store.Store) error) error {
	dir, err := config.DataDir(a.configFile)
	if err != nil {
		return a.explainConfig(err)
	}
	st, err := a.openStore(ctx, &config.Config{File: a.configFile, DataDir: dir})
	if err != nil {
		return err
	}
	defer st.Close()
	return f(st)
}

// operations are what an operator may do with a database.
func operations(st *store.Store) *admin.Admin { return &admin.Admin{Store: st} }

// actor is who types the command.
func actor() admin.Actor { return admin.Actor{Name: operator(), Via: admin.CLI} }

// operator names the operating-system user, and behind sudo also the one who
// typed the command.
func operator() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if by := os.Getenv("SUDO_USER"); by != "" && by != name {
		name += " (sudo by " + by + ")"
	}
	return name
}

// flagged names the flags of a value that an operation does not take.
func flagged(err error) error {
	var e *admin.Invalid
	if !errors.As(err, &e) {
		return err
	}
	flags := strings.NewReplacer(" and ", " and --", " or ", " or --").Replace(e.Field)
	return &admin.Invalid{Field: "--" + flags, Rule: e.Rule}
}
