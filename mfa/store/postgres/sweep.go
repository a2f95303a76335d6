package postgres

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"

	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

const (
	// sweeping is the advisory lock of the node that keeps house.
	sweeping = 0x7261646e
	// countEvery is how often the size of what is kept is counted anew: other nodes add.
	countEvery = time.Hour
	// goneAfter is after which silence a run is forgotten, and oldPrompt how old a prompt is
	// whose login cannot be open.
	goneAfter = "24 hours"
	oldPrompt = time.Hour
)

// sweep runs f in a transaction, at one node at a time. What another node does now needs no
// other to do it.
func (d *DB) sweep(ctx context.Context, f func(*sql.Tx) error) error {
	return d.Update(ctx, func(tx *sql.Tx) error {
		var mine bool
		if err := tx.QueryRowContext(ctx, `SELECT pg_try_advisory_xact_lock($1)`, sweeping).Scan(&mine); err != nil || !mine {
			return err
		}
		return f(tx)
	})
}

// Fold implements store.Backend. Which users have news it takes from the times of the rows;
// up to where, from the numbers of each, so that no clock and no late commit hides a use.
func (d *DB) Fold(ctx context.Context, limit int) (n int, err error) {
	err = d.sweep(ctx, func(tx *sql.Tx) error {
		upTo := make(map[string]int64)
		var last int64
		n = 0
		const query = `SELECT at, coalesce(usr, ''), coalesce(seq, 0) FROM events
			WHERE at > (SELECT value FROM meta WHERE key = 'folded') ORDER BY at LIMIT $1`
		err := sqlstore.Each(ctx, tx, query, []any{limit}, func(r *sql.Rows) error {
			var user string
			var seq int64
			err := r.Scan(&last, &user, &seq)
			if n++; seq > 0 {
				upTo[user] = max(upTo[user], seq)
			}
			return err
		})
		if err != nil || n == 0 {
			return err
		}
		if err := foldUsers(ctx, tx, upTo); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE meta SET value = $1 WHERE key = 'folded'`, last)
		return err
	})
	return n, err
}

// foldUsers brings the uses of users into their tokens, up to a number of each.
func foldUsers(ctx context.Context, tx *sql.Tx, upTo map[string]int64) error {
	var users []string
	var seqs []int64
	for user := range upTo {
		users = append(users, user)
	}
	slices.Sort(users)
	for _, user := range users {
		seqs = append(seqs, upTo[user])
	}
	const uses = `UPDATE tokens t SET next = u.step + 1, drift = u.drift FROM (
			SELECT DISTINCT ON (e.token) e.usr, e.token, e.step, coalesce(e.drift, 0) AS drift
			FROM unnest($1::text[], $2::bigint[]) AS f (usr, seq) LEFT JOIN folded o USING (usr)
			CROSS JOIN LATERAL (SELECT * FROM events e WHERE e.usr = f.usr AND e.seq > coalesce(o.seq, 0) AND e.seq <= f.seq AND e.step IS NOT NULL) e
			ORDER BY e.token, e.step DESC) u
		WHERE t.id = u.token AND t.usr = u.usr AND t.next <= u.step`
	if _, err := tx.ExecContext(ctx, uses, users, seqs); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO folded (usr, seq) SELECT * FROM unnest($1::text[], $2::bigint[])
		ON CONFLICT (usr) DO UPDATE SET seq = greatest(folded.seq, excluded.seq)`, users, seqs)
	return err
}

// Thin implements store.Backend.
func (d *DB) Thin(ctx context.Context, before time.Time, limit int) (n int, freed int64, err error) {
	err = d.sweep(ctx, func(tx *sql.Tx) error {
		const query = `WITH old AS (SELECT ctid FROM accounting WHERE interim AND at < $1 ORDER BY at LIMIT $2),
			gone AS (DELETE FROM accounting a USING old WHERE a.ctid = old.ctid RETURNING ` + rowSize + ` AS size)
			SELECT count(*), coalesce(sum(size), 0)::bigint FROM gone`
		return tx.QueryRowContext(ctx, query, before.UnixMicro(), limit).Scan(&n, &freed)
	})
	d.size.add(-freed)
	return n, freed, err
}

// rowSize is about what a row fills, without record.RowOverhead for a part.
const rowSize = `(64 + coalesce(length(usr), 0) + coalesce(length(client), 0) + length(data))`

// Prune implements store.Backend. The last entry of a user stays, without its data: the
// numbers must not begin again.
func (d *DB) Prune(ctx context.Context, p record.Pruning) (n int, last, freed int64, err error) {
	query := `WITH old AS (SELECT ctid, at FROM accounting WHERE at > $1 AND at < $2 AND $3::bigint IS NOT NULL ORDER BY at LIMIT $4),
		gone AS (DELETE FROM accounting a USING old WHERE a.ctid = old.ctid RETURNING a.at, ` + rowSize + ` AS size)
		SELECT count(*), coalesce(max(at), 0), coalesce(sum(size), 0)::bigint FROM gone`
	if !p.Reports {
		query = `WITH old AS (SELECT e.ctid, e.at, e.seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM events l WHERE l.usr = e.usr AND l.seq > e.seq) AS last
			FROM events e LEFT JOIN folded f ON f.usr = e.usr
			WHERE e.at > $1 AND e.at < $2 AND (e.at < $3 OR NOT ` + counting + `) AND (e.seq IS NULL OR e.seq <= f.seq)
				AND NOT (coalesce(e.kind, 0) = 99 AND NOT EXISTS (SELECT 1 FROM events l WHERE l.usr = e.usr AND l.seq > e.seq))
			ORDER BY e.at LIMIT $4),
		gone AS (DELETE FROM events a USING old WHERE a.ctid = old.ctid AND NOT old.last RETURNING a.at, ` + rowSize + ` AS size),
		kept AS (UPDATE events a SET kind = 99, data = '', client = NULL, reason = NULL, name = NULL, tries = NULL FROM old
			WHERE a.ctid = old.ctid AND old.last RETURNING a.at, length(a.data) AS size),
		both_ AS (SELECT * FROM gone UNION ALL SELECT * FROM kept)
		SELECT count(*), coalesce(max(at), 0), coalesce(sum(size), 0)::bigint FROM both_`
	}
	err = d.sweep(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, query, p.From, p.Before, p.Spare, p.Limit).Scan(&n, &last, &freed)
	})
	d.size.add(-freed)
	return n, last, freed, err
}

