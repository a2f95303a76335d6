package radius

import (
	"net/netip"

	"go.uber.org/zap"
)

// Rejections leave late, so that guessing is slow. While they wait they are no
// pending logins: whoever brings wrong passwords, or forges requests, must not use
// up the places of those who sign in. They are bounded apart, a client by half of
// that, and its unsigned requests, which anybody can forge, by half of that again.
// Beyond the bound a rejection is dropped. It is never sent early: then a flood
// would be the way to faster guesses.

// maxDelayed is how many rejections may wait for their time.
func (s *Server) maxDelayed() int64 { return int64(max(8, s.MaxPending/2)) }

// rests moves a request that is decided from the pending ones to those whose
// rejection waits. It reports false where too many wait.
func (x *exchange) rests() bool {
	s, c := x.server, x.outer
	most := s.maxDelayed()
	all, ofClient, unsigned := s.delayed.Add(1), c.delayed.Add(1), int64(0)
	if !x.req.Signed {
		unsigned = c.delayedUnsigned.Add(1)
	}
	if all > most || ofClient > most/2 || unsigned > most/4 {
		x.wakes()
		if now := x.req.Received; s.refusals.allow(refusal{x.client.Name, "delays", netip.Addr{}}, now) {
			s.log.Warn("rejections are dropped: too many wait for their time", zap.String("client", x.client.Name),
				zap.Bool("signed", x.req.Signed), zap.String("hint", "somebody guesses, or forges requests; see reject_delay and limits.pending"))
		}
		return false
	}
	x.resting = true
	s.release(c)
	return true
}

// wakes gives the place of a waiting rejection back.
func (x *exchange) wakes() {
	x.outer.delayed.Add(-1)
	if !x.req.Signed {
		x.outer.delayedUnsigned.Add(-1)
	}
	x.server.delayed.Add(-1)
	x.server.rested()
}

// leave gives back the place that the exchange holds.
func (x *exchange) leave() {
	if x.resting {
		x.wakes()
	} else {
		x.server.release(x.outer)
	}
}
