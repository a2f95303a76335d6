package nas

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// offeredSockets have an open loop's logins, each up to pushesASock at once. A login
// that finds none free waits for one, and its time counts.
const offeredSockets = 16

// offer begins the logins of an open loop by schedule, the sockets in turn.
func (r *benchRun) offer(ctx context.Context, start time.Time, workers []*benchWorker) error {
	runtime.LockOSThread() // it sleeps in the kernel
	defer runtime.UnlockOSThread()
	for n := 0; r.Logins == 0 || n < r.Logins; n++ {
		due := start.Add(time.Duration(float64(n) / r.Rate * float64(time.Second)))
		if !due.Before(r.end) {
			return nil
		}
		if sleepUntil(due); ctx.Err() != nil {
			return nil
		}
		if err := workers[n%len(workers)].offered(ctx, due); err != nil {
			return err
		}
	}
	return nil
}

// sleepUntil sleeps by the kernel's timer: Go's is late by up to a millisecond, more
// than a login takes.
func sleepUntil(due time.Time) {
	for left := time.Until(due); left > 0; left = time.Until(due) {
		tv := unix.NsecToTimeval(int64(left))
		unix.Select(0, nil, nil, nil, &tv) // a signal may end it early
	}
}

// offered begins the login that is due.
func (w *benchWorker) offered(ctx context.Context, due time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late = append(w.late, due)
	return w.beginLate(ctx, time.Now())
}

// beginLate begins the logins that are due, as many as slots are free. Where the users
// have run out it drops them; that is counted. The caller holds the lock.
func (w *benchWorker) beginLate(ctx context.Context, now time.Time) error {
	for i := 0; i < len(w.slots) && len(w.late) > 0; i++ {
		if w.slots[i].busy {
			continue
		}
		due := w.late[0]
		w.late = w.late[1:]
		if err := w.begin(ctx, &w.slots[i], now, due); err != nil {
			return err
		}
	}
	return nil
}
