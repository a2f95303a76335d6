package postgres

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
	"github.com/radmatch/radmatch/otp"
)

// errMoved means that memory would be read from another primary than the one that is written.
var errMoved = errors.New("the database has changed its primary meanwhile; try again")

// Load implements store.Backend. Accounts, their numbers and the places from which the feed
// goes on are of one moment.
func (d *DB) Load(ctx context.Context) (*record.State, error) {
	d.mu.Lock()
	generation, timeline := d.generation, d.writer.timeline
	d.mu.Unlock()
	st := &record.State{Numbers: make(map[string]int64)}
	var next places
	err := d.View(ctx, func(tx *sql.Tx) (err error) {
		if err := onTimeline(ctx, tx, timeline); err != nil {
			return err
		}
		if st.Accounts, err = sqlstore.Pull(ctx, tx, ""); err != nil {
			return err
		}
		behind, err := pullAllNumbers(ctx, tx, st)
		if err != nil {
			return err
		}
		if st.Tail, err = d.replayAll(ctx, tx, behind); err != nil {
			return err
		}
		if err := d.doubtful(ctx, tx, st.Accounts); err != nil {
			return err
		}
		if err := sqlstore.PullSite(ctx, tx, &st.Site); err != nil {
			return err
		}
		next, err = pullPlaces(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	d.feed.begin(next)
	st.Change = d.feed.last()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loaded = generation
	return st, nil
}

// onTimeline makes sure that tx reads from the primary with this timeline.
func onTimeline(ctx context.Context, tx *sql.Tx, timeline string) error {
	var is string
	err := tx.QueryRowContext(ctx, `SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)`).Scan(&is)
	if err == nil && is != timeline {
		err = errMoved
	}
	return err
}

// unfolded is a user with entries that are not folded: those after one, up to another.
type unfolded struct {
	account  *record.Account
	after, n int64
	seen     int64 // how many of them were read
}

// pullAllNumbers reads how far the logs of all users are, and returns those with entries that
// are not folded.
func pullAllNumbers(ctx context.Context, tx *sql.Tx, st *record.State) (behind map[string]*unfolded, err error) {
	behind = make(map[string]*unfolded)
	const query = `SELECT u.usr, e.seq, coalesce(f.seq, 0) FROM (SELECT usr FROM users UNION SELECT usr FROM tokens) u LEFT JOIN folded f USING (usr) CROSS JOIN LATERAL
		(SELECT seq FROM events e WHERE e.usr = u.usr AND seq IS NOT NULL ORDER BY seq DESC LIMIT 1) e`
	return behind, sqlstore.Each(ctx, tx, query, nil, func(r *sql.Rows) error {
		var user string
		var n, folded int64
		if err := r.Scan(&user, &n, &folded); err != nil {
			return err
		}
		user = untext(user)
		st.Numbers[user] = n
		if a := st.Accounts[user]; a != nil && n > folded {
			behind[user] = &unfolded{account: a, after: folded, n: n}
		}
		return nil
	})
}

// replayAll brings the tokens of many users up to date. It reads what is younger than the last
// folding from end to end, which lies together, and returns how much that is. Where a clock was
// wrong or a commit late, entries of a user are missing there: then it reads the log of that
// user.
func (d *DB) replayAll(ctx context.Context, tx *sql.Tx, behind map[string]*unfolded) (tail int64, err error) {
	const query = `SELECT coalesce(usr, ''), coalesce(seq, 0), coalesce(token, ''), step, coalesce(drift, 0) FROM events
		WHERE at > (SELECT value FROM meta WHERE key = 'folded')`
	err = sqlstore.Each(ctx, tx, query, nil, func(r *sql.Rows) error {
		var user, token string
		var seq, drift int64
		var step sql.NullInt64
		if err := r.Scan(&user, &seq, &token, &step, &drift); err != nil {
			return err
		}
		tail++
		u := behind[untext(user)]
		if u == nil || seq <= u.after || seq > u.n {
			return nil
		}
		u.seen++
		if t := u.account.Token(token); t != nil && step.Valid {
			t.Used(step.Int64, drift)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	missing := make(map[string]*record.Account)
	for user, u := range behind {
		if u.seen != u.n-u.after {
			missing[user] = u.account
		}
	}
	return tail, d.Trail.Replay(ctx, tx, missing)
}

// pullNumbers reads how far the logs of users are.
func pullNumbers(ctx context.Context, tx *sql.Tx, numbers map[string]int64, query string, args ...any) error {
	return sqlstore.Each(ctx, tx, query, args, func(r *sql.Rows) error {
		var user string
		var n int64
		err := r.Scan(&user, &n)
		numbers[untext(user)] = n
		return err
	})
}

// Accounts implements store.Backend.
func (d *DB) Accounts(ctx context.Context, of record.Which) (accounts map[string]*record.Account, err error) {
	var filter string
	var args []any
	switch {
	case of.Device != "":
		filter, args = `WHERE usr IN (SELECT usr FROM devices WHERE id = $1)`, []any{of.Device}
	case of.User != "":
		filter, args = `WHERE usr = $1`, []any{of.User}
	}
	err = d.View(ctx, func(tx *sql.Tx) error {
		if accounts, err = sqlstore.Pull(ctx, tx, filter, args...); err != nil {
			return err
		}
		return d.Trail.Replay(ctx, tx, accounts)
	})
	return accounts, err
}

// deviceTime bounds a look for a device that memory does not have.
const deviceTime = 3 * time.Second

// HasDevice reports whether a device is registered, though memory has not heard of it yet.
// Anybody can ask for an id: one query does at a time, by a primary key.
func (d *DB) HasDevice(ctx context.Context, id string) (has bool, err error) {
	if !isText(id) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, deviceTime)
	defer cancel()
	select {
	case d.asking <- struct{}{}:
		defer func() { <-d.asking }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	err = d.SQL.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM devices WHERE id = $1)`, id).Scan(&has)
	return has && err == nil, err
}

// trail implements sqlstore.Trail.
type trail struct{ *DB }

// Replay implements sqlstore.Trail. Of each user it reads what came after table folded.
func (t trail) Replay(ctx context.Context, q sqlstore.Querier, accounts map[string]*record.Account) error {
	users := make([]string, 0, len(accounts))
	tokens := make(map[string]*record.Token, len(accounts))
	for user, a := range accounts {
		if len(a.Tokens) > 0 {
			users = append(users, user)
		}
		for i := range a.Tokens {
			tokens[a.Tokens[i].ID] = &a.Tokens[i]
		}
	}
	if len(users) == 0 {
		return nil
	}
	const query = `SELECT e.token, e.step, coalesce(e.drift, 0) FROM unnest($1::text[]) AS u (usr) LEFT JOIN folded f USING (usr) CROSS JOIN LATERAL
		(SELECT token, step, drift FROM events e WHERE e.usr = u.usr AND e.seq > coalesce(f.seq, 0) AND step IS NOT NULL) e`
	return sqlstore.Each(ctx, q, query, []any{users}, func(r *sql.Rows) error {
		var id string
		var step, drift int64
		if err := r.Scan(&id, &step, &drift); err != nil {
			return err
		}
		if t := tokens[id]; t != nil {
			t.Used(step, drift)
		}
		return nil
	})
}

// UsedUp implements sqlstore.Trail. The uses of a token that is removed are noted with its
// removal: no entry of its user can come between.
func (t trail) UsedUp(ctx context.Context, q sqlstore.Querier, user, token string) (next int64, err error) {
	if user == "" {
		return 0, nil
	}
	const query = `SELECT coalesce(max(step) + 1, 0) FROM events
		WHERE usr = $1 AND seq > coalesce((SELECT seq FROM folded WHERE usr = $1), 0) AND token = $2`
	err = q.QueryRowContext(ctx, query, user, token).Scan(&next)
	return next, err
}

// doubtful leaves out of accounts what may have been used up by logins that a failover has
// lost. Steps of before count as used; passes are over; a counter is not sure until a login
// has used it.
func (d *DB) doubtful(ctx context.Context, tx *sql.Tx, accounts map[string]*record.Account) error {
	d.mu.Lock()
	floor := d.floor
	d.mu.Unlock()
	if floor == 0 {
		return nil
	}
	sure := make(map[string]bool)
	err := sqlstore.Each(ctx, tx, `SELECT DISTINCT token FROM events WHERE at > $1 AND step IS NOT NULL`, []any{floor}, func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		sure[id] = true
		return err
	})
	for _, a := range accounts {
		for i := range a.Tokens {
			doubt(&a.Tokens[i], floor, sure)
		}
	}
	return err
}

// doubt changes what memory has of a token from before the floor.
func doubt(t *record.Token, floor int64, sure map[string]bool) {
	switch {
	case t.Created >= floor:
	case t.Kind == otp.Pass:
		t.Expires = min(t.Expires, floor)
	case t.Period > 0:
		t.Next = max(t.Next, floor/1e6/int64(t.Period)+int64(max(0, t.Drift))+2)
	default:
		t.Doubt = !sure[t.ID]
	}
}
