package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

// Fold implements store.Backend. It brings the next events into the tables that are slow to
// write: the uses into tokens, the users into the index. Rows after meta 'folded' are found
// by looking at all of them.
func (d *DB) Fold(ctx context.Context, limit int) (n int, err error) {
	var last int64
	err = d.Update(ctx, func(tx *sql.Tx) error {
		uses := make(map[string]*record.Token)
		var users []string
		var ids []int64
		const query = `SELECT id, coalesce(usr, ''), coalesce(token, ''), step, coalesce(drift, 0) FROM events WHERE id > ` + FoldedMark + `
			UNION ALL SELECT id, coalesce(usr, ''), '', NULL, 0 FROM accounting WHERE id > ` + FoldedMark + ` ORDER BY 1 LIMIT ?`
		err := sqlstore.Each(ctx, tx, query, []any{limit}, func(r *sql.Rows) error {
			var user, id string
			var step sql.NullInt64
			var drift int64
			if err := r.Scan(&last, &user, &id, &step, &drift); err != nil {
				return err
			}
			n++
			if user != "" {
				users, ids = append(users, mfa.NameOf(user).Key().String()), append(ids, last)
			}
			if step.Valid {
				if uses[id] == nil {
					uses[id] = new(record.Token)
				}
				uses[id].Used(step.Int64, drift)
			}
			return nil
		})
		if err != nil || n == 0 {
			return err
		}
		insert, err := tx.PrepareContext(ctx, `INSERT OR IGNORE INTO event_user (usr, id) VALUES (?, ?)`)
		if err != nil {
			return err
		}
		defer insert.Close()
		for i, user := range users {
			if _, err := insert.ExecContext(ctx, user, ids[i]); err != nil {
				return err
			}
		}
		if err := foldUses(ctx, tx, uses); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE meta SET value = ? WHERE key = 'folded'`, last)
		return err
	})
	return n, err
}

// foldUses brings the last uses of tokens into their rows. A use may have waited
// for the disk while its token was removed.
func foldUses(ctx context.Context, tx *sql.Tx, uses map[string]*record.Token) error {
	update, err := tx.PrepareContext(ctx, `UPDATE tokens SET next = ?2, drift = ?3 WHERE id = ?1 AND next < ?2`)
	if err != nil {
		return err
	}
	defer update.Close()
	for id, t := range uses {
		r, err := update.ExecContext(ctx, id, t.Next, t.Drift)
		if err := sqlstore.Changed(r, err, op.ErrNotFound); err == nil {
			continue
		} else if !errors.Is(err, op.ErrNotFound) {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE removed SET next = ?2 WHERE id = ?1 AND next < ?2`, id, t.Next); err != nil {
			return err
		}
	}
	return nil
}

