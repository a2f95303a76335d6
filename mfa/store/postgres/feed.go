package postgres

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

const (
	// feedTime bounds one reading of news.
	feedTime = 5 * time.Second
	// feedMost is how many entries of one run are read at once, and sinceMost how many of one
	// user, the newest.
	feedMost, sinceMost = 512, 256
)

// feed is how far memory has what others wrote. A run has one writer, so that a place in
// each misses nothing.
type feed struct {
	mu      sync.Mutex
	at      places
	next    *places // what the last Changes has read, until it is acknowledged
	counter int64   // how often something was acknowledged
}

// places are the last rows that were read.
type places struct {
	runs    map[int32]int64
	changes int64 // of table site
}

// begin goes on from at, which memory was read with. Where it was read again, entries that others
// have written before are still to be told: from where the feed was.
func (f *feed) begin(at places) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at.runs != nil {
		for run, n := range at.runs {
			at.runs[run] = min(n, f.at.runs[run])
		}
	}
	f.at, f.next = at, nil
	f.counter++
}

func (f *feed) last() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counter
}

// knows reports whether there is or was such a run, not long ago.
func (f *feed) knows(run int32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.at.runs[run]
	return ok
}

// changesNow is the last change of what belongs to no user that memory has.
func (f *feed) changesNow() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at.changes
}

// seenNow is the last row of commands that memory has.
func (f *feed) seenNow() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at.runs[0]
}

// pullPlaces reads where all runs are.
func pullPlaces(ctx context.Context, tx *sql.Tx) (p places, err error) {
	p.runs = make(map[int32]int64)
	err = sqlstore.Each(ctx, tx, `SELECT run, n FROM nodes`, nil, func(r *sql.Rows) error {
		var run int32
		var n int64
		err := r.Scan(&run, &n)
		p.runs[run] = n
		return err
	})
	if err == nil {
		err = tx.QueryRowContext(ctx, `SELECT changes FROM site`).Scan(&p.changes)
	}
	return p, err
}

// LastChange implements store.Backend: a number that is another one when others have written
// what is to be read.
func (d *DB) LastChange() (sum int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), feedTime)
	defer cancel()
	var instance time.Time
	err = d.SQL.QueryRowContext(ctx, `SELECT coalesce(sum(fed + run), 0)::bigint, pg_postmaster_start_time() FROM nodes WHERE run <> $1`, d.writer.number()).Scan(&sum, &instance)
	if err == nil && (d.isVoid() || !instance.Equal(d.writer.met())) {
		sum = -d.feed.last() - 1 // another each time, until Changes has found the primary
	}
	return sum, err
}

// Told implements store.Backend: nobody tells.
func (d *DB) Told() <-chan struct{} { return nil }

