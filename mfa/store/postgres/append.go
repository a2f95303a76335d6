package postgres

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
)

const (
	// appendTime is how long a batch is tried, over restarts and failovers. Its logins have
	// ended by then.
	appendTime = 30 * time.Second
	// sendTime bounds one try. The outcome of a batch that took longer is looked up.
	sendTime = 10 * time.Second
	// againAfter is how long the writer rests after a failure.
	againAfter = 50 * time.Millisecond
)

// The one statement of a batch. me counts the commits of this run: a batch that arrives twice
// does nothing the second time, and after a broken connection the count says whether it was
// committed. A row with a number goes where no other one has it, and where memory has all
// that belongs to no user. The order by users keeps two batches from waiting for each other.
const (
	appendMe = `WITH me AS (UPDATE nodes SET batch = $2 + 1, n = $4, fed = greatest(fed, $5), beat = now()
	WHERE run = $1 AND batch = $2 AND pg_postmaster_start_time() = $3 RETURNING 1),
`
	appendRows = `ins AS (INSERT INTO events (usr, seq, run, n, at, kind, name, client, reason, tries, token, step, drift, feed, data)
	SELECT nullif(t.usr, ''), nullif(t.seq, 0), $1, t.n, t.at, nullif(t.kind, 0), nullif(t.name, ''), nullif(t.client, ''), nullif(t.reason, ''),
		nullif(t.tries, 0), nullif(t.token, ''), CASE WHEN t.used THEN t.step END, nullif(t.drift, 0), nullif(t.feed, false), t.data
	FROM me CROSS JOIN unnest($7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::smallint[], $12::text[], $13::text[], $14::text[],
		$15::integer[], $16::text[], $17::bigint[], $18::boolean[], $19::bigint[], $20::boolean[], $21::bytea[])
		AS t (usr, seq, n, at, kind, name, client, reason, tries, token, step, used, drift, feed, data)
	WHERE t.seq = 0 OR (SELECT changes FROM site) = $6
	ORDER BY t.usr ON CONFLICT (usr, seq) DO NOTHING RETURNING n)
`
	// What few batches have. It follows from rows that were inserted.
	appendMore = `, reports AS (INSERT INTO events (usr, run, n, at, name, client, reason, tries, data)
	SELECT nullif(t.usr, ''), $1, t.n, t.at, nullif(t.name, ''), nullif(t.client, ''), nullif(t.reason, ''), nullif(t.tries, 0), t.data
	FROM unnest($22::bigint[], $23::text[], $24::bigint[], $25::bigint[], $26::text[], $27::text[], $28::text[], $29::integer[], $30::bytea[])
		AS t (main, usr, n, at, name, client, reason, tries, data) JOIN ins ON ins.n = t.main),
bars AS (INSERT INTO push_blocks (usr, grp)
	SELECT DISTINCT t.usr, t.grp FROM unnest($31::bigint[], $32::text[], $33::text[]) AS t (n, usr, grp) JOIN ins USING (n) ORDER BY 1, 2 ON CONFLICT DO NOTHING),
blocks AS (INSERT INTO users (usr, name, blocked)
	SELECT DISTINCT ON (t.usr) t.usr, t.name, true FROM unnest($34::bigint[], $35::text[], $36::text[]) AS t (n, usr, name) JOIN ins USING (n) ORDER BY t.usr
	ON CONFLICT (usr) DO UPDATE SET blocked = true),
codes AS (SELECT DISTINCT ON (t.usr) t.* FROM unnest($37::bigint[], $38::text[], $39::integer[], $40::integer[], $41::bigint[], $42::bigint[], $43::bigint[])
	AS t (n, usr, count, locks, last, since, until) JOIN ins USING (n) ORDER BY t.usr, t.n DESC),
wrong AS (INSERT INTO wrong_codes (usr, row, locks, last, since, until)
	SELECT usr, count, locks, last, since, until FROM codes WHERE count > 0
	ON CONFLICT (usr) DO UPDATE SET row = excluded.row, locks = excluded.locks, last = excluded.last, since = excluded.since, until = excluded.until),
correct AS (DELETE FROM wrong_codes w USING codes c WHERE w.usr = c.usr AND c.count = 0),
asked AS (SELECT DISTINCT ON (t.id) t.* FROM unnest($44::bigint[], $45::text[], $46::text[], $47::bigint[], $48::bytea[])
	AS t (n, id, usr, at, data) JOIN ins USING (n) ORDER BY t.id, t.n DESC),
opened AS (INSERT INTO prompts (id, usr, at, data) SELECT id, usr, at, data FROM asked WHERE data IS NOT NULL
	ON CONFLICT (id) DO UPDATE SET data = excluded.data),
over AS (DELETE FROM prompts p USING asked a WHERE p.id = a.id AND a.data IS NULL),
sessions AS (INSERT INTO accounting (run, n, at, usr, name, client, mark, interim, data)
	SELECT $1, t.n, t.at, nullif(t.usr, ''), nullif(t.name, ''), nullif(t.client, ''), t.mark, nullif(t.interim, false), t.data
	FROM me CROSS JOIN unnest($49::bigint[], $50::bigint[], $51::text[], $52::text[], $53::text[], $54::bytea[], $55::boolean[], $56::bytea[])
		AS t (n, at, usr, name, client, mark, interim, data) ON CONFLICT (mark) DO NOTHING)
`
	appendEnd = `SELECT (SELECT count(*) FROM me), pg_postmaster_start_time(), (SELECT array_agg(n) FROM ins)`

	stmtAppend, stmtAppendMore = "append", "append_more"
)

