package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

// Load implements store.Backend. Codes that were used up since the last folding are read
// beside the rest, as of another moment: this process writes them, and now it does not.
func (d *DB) Load(ctx context.Context) (*record.State, error) {
	type trailUses struct {
		of  map[string]*record.Token
		err error
	}
	read := make(chan trailUses, 1)
	go func() {
		of := make(map[string]*record.Token)
		read <- trailUses{of, eachUse(ctx, d.SQL, func(id []byte, step, drift int64) {
			t := of[string(id)]
			if t == nil {
				t = new(record.Token)
				of[string(id)] = t
			}
			t.Used(step, drift)
		})}
	}()
	st, err := d.load(ctx)
	uses := <-read
	if err = errors.Join(err, uses.err); err != nil {
		return nil, err
	}
	for _, a := range st.Accounts {
		for i := range a.Tokens {
			if u := uses.of[a.Tokens[i].ID]; u != nil {
				a.Tokens[i].Used(u.Next-1, int64(u.Drift))
			}
		}
	}
	return st, nil
}

// load is Load without what is only in the trail.
func (d *DB) load(ctx context.Context) (*record.State, error) {
	st := new(record.State)
	return st, d.View(ctx, func(tx *sql.Tx) (err error) {
		if st.Accounts, err = sqlstore.Pull(ctx, tx, ""); err != nil {
			return err
		}
		if err := sqlstore.PullSite(ctx, tx, &st.Site); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT (SELECT coalesce(max(id), 0) FROM changes),
			(SELECT count(*) FROM events WHERE id > `+FoldedMark+`) + (SELECT count(*) FROM accounting WHERE id > `+FoldedMark+`)`).Scan(&st.Change, &st.Tail)
	})
}

// Accounts implements store.Backend.
func (d *DB) Accounts(ctx context.Context, of record.Which) (accounts map[string]*record.Account, err error) {
	var filter string
	var args []any
	switch {
	case of.Device != "":
		filter, args = `WHERE usr IN (SELECT usr FROM devices WHERE id = ?)`, []any{of.Device}
	case of.User != "":
		filter, args = `WHERE usr = ?`, []any{of.User}
	}
	err = d.View(ctx, func(tx *sql.Tx) error {
		if accounts, err = sqlstore.Pull(ctx, tx, filter, args...); err != nil {
			return err
		}
		return d.Trail.Replay(ctx, tx, accounts)
	})
	return accounts, err
}

// LastChange implements store.Backend. The statement is prepared, and has no context:
// one that can end costs a goroutine a call.
func (d *DB) LastChange() (id int64, err error) {
	err = d.last.QueryRowContext(context.Background()).Scan(&id)
	return id, err
}

// Told implements store.Backend.
func (d *DB) Told() <-chan struct{} {
	if d.notices == nil {
		return nil
	}
	return d.notices.Come()
}

// Acknowledge implements store.Backend.
func (d *DB) Acknowledge(change int64) error {
	d.acked = change
	return datadir.WriteApplied(d.ack, change)
}

// AwaitServer implements store.Backend.
func (d *DB) AwaitServer(ctx context.Context, change int64) error {
	datadir.Notify(d.dir)
	return datadir.AwaitApplied(ctx, d.dir, change)
}

// Changes implements store.Backend.
func (d *DB) Changes(ctx context.Context, after int64, limit int) (*record.News, error) {
	n := &record.News{Last: after}
	return n, d.View(ctx, func(tx *sql.Tx) error {
		const query = `SELECT id, usr FROM changes WHERE id > ? ORDER BY id LIMIT ?`
		err := sqlstore.Each(ctx, tx, query, []any{after, limit}, func(r *sql.Rows) error {
			var user sql.NullString
			if err := r.Scan(&n.Last, &user); err != nil {
				return err
			}
			if !user.Valid {
				n.Site = new(record.Site)
			} else {
				n.Users = append(n.Users, user.String)
			}
			return nil
		})
		if err == nil && n.Site != nil {
			err = sqlstore.PullSite(ctx, tx, n.Site)
		}
		if err == nil && len(n.Users) > 0 {
			n.Accounts, err = sqlstore.Pull(ctx, tx, `WHERE usr IN (SELECT usr FROM changes WHERE id > ? AND id <= ?)`, after, n.Last)
		}
		return err
	})
}

// trail implements sqlstore.Trail.
type trail struct{}

// Replay implements sqlstore.Trail.
func (trail) Replay(ctx context.Context, q sqlstore.Querier, accounts map[string]*record.Account) error {
	tokens := make(map[string]*record.Token, len(accounts))
	for _, a := range accounts {
		for i := range a.Tokens {
			tokens[a.Tokens[i].ID] = &a.Tokens[i]
		}
	}
	if len(tokens) == 0 {
		return nil
	}
	return eachUse(ctx, q, func(id []byte, step, drift int64) {
		if t := tokens[string(id)]; t != nil {
			t.Used(step, drift)
		}
	})
}

// eachUse calls f for each use of a token that is not folded.
func eachUse(ctx context.Context, q sqlstore.Querier, f func(id []byte, step, drift int64)) error {
	const query = `SELECT token, step, coalesce(drift, 0) FROM events WHERE id > ` + FoldedMark + ` AND step IS NOT NULL`
	return sqlstore.Each(ctx, q, query, nil, func(r *sql.Rows) error {
		var id sql.RawBytes
		var step, drift int64
		err := r.Scan(&id, &step, &drift)
		if err == nil {
			f(id, step, drift)
		}
		return err
	})
}

// UsedUp implements sqlstore.Trail.
func (trail) UsedUp(ctx context.Context, q sqlstore.Querier, _, token string) (next int64, err error) {
	const query = `SELECT coalesce(max(step) + 1, 0) FROM events WHERE id > ` + FoldedMark + ` AND token = $1`
	err = q.QueryRowContext(ctx, query, token).Scan(&next)
	return next, err
}
