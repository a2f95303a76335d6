package login

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/radmatch/radmatch/mfa"
)

// Wrong passwords slow answers down; they never lock, so that an attacker cannot
// lock out the staff. The key counts: one name, from one origin. A try
// counts before its password is examined, and is taken off the count when the
// login goes on. So a refusal after the right password counts like a wrong one, in a
// sequence and of many at once.
const (
	freeTries   = 2 // wrong ones that are answered after reject_delay
	maxTries    = 8 // that are remembered of a key: the delay is then at its end
	triesWindow = 15 * time.Minute
	// maxRejectDelay is where slowing down ends: a NAS that waits longer retries.
	maxRejectDelay = 10 * time.Second
	// maxTriesWait is how long a request waits for those of its key that came first.
	maxTriesWait = 10 * time.Second
	// maxTryKeys bounds the table (about 30 MiB at the most), those that are under way
	// aside.
	maxTryKeys = 100_000
)

// errTriesBusy means that earlier tries of a key had no answer of the primary in time.
var errTriesBusy = errors.New("other requests of this user wait for the primary")

// unexamined is the rejection of a password that was not examined: too many wrong
// ones came before it. It is an ErrRejected.
type unexamined struct {
	delay time.Duration
}

func (*unexamined) Error() string { return "not examined: too many wrong passwords" }

// Is makes it an ErrRejected.
func (*unexamined) Is(target error) bool { return target == mfa.ErrRejected }

// tries is the table. It may be used concurrently; its zero value is ready.
type tries struct {
	mu    sync.Mutex
	m     map[tryKey]*tried
	spare []*tried // to be used again: most are over in a moment
}

// tryKey is one name from one origin: another origin is not slowed. An unsigned
// origin may be forged. If the client names no end user, it is all that is known.
type tryKey struct {
	user    mfa.NameKey
	client  string // only where endUser is empty
	endUser string
	signed  bool
}

func newTryKey(user mfa.NameKey, client, endUser string, signed bool) tryKey {
	key := tryKey{user: user, endUser: endUser, signed: signed}
	if endUser == "" {
		key.client = client
	}
	return key
}

// isUnsigned is what the event of a wrong password says of a request without a signature.
const isUnsigned = "unsigned"

// tryKeyOf is the key of an EventGuess.
func tryKeyOf(ev *mfa.Event) tryKey {
	return newTryKey(ev.User.Key(), ev.Client, ev.EndUser, ev.Text != isUnsigned)
}

// tried is what came of one key.
type tried struct {
	wrong   []time.Time // the newest maxTries in the window, oldest first
	open    int         // being examined, or right and not yet decided
	next    time.Time   // after the third wrong one: no other is examined before
	waiting []chan error
}

// turn is what a try may do.
type turn int

const (
	turnGo turn = iota
	turnWait
	turnRefused
)

// turn lets three of a key be examined at once while they may all be right, as
// packets of one login are, and the others wait for them. From the third wrong one on it
// is one at a time, with room in between for the owner, and no other is examined.
func (e *tried) turn(now time.Time) turn {
	switch n := len(e.wrong); {
	case n > freeTries && (e.open > 0 || now.Before(e.next)):
		return turnRefused
	case n > freeTries || n+e.open <= freeTries:
		return turnGo
	}
	return turnWait
}

// note counts a wrong one.
func (e *tried) note(now time.Time, delay time.Duration) {
	if len(e.wrong) >= maxTries {
		e.wrong = slices.Delete(e.wrong, 0, 1)
	}
	e.wrong = append(e.wrong, now)
	if len(e.wrong) > freeTries {
		e.next = now.Add(slowed(delay, len(e.wrong)) / 4)
	}
}

// wake lets those that wait go on, as far as they may.
func (e *tried) wake(now time.Time, delay time.Duration) {
	for len(e.waiting) > 0 {
		first := e.waiting[0]
		switch e.turn(now) {
		case turnWait:
			return
		case turnGo:
			e.open++
			first <- nil
		case turnRefused:
			first <- e.refusal(delay)
		}
		e.waiting = e.waiting[1:]
	}
}

func (e *tried) refusal(delay time.Duration) error {
	return &unexamined{slowed(delay, len(e.wrong)+1)}
}

func (e *tried) busy() bool { return e.open > 0 || len(e.waiting) > 0 }

// enter takes a turn of the key. Its error is an unexamined, or means that no answer was had.
func (t *tries) enter(ctx context.Context, key tryKey, delay time.Duration) error {
	t.mu.Lock()
	now := time.Now()
	e := t.entry(key, now)
	switch e.turn(now) {
	case turnGo:
		e.open++
		t.mu.Unlock()
		return nil
	case turnRefused:
		defer t.mu.Unlock()
		return e.refusal(delay)
	}
	mine := make(chan error, 1)
	e.waiting = append(e.waiting, mine)
	t.mu.Unlock()
	timer := time.NewTimer(maxTriesWait)
	defer timer.Stop()
	select {
	case err := <-mine:
		return err
	case <-timer.C:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case err := <-mine: // in the last moment
		return err
	default:
	}
	e.waiting = slices.DeleteFunc(e.waiting, func(c chan error) bool { return c == mine })
	t.drop(key, e)
	return errTriesBusy
}

// leave gives the turn back. It returns how long after its receipt a rejection may leave.
func (t *tries) leave(key tryKey, wrong bool, delay time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	e := t.entry(key, now)
	e.open--
	if wrong {
		e.note(now, delay)
	}
	e.wake(now, delay)
	t.drop(key, e)
	return slowed(delay, len(e.wrong))
}

// count counts a wrong one of another node.
func (t *tries) count(key tryKey, delay time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	e := t.entry(key, now)
	e.note(now, delay)
	e.wake(now, delay)
}

