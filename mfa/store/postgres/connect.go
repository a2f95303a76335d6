package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"
)

// ready returns when there is a connection to the primary, whose count of this run's
// commits is known and confirmed. It tries until ctx ends.
func (w *writer) ready(ctx context.Context, d *DB) error {
	for w.conn == nil || w.conn.IsClosed() {
		err := w.reconnect(ctx, d)
		if old := (*TooOldError)(nil); err == nil || errors.Is(err, ErrMoved) || errors.As(err, &old) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(againAfter):
		}
	}
	return nil
}

func (w *writer) drop() {
	if w.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w.conn.Close(ctx)
		w.conn = nil
	}
}

func (w *writer) close() { w.drop() }

// check connects anew where the database is another server by now than the one that was
// met, or was started again.
func (w *writer) check(ctx context.Context, d *DB) error {
	var instance time.Time
	if err := d.SQL.QueryRowContext(ctx, `SELECT pg_postmaster_start_time()`).Scan(&instance); err != nil {
		return err
	}
	if !instance.Equal(w.met()) {
		w.drop()
	}
	limited, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return w.ready(limited, d)
}

// primary is what a server says of itself.
type primary struct {
	instance    time.Time
	timeline    string
	synchronous string // synchronous_standby_names
	commit      string // synchronous_commit
	floor       int64
	// Of the primary that a node has met before.
	timelineBefore string
	standbyBefore  Standby

	beats int64 // how often this run has said there that it is alive
}

// reconnect connects to the primary. Where it is another than before, what memory has is void
// until Load: under a standby that may lack commits, with a floor.
func (w *writer) reconnect(ctx context.Context, d *DB) error {
	limited, cancel := context.WithTimeout(ctx, 2*connectTimeout)
	defer cancel()
	doubt := false
	conn, err := d.connect(limited, false, func(n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			doubt, w.doubt = true, true
		}
	})
	if err != nil {
		return err
	}
	p, batch, err := w.meet(limited, d, conn)
	if err == nil && doubt {
		err = errors.New("the standby does not confirm commits")
	}
	if err != nil {
		conn.Close(limited)
		return err
	}
	w.drop()
	w.conn = conn
	w.follow(d, p, batch)
	return nil
}

// meet asks a server whether it may be written to, and registers this run there. What it
// writes is confirmed as every commit is: what came before in its log is then, too.
func (w *writer) meet(ctx context.Context, d *DB, conn *pgx.Conn) (p primary, batch int64, err error) {
	const query = `SELECT pg_postmaster_start_time(), left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
		current_setting('synchronous_standby_names'), current_setting('synchronous_commit'), floor, timeline, standby, serves FROM site`
	var serves int
	if err = conn.QueryRow(ctx, query).Scan(&p.instance, &p.timeline, &p.synchronous, &p.commit, &p.floor, &p.timelineBefore, &p.standbyBefore, &serves); err != nil {
		return p, 0, err
	}
	if err := d.tooOld(serves); err != nil {
		return p, 0, err
	}
	if err := d.checkStandby(&p); err != nil {
		return p, 0, err
	}
	for name, statement := range statements {
		if _, err := conn.Prepare(ctx, name, statement); err != nil {
			return p, 0, err
		}
	}
	if w.number() != 0 {
		err = conn.QueryRow(ctx, `UPDATE nodes SET beat = now() WHERE run = $1 AND batch >= 0 RETURNING batch, beats`, w.number()).Scan(&batch, &p.beats)
		if err == nil || !errors.Is(err, pgx.ErrNoRows) {
			w.lost = w.lost || err == nil && (batch < w.batch || p.beats < w.beats.Load())
			return p, batch, d.noteTimeline(ctx, conn, &p, w.lost, err)
		}
		w.lost = true // this run is gone with what the primary before had
	}
	run, err := d.register(ctx, conn)
	if err == nil {
		w.run.Store(run)
		d.states.run.Store(run)
	}
	return p, 0, d.noteTimeline(ctx, conn, &p, w.lost, err)
}

