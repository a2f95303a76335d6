package serve

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa/store"
	"github.com/radmatch/radmatch/radius"
)

// statsEvery is how often `radmatch clients` sees new numbers.
const statsEvery = 2 * time.Second

// keepStats writes the counters to where `radmatch clients` reads them, until
// ctx ends, and then the last ones. Numbers that cannot be written are tried again with the next numbers.
func keepStats(ctx context.Context, server *radius.Server, st *store.Store, log *zap.Logger) {
	tick := time.NewTicker(statsEvery)
	defer tick.Stop()
	failed := false // a full disk must not fill the log too
	for {
		select {
		case <-ctx.Done():
			_ = st.SaveStats(context.WithoutCancel(ctx), clientStats(server.Stats()))
			return
		case <-tick.C:
			err := st.SaveStats(ctx, clientStats(server.Stats()))
			if err != nil && !failed && ctx.Err() == nil {
				log.Warn("cannot save statistics; will retry", zap.Error(err))
			}
			failed = err != nil
		}
	}
}

// clientStats is what the listener counted, as the store keeps it. Counters
// of no client stand under the empty name.
func clientStats(s radius.Stats) []store.ClientStats {
	var out []store.ClientStats
	for _, c := range s.Clients {
		answers := c.Accepted + c.Rejected + c.Challenged
		discards := c.Silent
		for _, n := range c.Discarded {
			discards += n
		}
		var mean time.Duration
		if answers > 0 {
			mean = c.LatencySum / time.Duration(answers)
		}
		out = append(out, store.ClientStats{
			Client: c.Name, Packets: c.Packets,
			Accepts: c.Accepted, Rejects: c.Rejected, Challenges: c.Challenged,
			Discards: discards, Duplicates: c.Duplicates,
			Signed: c.Signed, Unsigned: c.Unsigned, Refused: c.Discarded, Recorded: c.Recorded,
			UnsignedFrom: storedSources(c.UnsignedFrom), Late: c.Late, Mean: mean, Max: c.LatencyMax, Last: c.LastSeen,
		})
	}
	none := store.ClientStats{Refused: map[string]uint64{}}
	for reason, n := range map[string]uint64{"panic": s.Panics, "unknown_client": s.Unknown, "malformed": s.Malformed} {
		if n > 0 {
			none.Refused[reason] = n
		}
	}
	if len(none.Refused) > 0 {
		out = append(out, none)
	}
	return out
}

func storedSources(sources []radius.UnsignedSource) []store.UnsignedSource {
	var list []store.UnsignedSource
	for _, s := range sources {
		list = append(list, store.UnsignedSource(s))
	}
	return list
}

// rememberUnsigned gives the server what the one before it has seen: an address from
// which unsigned logins come is not latched by the next signed packet.
func rememberUnsigned(ctx context.Context, server *radius.Server, st *store.Store) error {
	stats, err := st.ClientStats(ctx)
	if err != nil {
		return err
	}
	sources := make(map[string][]radius.UnsignedSource)
	for _, c := range stats {
		for _, s := range c.UnsignedFrom {
			sources[c.Client] = append(sources[c.Client], radius.UnsignedSource(s))
		}
	}
	server.Remember(sources)
	return nil
}