// Thin implements store.Backend. Each row is looked at once.
func (d *DB) Thin(ctx context.Context, before time.Time, limit int) (n int, freed int64, err error) {
	cutoff := before.UnixMicro()
	err = d.Update(ctx, func(tx *sql.Tx) error {
		type row struct {
			id   int64
			user string
		}
		freed = 0
		var last int64
		var rows []row
		const query = `SELECT id, coalesce(usr, ''), interim IS NOT NULL, coalesce(length(usr), 0) + coalesce(length(client), 0) + length(data) FROM accounting
			WHERE id > (SELECT value FROM meta WHERE key = 'thinned') AND id < ? AND id <= ` + FoldedMark + ` ORDER BY id LIMIT ?`
		err := sqlstore.Each(ctx, tx, query, []any{cutoff, limit}, func(r *sql.Rows) error {
			var interim bool
			var user string
			var size int64
			if err := r.Scan(&last, &user, &interim, &size); err != nil {
				return err
			}
			n++
			if interim {
				freed += size + record.RowOverhead
				rows = append(rows, row{last, mfa.NameOf(user).Key().String()})
			}
			return nil
		})
		if err != nil || n == 0 {
			return err
		}
		for _, r := range rows {
			if _, err := tx.ExecContext(ctx, `DELETE FROM accounting WHERE id = ?`, r.id); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM event_user WHERE usr = ? AND id = ?`, r.user, r.id); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `UPDATE meta SET value = ? WHERE key = 'thinned'`, last)
		return err
	})
	return n, freed, err
}

// Prune implements store.Backend.
func (d *DB) Prune(ctx context.Context, p record.Pruning) (n int, last, freed int64, err error) {
	table := "events"
	if p.Reports {
		table = "accounting"
	}
	query := `SELECT id, coalesce(usr, ''), coalesce(length(usr), 0) + coalesce(length(client), 0) + length(data) FROM ` + table +
		` WHERE id > ?1 AND id < ?2 AND id <= ` + FoldedMark
	if !p.Reports {
		query += ` AND (id < ?4 OR NOT ` + counting + `)`
	} else {
		query += ` AND ?4 = ?4`
	}
	err = d.Update(ctx, func(tx *sql.Tx) error {
		var ids []int64
		var users []string
		err := sqlstore.Each(ctx, tx, query+` ORDER BY id LIMIT ?3`, []any{p.From, p.Before, p.Limit, p.Spare}, func(r *sql.Rows) error {
			var user string
			var size int64
			if err := r.Scan(&last, &user, &size); err != nil {
				return err
			}
			ids, users, freed = append(ids, last), append(users, user), freed+size+record.RowOverhead
			return nil
		})
		if err != nil {
			return err
		}
		for i, id := range ids {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE id = ?`, id); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `DELETE FROM event_user WHERE usr = ? AND id = ?`, mfa.NameOf(users[i]).Key().String(), id); err != nil {
				return err
			}
		}
		n = len(ids)
		return nil
	})
	return n, last, freed, err
}

// Tidy implements store.Backend.
func (d *DB) Tidy(ctx context.Context, now time.Time, change int64, keep int) error {
	return d.Update(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM invitations WHERE expires <= ?`, record.Micros(now)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM changes WHERE id <= min((SELECT max(id) FROM changes) - ?, ?)`, keep, change)
		return err
	})
}

// Clock implements store.Backend.
func (d *DB) Clock(ctx context.Context) (trusted, oldest time.Time, err error) {
	const query = `SELECT (SELECT value FROM meta WHERE key = 'pruned'),
		(SELECT min(id) FROM (SELECT min(id) AS id FROM events UNION ALL SELECT min(id) FROM accounting))`
	var clock, first sql.NullInt64
	err = d.SQL.QueryRowContext(ctx, query).Scan(&clock, &first)
	return record.FromMicros(clock.Int64), record.FromMicros(first.Int64), err
}

// ReportsSize implements store.Backend.
func (d *DB) ReportsSize(ctx context.Context, last int64) (octets int64, err error) {
	const query = `SELECT coalesce(sum(coalesce(length(usr), 0) + coalesce(length(client), 0) + length(data) + ?), 0) FROM accounting WHERE id <= ?`
	err = d.SQL.QueryRowContext(ctx, query, record.RowOverhead, last).Scan(&octets)
	return octets, err
}

// Size implements store.Backend. Room within the file is used again.
func (d *DB) Size(ctx context.Context) (n int64, err error) {
	const query = `SELECT (p.page_count - f.freelist_count) * s.page_size FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s`
	err = d.SQL.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}

// OthersSize implements store.Backend.
func (d *DB) OthersSize(ctx context.Context) (all int64, err error) {
	var names []string
	err = sqlstore.Each(ctx, d.SQL, `SELECT name FROM sqlite_schema WHERE rootpage > 0 AND name NOT IN ('events', 'event_user', 'accounting')`, nil, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	})
	for _, name := range names {
		var n int64
		if err := d.SQL.QueryRowContext(ctx, `SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name = ?`, name).Scan(&n); err != nil {
			return 0, err
		}
		all += n
	}
	return all, err
}