var statements = map[string]string{
	stmtAppend:     appendMe + appendRows + appendEnd,
	stmtAppendMore: appendMe + appendRows + appendMore + appendEnd,
}

// Append implements store.Backend.
func (d *DB) Append(rows []record.Row) (kept []bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), appendTime)
	defer cancel()
	w := &d.writer
	if err := w.ready(ctx, d); err != nil {
		return nil, err
	}
	b := w.fill(rows, d.Now())
	sent := false
	for {
		if !sent && d.isVoid() { // what was decided under another primary is decided again
			b.dropNumbered()
		}
		done, again, err := w.send(ctx, d, b)
		switch {
		case done:
			return b.kept(len(rows)), nil
		case err == nil:
			continue // it has done nothing: the count was another
		case !again:
			return nil, err
		}
		sent = true
		if done, err = w.resolve(ctx, d, b); done {
			return b.kept(len(rows)), nil
		} else if err != nil {
			return nil, err
		}
		sent = false // it was not committed
	}
}

// send sends a batch. done: it is on disk wherever a failover may lead. An error with again:
// that is not known; without, it is not on disk. Neither: it was refused, for the count of this
// run or the instance of the server is another by now.
func (w *writer) send(ctx context.Context, d *DB, b *batch) (done, again bool, err error) {
	limited, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	w.doubt = false
	name, args := b.args(w, d)
	var me int64
	var instance time.Time
	var found []int64
	err = w.conn.QueryRow(limited, name, args...).Scan(&me, &instance, &found)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && !w.conn.IsClosed():
		if refused.Code == "40P01" || refused.Code == "40001" { // a deadlock; it was rolled back
			return false, false, ctx.Err()
		}
		return false, false, err
	case err != nil:
		return false, true, err
	case me == 0:
		w.drop()
		return false, false, w.ready(ctx, d)
	case w.doubt:
		return false, true, errors.New("the commit is not confirmed by the standby")
	}
	w.batch++
	b.found = found
	return true, false, nil
}

// resolve finds out what has become of a batch whose connection broke. It returns when that
// is known: done, or not committed.
func (w *writer) resolve(ctx context.Context, d *DB, b *batch) (done bool, err error) {
	w.drop()
	before := w.batch
	if err := w.ready(ctx, d); err != nil {
		return false, err
	}
	if w.batch == before || len(b.n) == 0 {
		return w.batch > before, nil
	}
	const query = `SELECT array_agg(n) FROM events WHERE run = $1 AND at BETWEEN $2 AND $3 AND n = ANY($4)`
	if err := w.conn.QueryRow(ctx, query, w.number(), b.at[0], b.at[len(b.at)-1], b.n).Scan(&b.found); err != nil {
		return false, err
	}
	// None: others came first for all of them, or it was the batch before that was committed
	// late. Sent again, it finds the same or is written.
	return len(b.found) > 0, nil
}

// batch is rows as the columns of the statement.
type batch struct {
	columns
	more  *more // nil: no row has any of it
	last  int64 // the last n
	fed   int64 // the last n with feed, 0 for none
	main  []int // the place of each row of columns among those of Append
	found []int64
}

type columns struct {
	usr, name, client, reason, token []string
	seq, n, at, step, drift          []int64
	kind                             []int16
	tries                            []int32
	used, feed                       []bool
	data                             [][]byte
}

// names are the key of a row's user, and the name as it was where that is another text.
func names(r *record.Row) (key, name string) {
	if key, name = text(r.Key), text(r.User); name == key {
		name = ""
	}
	return key, name
}

// add appends a row.
func (c *columns) add(r *record.Row, n, at int64, feed bool) {
	key, name := names(r)
	c.usr, c.name, c.client = append(c.usr, key), append(c.name, name), append(c.client, text(r.Client))
	c.reason, c.token = append(c.reason, text(r.Reason)), append(c.token, text(r.Token))
	c.seq, c.n, c.at = append(c.seq, r.Seq), append(c.n, n), append(c.at, at)
	c.step, c.drift, c.kind = append(c.step, r.Step), append(c.drift, r.Drift), append(c.kind, int16(r.Kind))
	c.tries, c.used, c.feed = append(c.tries, int32(r.Tries)), append(c.used, r.Used), append(c.feed, feed)
	c.data = append(c.data, r.Data)
}