// counts notes how often this run has said that it is alive, as far as that is confirmed.
func (w *writer) counts(beats int64) {
	for before := w.beats.Load(); beats > before && !w.beats.CompareAndSwap(before, beats); before = w.beats.Load() {
	}
}

// register begins a run, unless the database is none for this program: see leaveBehind.
func (d *DB) register(ctx context.Context, conn *pgx.Conn) (run int32, err error) {
	const begin = `WITH allowed AS (SELECT 1 FROM site WHERE serves <= $3 FOR SHARE)
		INSERT INTO nodes (name, program, schema, keys, seen) SELECT $1, $2, $3, $4, n FROM allowed CROSS JOIN nodes
		WHERE run = 0 AND NOT EXISTS (SELECT 1 FROM meta WHERE key = '` + movedKey + `') RETURNING run`
	err = conn.QueryRow(ctx, begin, d.set.Node, d.set.Program, len(d.migrations), d.keyNames()).Scan(&run)
	if !errors.Is(err, pgx.ErrNoRows) {
		return run, err
	}
	var serves int
	if err = conn.QueryRow(ctx, `SELECT serves FROM site`).Scan(&serves); err == nil {
		err = d.tooOld(serves)
	}
	if err == nil {
		err = ErrMoved
	}
	return 0, err
}

// noteTimeline notes which primary was met, and the floor under what may be lost with the one
// before.
func (d *DB) noteTimeline(ctx context.Context, conn *pgx.Conn, p *primary, lost bool, err error) error {
	standby := d.standbyNow()
	moved := p.timeline != p.timelineBefore && p.timelineBefore != ""
	if err != nil || p.timeline == p.timelineBefore && standby == p.standbyBefore && !lost {
		return err
	}
	if lost || moved && p.standbyBefore == StandbyAsync {
		p.floor = max(p.floor, d.Now().UnixMicro())
	}
	_, err = conn.Exec(ctx, `UPDATE site SET timeline = $1, standby = $2, floor = greatest(floor, $3)`, p.timeline, string(standby), p.floor)
	return err
}

// follow takes over what the primary says of itself.
func (w *writer) follow(d *DB, p primary, batch int64) {
	commits, lost := w.batch-batch, w.lost
	w.lost = false
	w.beats.Store(p.beats)
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.timeline != "" && (w.timeline != p.timeline || lost) {
		d.generation++
		if p.standbyBefore == StandbyAsync || lost {
			d.floor = max(d.floor, d.Now().UnixMicro())
		}
		d.log.Warn("another primary of the database: everything is read anew", zap.String("timeline", p.timeline))
	}
	if lost {
		d.log.Error("commits that the database had confirmed are gone: events, blocks and removals of the last moments may be missing; passcodes from before are not accepted", zap.Int64("commits", commits))
	}
	d.floor = max(d.floor, p.floor)
	w.timeline, w.batch = p.timeline, batch
	w.instance.Store(&p.instance)
}

// checkStandby makes sure of what the operator has said of standbys.
func (d *DB) checkStandby(p *primary) error {
	standby := d.set.Standby
	switch standby {
	case "":
		standby = StandbyAsync
		if p.synchronous != "" {
			standby = StandbySync
		}
	case StandbyNone, StandbyAsync:
	case StandbySync:
		if p.synchronous == "" {
			return errors.New("standby is sync, but the database waits for no standby: synchronous_standby_names is empty")
		}
	default:
		return fmt.Errorf("standby must be none, sync or async; got %q", standby)
	}
	if p.commit != "on" && p.commit != "remote_apply" {
		return fmt.Errorf("synchronous_commit is %q for this connection; want on", p.commit)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.set.Standby == "" && d.standby == "" && standby == StandbyAsync {
		d.log.Warn("the database has no synchronous standby: a failover to another one may lose the last logins and changes; say `standby: none` where there is none to fail over to")
	}
	d.standby = standby
	return nil
}

func (d *DB) standbyNow() Standby {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.standby
}

// isVoid reports whether memory was read from another primary.
func (d *DB) isVoid() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.loaded != d.generation
}