// Tidy implements store.Backend.
func (d *DB) Tidy(ctx context.Context, now time.Time, _ int64, _ int) error {
	if err := d.leaveLater(ctx); err != nil {
		return err
	}
	if err := d.turnStates(ctx); err != nil {
		return err
	}
	return d.sweep(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM invitations WHERE expires <= $1`, record.Micros(now)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM prompts WHERE at < $1`, d.Now().Add(-oldPrompt).UnixMicro()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM offers WHERE expires <= $1`, record.Micros(now)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM nodes WHERE run > 0 AND beat < now() - interval '`+goneAfter+`' AND run <> $1`, d.writer.number()); err != nil {
			return err
		}
		// What nodes have counted that are no longer there.
		_, err := tx.ExecContext(ctx, `DELETE FROM stats WHERE split_part(client, E'\n', 1) NOT IN (SELECT name FROM nodes)`)
		return err
	})
}

// Clock implements store.Backend.
func (d *DB) Clock(ctx context.Context) (trusted, oldest time.Time, err error) {
	const query = `SELECT (SELECT value FROM meta WHERE key = 'pruned'), least((SELECT min(at) FROM events), (SELECT min(at) FROM accounting))`
	var clock, first sql.NullInt64
	err = d.SQL.QueryRowContext(ctx, query).Scan(&clock, &first)
	return record.FromMicros(clock.Int64), record.FromMicros(first.Int64), err
}

// size is about what the trail fills: a file of PostgreSQL does not become smaller.
type size struct {
	mu      sync.Mutex
	octets  int64
	counted time.Time
}

func (s *size) add(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.octets += n
}

// trailSize is what the rows of the trail fill. They are counted once an hour.
func (d *DB) trailSize(ctx context.Context) (int64, error) {
	s := &d.size
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.counted.IsZero() && time.Since(s.counted) < countEvery {
		return s.octets, nil
	}
	const query = `SELECT ((SELECT coalesce(sum(` + rowSize + `), 0) FROM events) + (SELECT coalesce(sum(` + rowSize + `), 0) FROM accounting))::bigint`
	if err := d.SQL.QueryRowContext(ctx, query).Scan(&s.octets); err != nil {
		return 0, err
	}
	s.counted = time.Now()
	return s.octets, nil
}

// Size implements store.Backend.
func (d *DB) Size(ctx context.Context) (int64, error) {
	rows, err := d.trailSize(ctx)
	if err != nil {
		return 0, err
	}
	others, err := d.OthersSize(ctx)
	return rows + others, err
}

// OthersSize implements store.Backend.
func (d *DB) OthersSize(ctx context.Context) (n int64, err error) {
	const query = `SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
		WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname NOT IN ('events', 'accounting')`
	err = d.SQL.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}

// ReportsSize implements store.Backend.
func (d *DB) ReportsSize(ctx context.Context, last int64) (octets int64, err error) {
	err = d.SQL.QueryRowContext(ctx, `SELECT coalesce(sum(`+rowSize+`), 0)::bigint FROM accounting WHERE at <= $1`, last).Scan(&octets)
	return octets, err
}
