package serve

import (
	"context"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/accounting"
	"github.com/radmatch/radmatch/radius/wire"
)

// openAccounting says what becomes of Accounting-Requests, nil where none are
// taken. The key that signs the Class is that of the database: a session may
// outlive the program.
func openAccounting(ctx context.Context, cfg *config.Config, st *store.Store, log *zap.Logger) (*radius.Accounting, error) {
	if len(cfg.Listen.Accounting) == 0 {
		return nil, nil
	}
	key, err := st.ClassKey(ctx)
	if err != nil {
		return nil, err
	}
	a := &radius.Accounting{Recorder: st, ClassKey: key}
	if len(cfg.Accounting.Forward) == 0 {
		return a, nil
	}
	a.Forwarder = &accounting.Forwarder{Logger: log}
	for _, f := range cfg.Accounting.Forward {
		a.Forwarder.Servers = append(a.Forwarder.Servers, &accounting.Server{
			Name: f.Name, Addr: f.Address, Secret: wire.NewSecret([]byte(f.Secret[0])),
		})
	}
	return a, nil
}
