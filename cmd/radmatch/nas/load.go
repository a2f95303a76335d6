package nas

import (
	"context"
	"crypto/hmac"
	crand "crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/radius"
	"github.com/radmatch/radmatch/radius/wire"
)

const (
	benchStep    = 30 // seconds of a TOTP step
	benchFirst   = 2 * time.Second
	benchTries   = 5                      // transmissions before a request is lost
	benchTick    = 100 * time.Millisecond // between looks at the timers
	pushesASock  = 200                    // of the 256 identifiers of a port
	pushesASpell = 64                     // sent in a row in mode push
)

// benchRun is what the workers of one run share.
type benchRun struct {
	*Bench
	end time.Time

	mu      sync.Mutex
	next    int     // user
	started int     // logins
	factor  []int64 // of each user: the last step, or the next counter; inUse while it signs in
}

const inUse = math.MaxInt64

// measure drives the load: one goroutine a socket, each with a share of the logins
// in flight and no timer of their own.
func (b *Bench) measure(ctx context.Context) (*BenchReport, error) {
	r := &benchRun{Bench: b, factor: make([]int64, len(b.users)), next: b.Skip}
	inFlight, sockets := b.InFlight, min(max((b.InFlight+15)/16, 2), 64, b.InFlight)
	switch {
	case b.Mode == benchPush:
		inFlight, sockets = b.Logins, (b.Logins+pushesASock-1)/pushesASock
	case b.Rate > 0:
		inFlight, sockets = offeredSockets*pushesASock, offeredSockets
	}
	sockets = max(sockets, (inFlight+pushesASock-1)/pushesASock)
	workers := make([]*benchWorker, sockets)
	for i := range workers {
		share := inFlight / sockets
		if i < inFlight%sockets {
			share++
		}
		conn, err := net.Dial("udp", b.Addr)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		workers[i] = newBenchWorker(r, conn, share)
	}
	start := time.Now()
	r.end = start.Add(b.Duration)
	var wg sync.WaitGroup
	errs := make([]error, len(workers)+1)
	for i, w := range workers {
		wg.Go(func() { errs[i] = w.work(ctx) })
	}
	if b.Rate > 0 {
		wg.Go(func() { errs[len(workers)] = r.offer(ctx, start, workers) })
	}
	wg.Wait()
	report := b.sum(workers)
	report.Seconds = time.Since(start).Seconds()
	report.Rate = float64(report.Logins) / report.Seconds
	return report, errors.Join(errs...)
}

// benchWorker is one socket and its logins.
type benchWorker struct {
	run  *benchRun
	conn net.Conn

	mu     sync.Mutex // guards what follows
	random *rand.ChaCha8
	slots  []benchSlot
	ids    [256]*benchSlot // awaiting an answer
	lastID byte
	active int
	late   []time.Time // logins that are due and have no slot, in an open loop
	count  BenchReport
	took   []time.Duration
}

// benchSlot is one login under way, or none.
type benchSlot struct {
	busy     bool
	user     int
	coded    bool  // the code was sent
	step     int64 // or counter
	id       byte
	auth     [16]byte
	packet   []byte
	begun    time.Time
	resend   time.Time
	interval time.Duration
	tries    int
}

func newBenchWorker(r *benchRun, conn net.Conn, share int) *benchWorker {
	var seed [32]byte
	crand.Read(seed[:])
	return &benchWorker{run: r, conn: conn, random: rand.NewChaCha8(seed), slots: make([]benchSlot, share)}
}

// work runs until no login may begin any more and all have ended.
func (w *benchWorker) work(ctx context.Context) error {
	if err := w.open(ctx); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	tick := time.Now()
	for w.busy() || w.run.more(ctx, time.Now()) {
		if now := time.Now(); !now.Before(tick) {
			if err := w.timers(ctx, now); err != nil {
				return err
			}
			tick = now.Add(benchTick)
			if err := w.conn.SetReadDeadline(tick); err != nil {
				return err
			}
		}
		if w.over(ctx) {
			break
		}
		n, err := w.conn.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err != nil {
			return err // the server is gone: refused
		}
		if err := w.answered(ctx, buf[:n]); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count.Waiting = w.active
	return nil
}

// busy reports whether a login of the worker has not ended.
func (w *benchWorker) busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.active+len(w.late) > 0
}

