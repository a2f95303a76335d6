package check

import (
	"context"
	"fmt"
	"time"

	"github.com/radmatch/radmatch/cmd/radmatch/console"
	"github.com/radmatch/radmatch/config"
	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/mfa/text"
)

// How far the clock of a node may be off before check warns, and before the node is not ready.
const (
	oddOffset = 2 * time.Second
	maxOffset = 5 * time.Second
)

// storeName is what the database is called here. Its URL is not shown.
func storeName(cfg *config.Config) string {
	if cfg.Store.Postgres() {
		return "store on PostgreSQL"
	}
	return "store " + cfg.DataDir
}

// checkNodes compares this server with the others that share its database.
func (k *checker) checkNodes(ctx context.Context, cfg *config.Config, st *store.Store) error {
	if !cfg.Store.Postgres() {
		return nil
	}
	offset, err := st.ClockOffset(ctx)
	switch {
	case err != nil:
		return err
	case offset.Abs() > maxOffset:
		return console.WithHint("set it by NTP, here and there", fmt.Errorf("the clock of this machine is %s off that of the database: such a server accepts no login", offset.Round(time.Millisecond)))
	case offset.Abs() > oddOffset:
		k.find(foundWarning, "clock", fmt.Sprintf("is %s off that of the database", offset.Round(time.Millisecond)), "set it by NTP, here and there")
	}
	nodes, err := st.Nodes(ctx)
	for _, n := range nodes {
		if n.Live && n.Config != cfg.Fingerprint() {
			k.find(foundWarning, "node "+text.Printable(n.Name, 64), "runs with another configuration: users may get in there and not here, or the other way round",
				"copy the file, and reload there and here; radmatch nodes shows both")
		}
	}
	return err
}
