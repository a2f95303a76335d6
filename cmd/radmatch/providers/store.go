package providers

import (
	"os"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/store/seal"
)

// StoreOptions are how a command opens the database of a configuration; a server adds what it
// is one by.
func StoreOptions(cfg *config.Config) store.Options {
	return store.Options{Dir: cfg.DataDir, Keys: sealKeys(cfg)}
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
