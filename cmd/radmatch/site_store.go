package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store"
)

// openStore opens the database for a command, beside a running server or
// without one. The caller closes it.
func (s *site) openStore(ctx context.Context, cfg *config.Config) (*store.Store, error) {
	if err := s.becomeOwner(cfg.DataDir); err != nil {
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
func (s *site) openConfigured(ctx context.Context) (*config.Config, *store.Store, error) {
	cfg, err := s.loadForCommand()
	if err != nil {
		return nil, nil, err
	}
	st, err := s.openStore(ctx, cfg)
	return cfg, st, err
}

// withStore calls f with the database of the configuration, of which it reads
// nothing else.
func (s *site) withStore(ctx context.Context, f func(*store.Store) error) error {
	dir, err := config.DataDir(s.configFile)
	if err != nil {
		return s.explainConfig(err)
	}
	st, err := s.openStore(ctx, &config.Config{File: s.configFile, DataDir: dir})
	if err != nil {
		return err
	}
	defer st.Close()
	return f(st)
}
