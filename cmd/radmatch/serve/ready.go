package serve

import (
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
)

// sayReadyEvery bounds the lines about a server that is not ready.
const sayReadyEvery = 10 * time.Second

// errDraining is why a server that ends is not ready.
var errDraining = errors.New("the server ends")

// readiness says whether NAS and balancers should send logins here. What they are not told,
// why not, is logged.
type readiness struct {
	store interface{ Ready() error }
	log   *zap.Logger

	mu       sync.Mutex
	draining bool
	down     bool // the log says so
	said     time.Time
}

// Ready implements what radius.Server and web.Server ask.
func (r *readiness) Ready() error {
	err := r.store.Ready()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.draining {
		return errDraining // shutdown has its own line
	}
	switch now := time.Now(); {
	case err == nil && r.down:
		r.down = false
		r.log.Info("ready again")
	case err != nil && !r.down && now.Sub(r.said) >= sayReadyEvery:
		r.down, r.said = true, now
		r.log.Error("not ready: Status-Server gets no answer and /readyz says 503, so that clients turn to another server", zap.Error(err))
	}
	return err
}

// drain says that nothing new should come.
func (r *readiness) drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = true
}