// reset forgets the rows and keeps the room.
func (c *columns) reset() {
	clear(c.data)
	*c = columns{
		usr: c.usr[:0], name: c.name[:0], client: c.client[:0], reason: c.reason[:0], token: c.token[:0],
		seq: c.seq[:0], n: c.n[:0], at: c.at[:0], step: c.step[:0], drift: c.drift[:0],
		kind: c.kind[:0], tries: c.tries[:0], used: c.used[:0], feed: c.feed[:0], data: c.data[:0],
	}
}

// fill makes a batch of rows. Its numbers n are never used again.
func (w *writer) fill(rows []record.Row, now time.Time) *batch {
	b := &w.filled
	b.columns.reset()
	b.more, b.fed, b.main, b.found = nil, 0, b.main[:0], nil
	for i := range rows {
		r := &rows[i]
		w.n++
		w.at = max(w.at+1, now.UnixMicro())
		n := w.n
		if r.Mark != nil {
			b.others().session(r, i, n, w.at)
			continue
		}
		feed := isFed(r)
		if feed {
			b.fed = n
		}
		b.add(r, n, w.at, feed)
		b.main = append(b.main, i)
		if r.Report != nil || r.Barred != "" || r.Wrong != nil || r.Prompt.ID != "" {
			b.others().follows(r, n, w.at)
		}
		if r.Report != nil {
			w.n++
			w.at++
			b.more.report(r.Report, n, w.n, w.at)
		}
	}
	b.last = w.n
	return b
}

// isFed reports whether other nodes look for an entry: what happens to prompts, and wrong
// passwords. Of passcodes the number is enough, when it matters.
func isFed(r *record.Row) bool {
	return r.Kind == record.StepNumber(mfa.EventGuess) || r.Seq > 0 && (r.Kind != 0 && r.Kind != record.StepNumber("try") || r.Prompt.ID != "" || r.Barred != "")
}

// dropNumbered leaves the rows out that have a number.
func (b *batch) dropNumbered() {
	old := b.columns
	main := slices.Clone(b.main)
	b.columns, b.main = columns{}, nil
	for i, seq := range old.seq {
		if seq != 0 {
			continue
		}
		c := &b.columns
		c.usr, c.name, c.client = append(c.usr, old.usr[i]), append(c.name, old.name[i]), append(c.client, old.client[i])
		c.reason, c.token = append(c.reason, old.reason[i]), append(c.token, old.token[i])
		c.seq, c.n, c.at = append(c.seq, 0), append(c.n, old.n[i]), append(c.at, old.at[i])
		c.step, c.drift, c.kind = append(c.step, old.step[i]), append(c.drift, old.drift[i]), append(c.kind, old.kind[i])
		c.tries, c.used, c.feed = append(c.tries, old.tries[i]), append(c.used, old.used[i]), append(c.feed, old.feed[i])
		c.data, b.main = append(c.data, old.data[i]), append(b.main, main[i])
	}
}

// kept tells which of all rows are on disk, nil for all.
func (b *batch) kept(all int) []bool {
	if len(b.found) == len(b.n) && !b.dropped(all) {
		return nil
	}
	kept := make([]bool, all)
	there := make(map[int64]bool, len(b.found))
	for _, n := range b.found {
		there[n] = true
	}
	if b.more != nil {
		for _, i := range b.more.at { // reports of sessions
			kept[i] = true
		}
	}
	for i, n := range b.n {
		kept[b.main[i]] = there[n]
	}
	return kept
}

// dropped reports whether rows were left out.
func (b *batch) dropped(all int) bool {
	sessions := 0
	if b.more != nil {
		sessions = len(b.more.at)
	}
	return len(b.n)+sessions < all
}

// args are the statement for b and its parameters.
func (b *batch) args(w *writer, d *DB) (name string, args []any) {
	c := &b.columns
	args = append(w.args[:0], w.number(), w.batch, w.met(), b.last, b.fed, d.feed.changesNow(),
		c.usr, c.seq, c.n, c.at, c.kind, c.name, c.client, c.reason, c.tries, c.token, c.step, c.used, c.drift, c.feed, c.data)
	w.args = args
	if b.more == nil {
		return stmtAppend, args
	}
	w.args = b.more.args(args)
	return stmtAppendMore, w.args
}

// number is that of this run.
func (w *writer) number() int32 { return w.run.Load() }

// met is when the server started that the writer has met last.
func (w *writer) met() time.Time {
	if t := w.instance.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// writer is the connection of the batches. A server calls one method of it at a time.
type writer struct {
	conn     *pgx.Conn
	run      atomic.Int32
	batch    int64                     // commits of this run
	instance atomic.Pointer[time.Time] // when the server started
	timeline string
	doubt    bool         // a commit is not confirmed
	lost     bool         // the server that is being met lacks what was confirmed
	beats    atomic.Int64 // how often this run has said that it is alive, confirmed

	n, at  int64 // of the last row
	filled batch
	args   []any
}
