package store

import (
	"context"
	"errors"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/otp"
)

// maxNumbers bounds the users without an account whose logs have a number. Only a right
// password makes one.
const maxNumbers = 100_000

// ledger has the numbers of the users' logs in memory, and the entries that are on their
// way to the disk. A user that it does not have is at 0. mu is held over no call.
type ledger struct {
	follow atomic.Pointer[func(mfa.Event)] // nil: no logins here

	mu      sync.Mutex
	epoch   uint32            // numbers of another one fit nowhere; 0 is a command's
	numbers map[string]int64  // by the form of the name
	flying  map[string]flight // at most one of a user
	order   sync.Mutex        // held while entries of a database that nodes share are told; before mu
	most    int               // how many numbers are kept
}

// flight is an entry that is on its way.
type flight struct {
	over chan struct{} // closed when it is over; nil: no caller waits for that
}

func (l *ledger) init() {
	l.epoch, l.numbers, l.flying = 1, make(map[string]int64), make(map[string]flight)
	l.most = maxNumbers
}

// makeRoom lets each of the accounts have a number, beside those who have none.
func (l *ledger) makeRoom(accounts int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.most = maxNumbers + accounts
}

func (l *ledger) version(user string) mfa.Version {
	l.mu.Lock()
	defer l.mu.Unlock()
	return mfa.Version{Epoch: l.epoch, N: l.numbers[user]}
}

// begin takes the number after base for an entry of user, until end. mfa.ErrStale where
// base is not what the user is at; where that is so because another entry is on its way,
// over is closed when it is there.
func (l *ledger) begin(user string, base mfa.Version) (over <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f, ok := l.flying[user]; ok {
		if f.over == nil {
			f.over = make(chan struct{})
			l.flying[user] = f
		}
		return f.over, mfa.ErrStale
	}
	n, known := l.numbers[user]
	if base != (mfa.Version{Epoch: l.epoch, N: n}) {
		return nil, mfa.ErrStale
	}
	if !known && len(l.numbers) >= l.most {
		// The counts begin again at 0, so that what was decided before fits nowhere.
		clear(l.numbers)
		l.epoch++
		return nil, mfa.ErrStale
	}
	l.flying[user] = flight{}
	return nil, nil
}

// isNext reports whether what r was decided on is still what the user is at.
func (l *ledger) isNext(r *record.Row) bool {
	return l.version(r.Key) == mfa.Version{Epoch: r.Epoch, N: r.Seq - 1}
}

// end lets the next entry of user begin; with moved the user is at another number.
func (l *ledger) end(user string, moved bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if moved {
		l.numbers[user]++
	}
	if f := l.flying[user]; f.over != nil {
		close(f.over)
	}
	delete(l.flying, user)
}

// moved makes what was decided about users stale.
func (l *ledger) moved(users ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, user := range users {
		l.numbers[user]++
	}
}

// movedAll makes everything stale that was decided.
func (l *ledger) movedAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch++
}

// set takes over how far the log of a user is in the database.
func (l *ledger) set(user string, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.numbers[user] = max(n, l.numbers[user])
}

// begun takes over how far all logs are in a database that nodes share. Decisions of
// before fit nowhere. Where the entries are followed, a user stays at the last one that was
// told: the next entry finds those behind it, and with them how a login has ended elsewhere.
func (l *ledger) begun(numbers map[string]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.follow.Load() != nil {
		for user, n := range numbers {
			numbers[user] = min(n, l.numbers[user])
		}
	}
	l.numbers = numbers
	l.epoch++
}

// errNotFollowed: an entry is on disk, and what follows from it is not all in memory.
var errNotFollowed = errors.New("what follows from an entry could not be taken over")

// tell hands ev to the login machine. A panic there costs what that entry says and no more:
// the user goes on, and neither the reading of other nodes nor the program ends.
func (s *Store) tell(ev mfa.Event) (err error) {
	f := s.ledger.follow.Load()
	if f == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = errNotFollowed
			s.log.Error("panic while an entry was taken over", zap.String("login", ev.ID), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		}
	}()
	(*f)(ev)
	return nil
}

// Follow calls f for each entry of a user's log, in their order, and for each change of the
// user with an EventChange: when it is on disk and the store's memory has it, before
// Directory.User shows its version and before Append returns. f may read the store; it must
// not write it. Follow is called once, before the first login.
func (s *Store) Follow(f func(mfa.Event)) { s.ledger.follow.Store(&f) }

