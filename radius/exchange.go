package radius

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/text"
	"github.com/radmatch/radmatch/radius/method"
	"github.com/radmatch/radmatch/radius/wire"
)

// exchange is one Access-Request that is being decided, and all that its answer
// is made of. It is pending until end.
type exchange struct {
	req     mfa.Request
	server  *Server
	client  *client
	count   *counters
	outer   *counters // holds its place: that of the proxy for who is behind one
	entry   *entry
	sender  Sender
	peer    Peer
	auth    [wire.AuthSize]byte
	secret  *wire.Secret
	method  method.Method
	session uint64 // see sessionKey
	proxy   []byte // the request's Proxy-State attributes, in order
	id      byte
	resting bool // decided: it holds a place among the delays, not among the pending
	replied atomic.Bool
	ended   atomic.Bool
}

// decide hands the request to the engine, in a goroutine of its own: a primary may
// take its time.
func (x *exchange) decide(a Authenticator) {
	defer x.rescue()
	a.Authenticate(x.server.ctx, &x.req, x.reply)
}

// reply is what the Authenticator calls once, from any goroutine.
func (x *exchange) reply(d mfa.Decision) {
	if x.replied.Swap(true) {
		x.server.log.Error("internal error: a login was decided twice", zap.String("login", d.LoginID))
		return
	}
	defer x.rescue()
	if d.Outcome == mfa.Discard {
		x.end(nil, &d)
		return
	}
	o := x.server.room()
	defer x.server.free(o)
	p := x.answer(o, &d)
	switch wait := x.delay(&d); {
	case wait <= 0:
		x.end(p, &d)
	case x.rests():
		x.endAfter(wait, slices.Clone(p), d)
	default:
		d.Outcome = mfa.Discard
		x.end(nil, &d)
	}
}

// endAfter ends the exchange when wait has passed.
func (x *exchange) endAfter(wait time.Duration, p []byte, d mfa.Decision) {
	time.AfterFunc(wait, func() {
		defer x.rescue()
		x.end(p, &d)
	})
}

// delay is how long an Access-Reject still has to wait, so that guessing is slow.
// It counts from the receipt: someone who waited for a device need not wait again.
// The jitter hides how long the answer took.
func (x *exchange) delay(d *mfa.Decision) time.Duration {
	if d.Outcome != mfa.Reject {
		return 0
	}
	least := x.client.RejectDelay
	if least > 0 {
		least += rand.N(least/5 + 1)
	}
	return max(least, d.Delay) - time.Since(x.req.Received)
}

// end finishes the exchange with the answer p, nil for silence.
func (x *exchange) end(p []byte, d *mfa.Decision) {
	if x.ended.Swap(true) {
		return
	}
	s := x.server
	defer x.leave()
	now := time.Now()
	took := now.Sub(x.req.Received)
	current := s.answers.finish(x, p, now)
	if current && d.Outcome == mfa.Accept {
		s.sessions.Note(x.session, d.LoginID, now)
	}
	if current && len(p) > 0 {
		if err := x.sender.Send(p, x.peer); err != nil && !s.closed.Load() {
			s.log.Warn("an answer was not sent", zap.String("client", x.client.Name), zap.Error(err))
		}
	}
	x.count.ended(d.Outcome, took, current)
	if d.Outcome == mfa.Accept && !x.req.Signed {
		x.count.unsignedFrom.note(x.peer.Addr(), now)
	}
	x.late(d, took, now)
	x.log(d, took, current)
}

// log writes the one line of a finished request.
func (x *exchange) log(d *mfa.Decision, took time.Duration, current bool) {
	level := zap.InfoLevel
	if d.Outcome == mfa.Challenge {
		level = zap.DebugLevel // the login goes on; its end has the line
	}
	if d.Reason == mfa.ReasonInternalError || d.Reason == mfa.ReasonMFAError || d.Reason == mfa.ReasonPrimaryError {
		level = zap.WarnLevel
	}
	s := x.server
	entry := s.log.Check(level, "request")
	if entry == nil || denied(d.Outcome) && !s.lines.allow(s.log, x, d) {
		return
	}
	var room [9]zap.Field
	fields := append(room[:0],
		zap.String("client", x.client.Name),
		zap.String("user", text.ForLog(x.req.User.String())),
		zap.String("outcome", d.Outcome.String()),
		zap.String("reason", string(d.Reason)),
		zap.Float64("took_ms", float64(took.Microseconds())/1000),
		zap.String("login", d.LoginID))
	if x.req.NAS != "" {
		fields = append(fields, zap.String("nas", text.ForLog(x.req.NAS)))
	}
	if !current {
		fields = append(fields, zap.Bool("superseded", true))
	}
	if d.Err != nil {
		fields = append(fields, zap.String("error", text.ForLog(d.Err.Error())))
	}
	entry.Write(fields...)
}

// late counts an answer that came when the client, by its NAS timeout, no longer waited,
// and says what to set.
func (x *exchange) late(d *mfa.Decision, took time.Duration, now time.Time) {
	nasTimeout := x.client.Profile.NASTimeout
	if nasTimeout == 0 || took < nasTimeout || d.Outcome == mfa.Discard {
		return
	}
	x.count.late.Add(1)
	if x.server.refusals.Allow(logKey{x.client.Name, "late", netip.Addr{}}, now) {
		x.server.log.Warn("a login was decided when the client no longer waited",
			zap.String("client", x.client.Name), zap.Duration("nas_timeout", nasTimeout), zap.Duration("took", took),
			zap.String("hint", x.client.Profile.Raise+"; then set nas_timeout of the client to that"))
	}
}

// rescue is the recover of a login: no answer, one line, one counter.
func (x *exchange) rescue() {
	v := recover()
	if v == nil {
		return
	}
	x.server.panicked(v, x.client.Name)
	x.abandon()
}

// abandon ends the exchange in silence after a bug; a reply that still comes is
// too late.
func (x *exchange) abandon() {
	x.replied.Store(true)
	x.end(nil, &mfa.Decision{Outcome: mfa.Discard, Reason: mfa.ReasonInternalError})
}

func (s *Server) panicked(v any, client string) {
	s.panics.Add(1)
	s.log.Error("internal error: a request made the server panic",
		zap.String("client", client), zap.String("panic", text.ForLog(fmt.Sprint(v))), zap.ByteString("stack", debug.Stack()))
}

// Rejections leave late, so that guessing is slow. While they wait they are no
// pending logins: anyone who brings wrong passwords, or forges requests, must not use
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
		if now := x.req.Received; s.refusals.Allow(logKey{x.client.Name, "delays", netip.Addr{}}, now) {
			s.log.Warn("rejections are dropped: too many wait for their time", zap.String("client", x.client.Name),
				zap.Bool("signed", x.req.Signed), zap.String("hint", "an attacker guesses, or forges requests; see reject_delay and limits.pending"))
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
