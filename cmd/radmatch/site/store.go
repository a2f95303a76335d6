package site

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/cmd/radmatch/providers"
	"github.com/radmatch/radmatch/cmd/radmatch/serve"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store"
)

// OpenStore opens the database for a command, beside a running server or
// without one. The caller closes it.
func (s *Site) OpenStore(ctx context.Context, cfg *config.Config) (*store.Store, error) {
	if err := s.BecomeOwner(cfg.DataDir); err != nil {
		return nil, err
	}
	opt := providers.StoreOptions(cfg)
	opt.Say = s.Say
	st, err := store.Open(ctx, opt)
	if errors.Is(err, os.ErrPermission) {
		return nil, console.WithHint("run it as the user that radmatch serve runs as", err)
	}
	return st, serve.DamageHint(err)
}

// HasDatabase reports whether there is one. Opening it would make it, and as root
// keep the server out.
func HasDatabase(cfg *config.Config) bool {
	if cfg.Store.Postgres() {
		return true
	}
	_, err := os.Stat(filepath.Join(cfg.DataDir, "radmatch.db"))
	return err == nil
}

// OpenConfigured reads the configuration and opens its database for a command.
// The caller closes it.
func (s *Site) OpenConfigured(ctx context.Context) (*config.Config, *store.Store, error) {
	cfg, err := s.LoadForCommand()
	if err != nil {
		return nil, nil, err
	}
	st, err := s.OpenStore(ctx, cfg)
	return cfg, st, err
}

// OpenDatabase is OpenConfigured for a command that needs nothing of the configuration
// but the keys of its database: the rest of it may be broken.
func (s *Site) OpenDatabase(ctx context.Context) (*config.Config, *store.Store, error) {
	cfg, err := config.LoadStore(s.ConfigFile)
	if err != nil {
		return nil, nil, s.ExplainConfig(err)
	}
	st, err := s.OpenStore(ctx, cfg)
	return cfg, st, err
}

// WithStore calls f with the database that OpenDatabase opens.
func (s *Site) WithStore(ctx context.Context, f func(*store.Store) error) error {
	_, st, err := s.OpenDatabase(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	return f(st)
}
