package providers

import (
	"os"
	"runtime/debug"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/seal"
)

// StoreOptions are how a command opens the database of a configuration; a server adds what it
// is one by.
func StoreOptions(cfg *config.Config) store.Options {
	opt := store.Options{Dir: cfg.DataDir, Keys: sealKeys(cfg)}
	if s := cfg.Store; s.Postgres() {
		opt.URL, opt.PasswordFile, opt.Standby, opt.Node, opt.Program = s.URL, s.PasswordFile, s.Standby, NodeName(cfg), Program()
	}
	return opt
}

// NodeName is what this server is called among those that share its database.
func NodeName(cfg *config.Config) string {
	if cfg.Node != "" {
		return cfg.Node
	}
	name, err := os.Hostname()
	if err != nil {
		return "unnamed"
	}
	return name
}

// sealKeys are where the configuration has the sealing keys; nil: in data_dir.
func sealKeys(cfg *config.Config) *seal.Keys {
	switch s := cfg.Seal; {
	case s.KeyEnv != "":
		return seal.KeysIn(s.KeyEnv, os.Getenv(s.KeyEnv))
	case s.KeyFile != "":
		return seal.KeysAt(s.KeyFile)
	}
	return nil
}

// Program is the version of this program.
func Program() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
