package radius

import (
	"context"
	"net/netip"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Authenticator decides on Access-Requests. Authenticate calls reply exactly
// once, from any goroutine, maybe much later; it holds no goroutine meanwhile.
// ctx is the server's, not the packet's: a packet that the NAS gave up is
// marked by r.Supersede, and the answer to it is dropped.
type Authenticator interface {
	Authenticate(ctx context.Context, r *mfa.Request, reply func(mfa.Decision))
}

// Latches remembers which source addresses have proved that they sign
// (require_message_authenticator: auto). Both methods may be called
// concurrently; Latched answers from memory.
type Latches interface {
	Latched(client string, source netip.Addr) bool
	// Latch remembers source over restarts. It may write later.
	Latch(client string, source netip.Addr, at time.Time)
}

// Service is what a reload exchanges as one: who may ask, and who decides.
type Service struct {
	Table         *Table
	Authenticator Authenticator
}
