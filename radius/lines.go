package radius

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/radmatch/radmatch/mfa"
)

// lines sums up the log lines of requests that were not accepted, as the
// trail does with their events: of one client and reason linesKept in linesWindow
// are written, the rest is one line with their count. Its zero value is ready.
type lines struct {
	mu   sync.Mutex
	sums map[lineKey]*lineSum
}

const (
	linesKept   = 50
	linesWindow = 10 * time.Second
)

type lineKey struct {
	client string
	reason mfa.Reason
}

type lineSum struct {
	since time.Time
	seen  int
	last  mfa.Outcome
}

func denied(o mfa.Outcome) bool { return o == mfa.Reject || o == mfa.Discard }

// allow counts a line, and reports whether it is to be written. One that is not
// will be in a sum at the end of its window.
func (l *lines) allow(log *zap.Logger, x *exchange, d *mfa.Decision) bool {
	key, now := lineKey{x.client.Name, d.Reason}, time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sums[key]
	if s == nil || s.seen <= linesKept && now.Sub(s.since) >= linesWindow {
		if l.sums == nil {
			l.sums = make(map[lineKey]*lineSum)
		}
		s = &lineSum{since: now}
		l.sums[key] = s
	}
	s.seen++
	s.last = d.Outcome
	if s.seen == linesKept+1 {
		time.AfterFunc(linesWindow-now.Sub(s.since), func() { l.sum(log, key) })
	}
	return s.seen <= linesKept
}

// sum writes what was counted for key and begins anew.
func (l *lines) sum(log *zap.Logger, key lineKey) {
	l.mu.Lock()
	s := l.sums[key]
	delete(l.sums, key)
	l.mu.Unlock()
	if s == nil || s.seen <= linesKept {
		return
	}
	log.Info("requests that are summed up", zap.String("client", key.client), zap.String("outcome", s.last.String()),
		zap.String("reason", string(key.reason)), zap.Int("count", s.seen-linesKept))
}

// flush writes all sums.
func (l *lines) flush(log *zap.Logger) {
	l.mu.Lock()
	var keys []lineKey
	for key := range l.sums {
		keys = append(keys, key)
	}
	l.mu.Unlock()
	for _, key := range keys {
		l.sum(log, key)
	}
}