// open begins the first logins of a closed loop, in mode push with rests: nothing
// would send again what a full socket buffer lost.
func (w *benchWorker) open(ctx context.Context) error {
	if w.run.Rate > 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.slots {
		now := time.Now()
		if err := w.begin(ctx, &w.slots[i], now, now); err != nil {
			return err
		}
		if w.run.Mode == benchPush && i%pushesASpell == pushesASpell-1 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// more reports whether another login may begin.
func (r *benchRun) more(ctx context.Context, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unfinished(ctx, now)
}

// unfinished is more where the caller holds the lock.
func (r *benchRun) unfinished(ctx context.Context, now time.Time) bool {
	return ctx.Err() == nil && now.Before(r.end) && (r.Logins == 0 || r.started < r.Logins)
}

// over reports whether to give up what is still under way: at an interrupt, and
// in mode push at the end.
func (w *benchWorker) over(ctx context.Context) bool {
	return ctx.Err() != nil || (w.run.Mode == benchPush && !time.Now().Before(w.run.end))
}

// benchIdentifier says that no device sends this.
var benchIdentifier = []mfa.Attribute{radius.ToolIdentifier("bench")}

// begin starts a login in s if one may begin and a user is free in this step. Its
// time counts from due. The caller holds the lock.
func (w *benchWorker) begin(ctx context.Context, s *benchSlot, now, due time.Time) error {
	r := w.run
	user, step, ok := w.take(ctx, now)
	if !ok {
		return nil // timers tries again
	}
	*s = benchSlot{packet: s.packet, begun: due, busy: true, user: user, step: step}
	w.active++
	q := wire.Query{Code: wire.StatusServer}
	if r.Mode != benchStatus {
		u := &r.users[user]
		q = wire.Query{Code: wire.AccessRequest, User: u.name, Cred: mfa.Password(u.password), Attributes: benchIdentifier}
	}
	return w.send(s, &q, now)
}

// take counts a login and takes the next user for it in one step: so n logins
// are those of n users in a row, where there are as many, and the next run may
// begin behind them.
func (w *benchWorker) take(ctx context.Context, now time.Time) (user int, step int64, ok bool) {
	r := w.run
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.unfinished(ctx, now) {
		return 0, 0, false
	}
	if r.Mode != benchStatus {
		user = r.next % len(r.users)
		r.next++
		if step, ok = r.claim(user, now); !ok {
			w.count.Waits++
			return 0, 0, false
		}
	}
	r.started++
	return user, step, true
}

// claim takes a user whose code of this step, or of the counter that it returns, is
// unused. The caller holds the lock.
func (r *benchRun) claim(user int, now time.Time) (counter int64, ok bool) {
	f := &r.factor[user]
	switch {
	case r.Mode == benchPassword:
		return 0, true
	case *f == inUse, r.Mode != BenchHOTP && *f >= now.Unix()/benchStep:
		return 0, false
	}
	counter, *f = *f, inUse
	return counter, true
}

// release gives the user of s back, who has used that code.
func (r *benchRun) release(s *benchSlot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.Mode {
	case BenchHOTP:
		r.factor[s.user] = s.step + 1
	case BenchTOTP, benchPush:
		r.factor[s.user] = max(s.step, s.begun.Unix()/benchStep)
	}
}

// send sends q as the next request of s.
func (w *benchWorker) send(s *benchSlot, q *wire.Query, now time.Time) error {
	for range len(w.ids) {
		if w.lastID++; w.ids[w.lastID] == nil {
			break
		}
	}
	s.id = w.lastID
	w.ids[s.id] = s
	for i := 0; i < len(s.auth); i += 8 {
		binary.LittleEndian.PutUint64(s.auth[i:], w.random.Uint64())
	}
	packet, err := q.Append(s.packet[:0], s.id, &s.auth, w.run.secret)
	if err != nil {
		return err
	}
	s.packet, s.tries, s.interval = packet, 1, benchFirst
	s.resend = now.Add(s.interval)
	_, err = w.conn.Write(packet)
	return err
}

// answered takes one datagram.
func (w *benchWorker) answered(ctx context.Context, datagram []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(datagram) < 20 || w.ids[datagram[1]] == nil {
		w.count.Invalid++ // late: the request was given up
		return nil
	}
	s := w.ids[datagram[1]]
	answer, err := wire.ParseAnswer(datagram, s.id, &s.auth, w.run.secret)
	if err != nil {
		w.count.Invalid++
		return nil
	}
	w.ids[s.id] = nil
	now := time.Now()
	switch {
	case answer.Code == wire.AccessChallenge && !s.coded && w.run.codes():
		u := &w.run.users[s.user]
		s.coded = true
		if w.run.Mode == BenchTOTP {
			s.step = now.Unix() / benchStep
		}
		return w.send(s, &wire.Query{
			Code: wire.AccessRequest, User: u.name, Cred: mfa.Password(benchCode(u.key, s.step)), State: answer.State(),
			Attributes: benchIdentifier,
		}, now)
	case answer.Code == wire.AccessReject:
		w.count.Rejected++
	case answer.Code == wire.AccessAccept && (s.coded || !w.run.codes()):
		w.count.Accepted++
	default:
		w.count.Unexpected++
	}
	w.took = append(w.took, now.Sub(s.begun))
	w.ended(s)
	switch {
	case w.run.Rate > 0:
		return w.beginLate(ctx, now)
	case w.run.Mode == benchPush:
		return nil
	}
	return w.begin(ctx, s, now, now)
}

// ended frees slot and user.
func (w *benchWorker) ended(s *benchSlot) {
	w.run.release(s)
	s.busy = false
	w.active--
}

// timers sends again what is due (RFC 5080 §2.2.1), gives up what is lost, and
// begins logins in free slots. In mode push it does nothing: waiting is the point.
func (w *benchWorker) timers(ctx context.Context, now time.Time) error {
	if w.run.Mode == benchPush {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.slots {
		s := &w.slots[i]
		switch {
		case !s.busy && w.run.Rate > 0:
		case !s.busy:
			if err := w.begin(ctx, s, now, now); err != nil {
				return err
			}
		case now.Before(s.resend):
		case s.tries == benchTries:
			w.count.Lost++
			w.ids[s.id] = nil
			w.ended(s)
		default:
			s.tries++
			s.interval *= 2
			s.resend = now.Add(s.interval)
			w.count.Retransmitted++
			if _, err := w.conn.Write(s.packet); err != nil {
				return err
			}
		}
	}
	return nil
}

// benchCode is the six digits of a step (RFC 6238, SHA-1).
func benchCode(key []byte, step int64) string {
	h := hmac.New(sha1.New, key)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step))
	h.Write(counter[:])
	sum := h.Sum(nil)
	at := sum[len(sum)-1] & 15
	n := (binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff) % 1000000
	code := []byte("000000")
	for i := 5; n > 0; i-- {
		code[i] = byte('0' + n%10)
		n /= 10
	}
	return string(code)
}
