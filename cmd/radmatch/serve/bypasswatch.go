package serve

import (
	"cmp"
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
)

const (
	bypassTick   = time.Second
	bypassRemind = 5 * time.Minute
)

// bypassStore is what watchBypasses needs of the store.
type bypassStore interface {
	mfa.Bypasses
	TendBypasses(ctx context.Context) error
}

// watchBypasses keeps a bypass from being forgotten: the log says when one begins,
// again and again while it lasts, and when it has ended.
func watchBypasses(ctx context.Context, st bypassStore, log *zap.Logger) {
	tick := time.NewTicker(bypassTick)
	defer tick.Stop()
	known := map[int64]mfa.Bypass{}
	var said time.Time
	var failed bool
	for {
		now := time.Now()
		remind := now.Sub(said) >= bypassRemind
		current := map[int64]mfa.Bypass{}
		for _, b := range st.Bypasses() {
			current[b.ID] = b
			if _, old := known[b.ID]; remind || !old {
				warnBypass(log, "a bypass is in force: no second factor is asked for", &b)
			}
		}
		if remind {
			said = now
		}
		for id, b := range known {
			if _, still := current[id]; !still {
				warnBypass(log, "a bypass has ended: a second factor is asked for again", &b)
			}
		}
		known = current
		err := st.TendBypasses(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			log.Error("cannot record the end of a bypass; it has ended", zap.Error(err))
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func warnBypass(log *zap.Logger, message string, b *mfa.Bypass) {
	log.Warn(message, zap.Int64("bypass", b.ID), zap.String("for", b.Whom()), zap.String("client", cmp.Or(b.Client, "every client")),
		zap.Time("until", b.Until), zap.String("operator", b.Operator), zap.String("reason", b.Reason))
}