// Changes implements store.Backend.
func (d *DB) Changes(ctx context.Context, after int64, _ int) (*record.News, error) {
	n := &record.News{Last: after}
	if err := d.writer.check(ctx, d); err != nil {
		return nil, err
	}
	if d.isVoid() {
		n.Last, n.Reload = after+1, true
		return n, nil
	}
	d.feed.mu.Lock()
	next := places{runs: make(map[int32]int64, len(d.feed.at.runs)), changes: d.feed.at.changes}
	var runs []int32
	var ns []int64
	for run, n := range d.feed.at.runs {
		runs, ns = append(runs, run), append(ns, n)
	}
	d.feed.mu.Unlock()
	err := d.View(ctx, func(tx *sql.Tx) error {
		site, err := d.pullFeed(ctx, tx, runs, ns, n, &next)
		if err == nil && site {
			n.Site = new(record.Site)
			if err = sqlstore.PullSite(ctx, tx, n.Site); err == nil {
				err = tx.QueryRowContext(ctx, `SELECT changes FROM site`).Scan(&next.changes)
			}
		}
		return err
	})
	if err == nil && n.Site != nil {
		if err = d.Keys.Load(); err == nil {
			err = d.loadSecret(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	if n.Site != nil || len(n.Users)+len(n.Entries) > 0 {
		n.Last = after + 1
	}
	d.feed.mu.Lock()
	defer d.feed.mu.Unlock()
	if n.Last == after { // nothing to acknowledge
		d.feed.at = next
	} else {
		d.feed.next = &next
	}
	return n, nil
}

// pullFeed reads the rows of each run behind the place in it. site: one of them says that
// what belongs to no user has changed.
func (d *DB) pullFeed(ctx context.Context, tx *sql.Tx, runs []int32, ns []int64, n *record.News, next *places) (site bool, err error) {
	// LATERAL: as a join, the planner reads the whole index.
	const query = `SELECT r.run, r.n, e.n, e.usr, e.seq, coalesce(e.kind, 0), ` + eventColumns + `
		FROM nodes r LEFT JOIN unnest($1::integer[], $2::bigint[]) AS c (run, n) ON c.run = r.run LEFT JOIN LATERAL
		(SELECT * FROM events e WHERE e.run = r.run AND e.n > coalesce(c.n, 0) AND e.feed AND r.run <> $3 AND r.fed > coalesce(c.n, 0)
			ORDER BY run, n LIMIT 512) e ON true`
	count := make(map[int32]int)
	err = sqlstore.Each(ctx, tx, query, []any{runs, ns, d.writer.number()}, func(r *sql.Rows) error {
		var run int32
		var last int64
		var row feedRow
		if err := row.scan(r, &run, &last); err != nil {
			return err
		}
		if !row.n.Valid { // nothing of this run
			next.runs[run] = max(next.runs[run], last)
			return nil
		}
		if count[run]++; count[run] == feedMost {
			next.runs[run] = row.n.Int64 // there may be more
		} else {
			next.runs[run] = last
		}
		switch {
		case !row.usr.Valid:
			site = true
		case row.kind == record.StepNumber(mfa.EventChange):
			n.Users = append(n.Users, untext(row.usr.String))
		default:
			e, err := row.event()
			n.Entries = append(n.Entries, record.Numbered{User: untext(row.usr.String), N: row.seq.Int64, Event: e.Event})
			return err
		}
		return nil
	})
	return site, err
}

// Since reads what came to the logs of users after some entries, with the accounts as they
// are then.
func (d *DB) Since(ctx context.Context, after map[string]int64) (*record.News, error) {
	n := &record.News{Numbers: make(map[string]int64)}
	var from []int64
	var keys []string
	for user, at := range after {
		n.Users, keys, from = append(n.Users, user), append(keys, text(user)), append(from, at)
	}
	return n, d.View(ctx, func(tx *sql.Tx) (err error) {
		if n.Accounts, err = sqlstore.Pull(ctx, tx, `WHERE usr = ANY($1)`, keys); err != nil {
			return err
		}
		if err := d.Trail.Replay(ctx, tx, n.Accounts); err != nil {
			return err
		}
		if err := d.doubtful(ctx, tx, n.Accounts); err != nil {
			return err
		}
		const numbers = `SELECT u.usr, coalesce((SELECT max(seq) FROM events e WHERE e.usr = u.usr), 0) FROM unnest($1::text[]) AS u (usr)`
		if err := pullNumbers(ctx, tx, n.Numbers, numbers, keys); err != nil {
			return err
		}
		const query = `SELECT 0, 0, e.n, e.usr, e.seq, coalesce(e.kind, 0), ` + eventColumns + ` FROM unnest($1::text[], $2::bigint[]) AS u (usr, seq)
			CROSS JOIN LATERAL (SELECT * FROM events e WHERE e.usr = u.usr AND e.seq > u.seq ORDER BY e.seq DESC LIMIT $3) e ORDER BY e.usr, e.seq`
		return sqlstore.Each(ctx, tx, query, []any{keys, from, sinceMost}, func(r *sql.Rows) error {
			var run int32
			var last int64
			var row feedRow
			if err := row.scan(r, &run, &last); err != nil || row.kind == blank {
				return err
			}
			e, err := row.event()
			n.Entries = append(n.Entries, record.Numbered{User: untext(row.usr.String), N: row.seq.Int64, Event: e.Event})
			return err
		})
	})
}

// Acknowledge implements store.Backend.
func (d *DB) Acknowledge(change int64) error {
	f := &d.feed
	f.mu.Lock()
	before := f.at.runs[0]
	if f.next != nil {
		f.at, f.next = *f.next, nil
	}
	f.counter = max(f.counter, change)
	seen := f.at.runs[0]
	f.mu.Unlock()
	if seen == before {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), feedTime)
	defer cancel()
	_, err := d.SQL.ExecContext(ctx, `UPDATE nodes SET seen = $2 WHERE run = $1`, d.writer.number(), seen)
	return err
}