// entry returns what came of the key in the window.
func (t *tries) entry(key tryKey, now time.Time) *tried {
	e := t.m[key]
	if e == nil {
		if t.m == nil {
			t.m = make(map[tryKey]*tried)
		}
		if len(t.m) >= maxTryKeys {
			t.evict(now)
		}
		if n := len(t.spare); n > 0 {
			e, t.spare = t.spare[n-1], t.spare[:n-1]
		} else {
			e = &tried{}
		}
		t.m[key] = e
	}
	for len(e.wrong) > 0 && now.Sub(e.wrong[0]) >= triesWindow {
		e.wrong = slices.Delete(e.wrong, 0, 1)
	}
	return e
}

// drop forgets a key of which there is nothing to know.
func (t *tries) drop(key tryKey, e *tried) {
	if !e.busy() && len(e.wrong) == 0 {
		delete(t.m, key)
		if len(t.spare) < 256 {
			*e = tried{wrong: e.wrong}
			t.spare = append(t.spare, e)
		}
	}
}

// evict makes room by forgetting the least of a few: one that is over, or else the key with
// the fewest wrong ones. So names that someone invents push out each other, and not
// the name that is being guessed at.
func (t *tries) evict(now time.Time) {
	const sample = 16
	var worst tryKey
	least, seen := maxTries+1, 0
	for key, e := range t.m {
		if seen++; seen > sample {
			break
		}
		n := len(e.wrong)
		if n > 0 && now.Sub(e.wrong[n-1]) >= triesWindow {
			n = 0
		}
		if n < least && !e.busy() {
			worst, least = key, n
		}
	}
	delete(t.m, worst)
}

// slowed is the delay after n wrong passwords: it doubles from the third on.
func slowed(delay time.Duration, n int) time.Duration {
	for ; n > freeTries && delay < maxRejectDelay; n-- {
		delay *= 2
	}
	return min(delay, maxRejectDelay)
}

// try is one password on its way: under the name that was typed, without accents, and under the one
// that the primary knows the user by. It is over with the first answer, or when
// the login waits for a device.
type try struct {
	limits *Limits
	client *mfa.Client
	keys   [2]tryKey
	n      int // of keys
	over   atomic.Bool
}

// try begins one. A request without a password tries none.
func (l *Limits) try(ctx context.Context, r *mfa.Request) (*try, error) {
	switch c := r.Cred.(type) {
	case mfa.Password:
		if c == "" {
			return nil, nil
		}
	case mfa.MSCHAPv2:
	default:
		return nil, nil
	}
	t := &try{limits: l, client: r.Client}
	return t, t.enter(ctx, newTryKey(r.User.Key().Alike(), r.Client.Name, r.EndUser, r.Signed))
}

// enter takes a turn.
func (t *try) enter(ctx context.Context, key tryKey) error {
	err := t.limits.tries.enter(ctx, key, t.client.RejectDelay)
	if err == nil {
		t.keys[t.n] = key
		t.n++
	}
	return err
}

// verdict brings in the name by which the primary knows the user, which comes with
// a rejection too. What spelling was typed must make no difference: where the turn of
// that name is refused, no answer tells whether the password was right.
func (t *try) verdict(ctx context.Context, identity *mfa.Identity, err error) error {
	user := identity.Name
	if err != nil {
		user = mfa.UserOf(err, mfa.Name{})
	}
	if t == nil || user.IsZero() {
		return err
	}
	key := t.keys[0]
	if key.user = user.Key(); key == t.keys[0] {
		return err
	}
	if refused := t.enter(ctx, key); refused != nil {
		return &mfa.UserError{User: user, Err: refused}
	}
	return err
}

// end is called with each answer; the first one counts. It returns how long after
// its receipt a rejection may leave.
func (t *try) end(o mfa.Outcome) (delay time.Duration) {
	if t == nil || t.over.Swap(true) {
		return 0
	}
	for _, key := range t.keys[:t.n] {
		delay = max(delay, t.limits.tries.leave(key, o == mfa.Reject, t.client.RejectDelay))
	}
	if o == mfa.Reject && t.limits.Others != nil && t.n > 0 && t.limits.told.mayTell(time.Now()) {
		go t.tell()
	}
	return delay
}

// passed says that the login goes on: who waits for a device has the right password.
func (t *try) passed() { t.end(mfa.Challenge) }

// Of wrong passwords a node tells the others maxTold in toldWindow: guessing at many names does
// not fill the disk. It slows down what it does not tell itself.
const (
	maxTold    = 50
	toldWindow = 10 * time.Second
	// tellTime is how long the disk may take for one.
	tellTime = time.Second
)

// told counts what the other nodes were told. It may be used concurrently.
type told struct {
	mu    sync.Mutex
	since time.Time
	n     int
}

func (t *told) mayTell(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.since) >= toldWindow {
		t.since, t.n = now, 0
	}
	t.n++
	return t.n <= maxTold
}

// tell has the other nodes count the try. Whatever comes of that, it counts here.
func (t *try) tell() {
	ctx, cancel := context.WithTimeout(context.Background(), tellTime)
	defer cancel()
	for _, key := range t.keys[:t.n] {
		ev := mfa.Event{Time: time.Now(), Kind: mfa.EventGuess, Outcome: mfa.Reject, Origin: mfa.Origin{
			User: mfa.NameOf(key.user.String()), Client: t.client.Name, Group: t.client.Group, EndUser: key.endUser,
		}}
		if !key.signed {
			ev.Text = isUnsigned
		}
		if tryKeyOf(&ev) == key { // not for a name without a form
			_ = t.limits.Others.Record(ctx, ev)
		}
	}
}
