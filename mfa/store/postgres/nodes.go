package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

// keyNames are the names of the keys that this node has, a line each.
func (d *DB) keyNames() string { return strings.Join(d.Keys.Ring().Names(), "\n") }

// Lacking implements store.Backend.
func (d *DB) Lacking(ctx context.Context, key string) (nodes []string, err error) {
	const query = `SELECT name FROM nodes WHERE run > 0 AND beat > now() - interval '` + alive + `' AND $1 <> ALL (string_to_array(keys, E'\n')) ORDER BY name`
	err = sqlstore.Each(ctx, d.SQL, query, []any{key}, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		nodes = append(nodes, name)
		return err
	})
	return nodes, err
}

// Announce implements store.Backend.
func (d *DB) Announce(config string) error {
	d.fingerprint.Store(&config)
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	return d.sayAlive(ctx)
}

// sayAlive tells the others that this node is there, and with what. It counts that: a smaller
// count, at a server that is met later, is of a database that was restored.
func (d *DB) sayAlive(ctx context.Context) error {
	config := ""
	if c := d.fingerprint.Load(); c != nil {
		config = *c
	}
	warned, beats := d.warned.Load(), int64(0)
	err := d.SQL.QueryRowContext(ctx, `UPDATE nodes SET beat = now(), beats = beats + (pg_postmaster_start_time() = $5)::integer,
		keys = $2, seen = greatest(seen, $3), config = $4 WHERE run = $1 RETURNING beats`,
		d.writer.number(), d.keyNames(), d.feed.seenNow(), config, d.writer.met()).Scan(&beats)
	if err == nil && d.warned.Load() == warned { // it is confirmed
		d.writer.counts(beats)
	}
	return err
}

// beat says once a second that this server is there.
func (d *DB) beat(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		limited, cancel := context.WithTimeout(ctx, 2*beatEvery)
		_ = d.sayAlive(limited) // an error shows where it matters: no commit is possible
		cancel()
	}
}

// Beat implements store.Backend. A clock that is wrong shifts what lasts for a time, and which
// passcodes are of now.
func (d *DB) Beat(ctx context.Context) error {
	var serves int
	const query = `WITH alive AS (UPDATE nodes SET beat = now() WHERE run = $1) SELECT serves FROM site`
	if err := d.SQL.QueryRowContext(ctx, query, d.writer.number()).Scan(&serves); err != nil {
		return err
	}
	if err := d.tooOld(serves); err != nil {
		return err
	}
	offset, err := d.ClockOffset(ctx)
	if err == nil && offset.Abs() > MaxOffset {
		err = fmt.Errorf("the clock of this machine is %s off that of the database", offset.Round(time.Millisecond))
	}
	return err
}

// Run implements mfa.Site.
func (d *DB) Run() string { return strconv.Itoa(int(d.writer.number())) }

// Gone implements mfa.Site.
func (d *DB) Gone(ctx context.Context, run string) bool {
	number, err := strconv.ParseInt(run, 10, 32)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 2*beatEvery)
	defer cancel()
	var lives bool
	const query = `SELECT EXISTS (SELECT 1 FROM nodes WHERE run = $1 AND beat > now() - interval '` + alive + `')`
	return d.SQL.QueryRowContext(ctx, query, number).Scan(&lives) == nil && !lives
}

// MaxOffset is how far the clock of a node may be off that of the database.
const MaxOffset = 5 * time.Second

// ClockOffset is how far the clock here is ahead of that of the database.
func (d *DB) ClockOffset(ctx context.Context) (time.Duration, error) {
	var there time.Time
	before := d.Now()
	if err := d.SQL.QueryRowContext(ctx, `SELECT clock_timestamp()`).Scan(&there); err != nil {
		return 0, err
	}
	after := d.Now()
	return before.Add(after.Sub(before) / 2).Sub(there), nil
}

// Nodes implements store.Backend.
func (d *DB) Nodes(ctx context.Context) (list []record.Node, err error) {
	const query = `SELECT run, name, program, beat > now() - interval '` + alive + `', CASE WHEN isfinite(beat) THEN extract(epoch FROM now() - beat)::float8 END,
		keys, config, (SELECT n FROM nodes WHERE run = 0) - seen FROM nodes WHERE run > 0 ORDER BY run DESC`
	err = sqlstore.Each(ctx, d.SQL, query, nil, func(r *sql.Rows) error {
		var n record.Node
		var silence sql.NullFloat64
		var keys string
		if err := r.Scan(&n.Run, &n.Name, &n.Program, &n.Live, &silence, &keys, &n.Config, &n.Behind); err != nil {
			return err
		}
		n.Keys = strings.Fields(keys)
		if n.Silence = -1; silence.Valid {
			n.Silence = time.Duration(math.Max(0, silence.Float64) * float64(time.Second))
		}
		list = append(list, n)
		return nil
	})
	return list, err
}