// Append implements mfa.Ledger, for a server. otp.ErrUsed where ev uses up what is used. Here a number is a count in memory: this
// process writes all entries, and what a command changes counts as one.
func (s *Store) Append(ctx context.Context, base mfa.Version, ev mfa.Event) (err error) {
	defer wrap(&err, "store: entry")
	if !s.opt.Server {
		return ErrNotServer
	}
	now := s.opt.Now()
	if ev.Time.IsZero() {
		ev.Time = now
	}
	r, err := record.NewRow(ev, now)
	if err != nil {
		return err
	}
	r.Seq, r.Epoch = base.N+1, base.Epoch
	if over, err := s.ledger.begin(r.Key, base); err != nil {
		return awaitOther(ctx, over, err)
	}
	if !s.isFree(r.Key, &ev) {
		s.ledger.end(r.Key, false)
		return otp.ErrUsed
	}
	at, err := s.queue.Add(r, mayLead(ctx))
	if err != nil {
		s.ledger.end(r.Key, false)
		return err
	}
	committed := false
	defer func() {
		if !committed { // a panic: it is not known whether it is on disk
			_ = s.finish(&r, at, ev)
		}
	}()
	s.lead(at)
	committed = true
	select {
	case <-at.done:
		return s.finish(&r, at, ev)
	case <-ctx.Done():
		go s.finishLater(r, at, ev)
		return ctx.Err()
	}
}

// awaitOther returns stale when the entry that came first is there.
func awaitOther(ctx context.Context, over <-chan struct{}, stale error) error {
	if over == nil {
		return stale
	}
	select {
	case <-over:
		return stale
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finishLater is finish for a caller who did not wait.
func (s *Store) finishLater(r record.Row, at place, ev mfa.Event) {
	<-at.done
	_ = s.finish(&r, at, ev) // logged by the writer
}

// finish brings into memory what has become of the row at a place, the entry ev of user.
//
// After an error it is unknown whether it is on disk. SQLite has rolled back, so that the next
// commit writes over it; a crash before that may find it whole, and the server that starts
// then reads it. In both cases what memory has here denies more than the disk does: the code
// counts as used, and nothing that was decided before goes on.
func (s *Store) finish(r *record.Row, b place, ev mfa.Event) error {
	user := r.Key
	if s.nodes != nil {
		return s.finishShared(r, b, ev)
	}
	moved := false
	defer func() { s.ledger.end(user, moved) }()
	if !b.isKept() {
		if err := s.catchUp(context.Background()); err != nil {
			return err
		}
		return mfa.ErrStale
	}
	moved = true
	if ev.Used {
		s.useUp(user, &ev)
	}
	if b.err != nil {
		return b.err
	}
	return s.tell(ev)
}

// finishShared is finish for a database that nodes share, where the numbers are those of the
// database: after an error the next entry finds out.
func (s *Store) finishShared(r *record.Row, b place, ev mfa.Event) error {
	defer s.ledger.end(r.Key, false)
	if !b.isKept() {
		if err := s.catchUp(context.Background()); err != nil {
			return err
		}
		if err := s.fresh(context.Background(), r.Key); err != nil {
			return err
		}
		return mfa.ErrStale
	}
	s.ledger.order.Lock()
	defer s.ledger.order.Unlock()
	if ev.Used {
		s.useUp(r.Key, &ev)
	}
	// Otherwise it was read meanwhile, and told.
	err := b.err
	if at := s.ledger.version(r.Key); err == nil && at.Epoch == r.Epoch && at.N < r.Seq {
		err = s.tell(ev)
		s.ledger.set(r.Key, r.Seq)
	}
	return err
}

// fresh reads a user again.
func (s *Store) fresh(ctx context.Context, user string) error {
	s.wmu.Lock()
	defer s.wmu.Unlock()
	return s.refresh(ctx, map[string]int64{user: 0})
}

// Site returns what the nodes of a site keep for each other; nil where there is only this server.
func (s *Store) Site() mfa.Site {
	if s.nodes == nil {
		return nil
	}
	return site{s.nodes, s}
}

// Certificates returns what the nodes of a site keep of their certificates; nil where there is
// only this server.
func (s *Store) Certificates() Certificates {
	if s.nodes == nil {
		return nil
	}
	return s.nodes
}

// Offers returns what the nodes of a site keep between two requests; nil where there is only
// this server.
func (s *Store) Offers() Offers {
	if s.nodes == nil {
		return nil
	}
	return s.nodes
}

// site implements mfa.Site.
type site struct {
	shared
	s *Store
}

// Fresh implements mfa.Site.
func (t site) Fresh(ctx context.Context, user mfa.Name) error {
	return t.s.fresh(ctx, user.Key().String())
}

// useUp notes in memory that a step is used.
func (s *Store) useUp(user string, ev *mfa.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[user]; a != nil {
		if t := a.Token(ev.Token); t != nil {
			t.Used(ev.Step, int64(ev.Drift))
		}
	}
}

// isFree reports whether the step that ev uses up is not used, and its token is there. The
// version says so already, where the decision was right.
func (s *Store) isFree(user string, ev *mfa.Event) bool {
	if ev.Token == "" {
		return !ev.Used
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	a := s.accounts[user]
	if a == nil {
		return false
	}
	t := a.Token(ev.Token)
	return t != nil && (!ev.Used || ev.Step >= t.Next && ev.Step < math.MaxInt64)
}

func (s *Store) countAccounts() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.accounts)
}
