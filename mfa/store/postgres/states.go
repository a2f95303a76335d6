package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

const (
	// maxStates bounds the challenges that wait to be written: more are only this node's.
	maxStates = 1 << 14
	// gatherStates is how long challenges are gathered for one commit.
	gatherStates = 3 * time.Millisecond
	// lastStates is how long a server that ends takes for those of its last moment.
	lastStates = 2 * time.Second
	// stateSize is run (4), n (5) and what cannot be guessed (11).
	stateSize, stateSecret = 20, 9
)

// statesAgain are the times after which a challenge that is not there is looked for again: it
// may be on its way, from a node that is busy.
var statesAgain = [...]time.Duration{20 * time.Millisecond, 60 * time.Millisecond, 220 * time.Millisecond}

var stateText = base32.StdEncoding // 20 octets are 32 characters, without padding

// states are the challenges of this node on their way to the other nodes.
type states struct {
	run   atomic.Int32
	n     atomic.Int64
	table atomic.Int32 // which one is written
	key   atomic.Int32 // the id of the sealing key
	wake  chan struct{}
	// looking bounds who look for challenges at once: a flood of invented States must leave
	// the connections of the pool to the feed and to logins.
	looking chan struct{}
	secret  atomic.Pointer[[]byte] // of table site

	mu   sync.Mutex
	list []mfa.OpenState
}

func (s *states) init(run int32) {
	s.run.Store(run)
	s.wake = make(chan struct{}, 1)
	s.looking = make(chan struct{}, 2)
}

// NewState implements mfa.Site.
func (d *DB) NewState() string {
	var b [stateSize]byte
	binary.BigEndian.PutUint32(b[:4], uint32(d.states.run.Load()))
	n := d.states.n.Add(1)
	b[4] = byte(n >> 32)
	binary.BigEndian.PutUint32(b[5:9], uint32(n))
	rand.Read(b[stateSecret:])
	return stateText.EncodeToString(b[:])
}

// splitState takes a State apart.
func splitState(state string) (run int32, n int64, hash []byte, ok bool) {
	b, err := stateText.DecodeString(state)
	if err != nil || len(b) != stateSize {
		return 0, 0, nil, false
	}
	sum := sha256.Sum256(b[stateSecret:])
	return int32(binary.BigEndian.Uint32(b[:4])), int64(b[4])<<32 | int64(binary.BigEndian.Uint32(b[5:9])), sum[:], true
}

// KeepState implements mfa.Site.
func (d *DB) KeepState(state mfa.OpenState) {
	s := &d.states
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) < maxStates {
		s.list = append(s.list, state)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// keepStates writes challenges, a few milliseconds after they were given out. A loss of
// power may undo that; one that is lost is unknown elsewhere, and its login begins again. It
// connects before the first one, which would be late otherwise.
func (d *DB) keepStates(ctx context.Context) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			conn.Close(context.Background())
		}
	}()
	write := func(ctx context.Context) (err error) {
		limited, cancel := context.WithTimeout(ctx, sendTime)
		defer cancel()
		list := d.states.take(d.Now())
		if conn == nil || conn.IsClosed() {
			conn, err = d.connect(limited, true, nil)
		}
		if err == nil && len(list) > 0 {
			err = d.writeStates(limited, conn, list)
		}
		if err != nil {
			if conn != nil {
				conn.Close(ctx)
			}
			d.states.putBack(list)
		}
		return err
	}
	d.states.wake <- struct{}{}
	for wait := gatherStates; ; {
		select {
		case <-ctx.Done(): // those of the last moment go on at another node
			if d.states.waiting() {
				last, cancel := context.WithTimeout(context.Background(), lastStates)
				defer cancel()
				_ = write(last)
			}
			return
		case <-d.states.wake:
		}
		time.Sleep(wait)
		wait = gatherStates
		if write(ctx) != nil {
			wait = againAfter
		}
	}
}

// waiting reports whether challenges wait to be written.
func (s *states) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.list) > 0
}

// take returns the challenges that wait to be written, and are not over.
func (s *states) take(now time.Time) []mfa.OpenState {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.DeleteFunc(s.list, func(o mfa.OpenState) bool { return !o.Expires.After(now) })
	s.list = nil
	return list
}

// putBack has challenges written once more that were not.
func (s *states) putBack(list []mfa.OpenState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(list, s.list...)
	s.list = s.list[:min(len(s.list), maxStates)]
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// writeStates writes challenges into the table that is written now.
func (d *DB) writeStates(ctx context.Context, conn *pgx.Conn, list []mfa.OpenState) error {
	var runs, tries []int32
	var ns, expires []int64
	var hashes, data [][]byte
	var users, logins []string
	ring, key := d.Keys.Ring(), byte(d.states.key.Load())
	for i := range list {
		s := &list[i]
		run, n, hash, ok := splitState(s.State)
		if !ok {
			continue
		}
		sealed, err := ring.Seal(key, s.Data, stateBound(s.State))
		if err != nil {
			return err
		}
		runs, ns, hashes = append(runs, run), append(ns, n), append(hashes, hash)
		users, logins, tries = append(users, text(s.User.String())), append(logins, text(s.Login)), append(tries, int32(s.Tries))
		expires, data = append(expires, record.Micros(s.Expires)), append(data, sealed)
	}
	table := fmt.Sprintf("states%d", d.states.table.Load()&1)
	_, err := conn.Exec(ctx, `INSERT INTO `+table+` (run, n, hash, usr, login, tries, expires, data)
		SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bytea[], $4::text[], $5::text[], $6::integer[], $7::bigint[], $8::bytea[])
		ON CONFLICT (run, n) DO UPDATE SET tries = excluded.tries, expires = excluded.expires, data = excluded.data`,
		runs, ns, hashes, users, logins, tries, expires, data)
	return err
}

// stateBound binds the data of a challenge to it.
func stateBound(state string) []byte { return append([]byte("state\x00"), state...) }

// FindState implements mfa.Site.
func (d *DB) FindState(ctx context.Context, state string) (*mfa.OpenState, error) {
	run, _, _, ok := splitState(state)
	if !ok || !d.feed.knows(run) {
		return nil, nil
	}
	for _, wait := range statesAgain {
		found, there, err := d.findState(ctx, state)
		if err != nil || there {
			return found, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
	found, _, err := d.findState(ctx, state)
	return found, err
}

// findState looks for a challenge once. there: its row is there, be it another's or over.
func (d *DB) findState(ctx context.Context, state string) (found *mfa.OpenState, there bool, err error) {
	select {
	case d.states.looking <- struct{}{}:
		defer func() { <-d.states.looking }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	run, n, want, _ := splitState(state)
	const query = `SELECT hash, usr, login, tries, expires, data FROM states0 WHERE run = $1 AND n = $2
		UNION ALL SELECT hash, usr, login, tries, expires, data FROM states1 WHERE run = $1 AND n = $2 ORDER BY expires DESC LIMIT 1`
	s := &mfa.OpenState{State: state}
	var hash, sealed []byte
	var user, login string
	var expires int64
	err = d.SQL.QueryRowContext(ctx, query, run, n).Scan(&hash, &user, &login, &s.Tries, &expires, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if subtle.ConstantTimeCompare(hash, want) != 1 {
		return nil, true, nil
	}
	if s.Data, err = d.Keys.Ring().Open(sealed, stateBound(state)); err != nil {
		return nil, true, err
	}
	s.User, s.Login, s.Expires = mfa.NameOf(untext(user)).Key(), untext(login), record.FromMicros(expires)
	if !s.Expires.After(d.Now()) {
		return nil, true, nil
	}
	return s, true, nil
}

var errLater = errors.New("a reader has the table")

// turnStates empties the table of challenges that is not written once all in it are over, and
// has it written from then on.
func (d *DB) turnStates(ctx context.Context) error {
	err := d.sweep(ctx, func(tx *sql.Tx) error {
		var now int
		if err := tx.QueryRowContext(ctx, `SELECT states FROM site FOR UPDATE`).Scan(&now); err != nil {
			return err
		}
		old := fmt.Sprintf("states%d", 1-now)
		// Behind a reader, such as a backup, every insert would wait.
		if _, err := tx.ExecContext(ctx, `SET LOCAL lock_timeout = '50ms'`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `LOCK TABLE `+old+` IN ACCESS EXCLUSIVE MODE`); err != nil {
			return errLater
		}
		var open bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+old+` WHERE expires > $1)`, d.Now().UnixMicro()).Scan(&open); err != nil || open {
			return err
		}
		if _, err := tx.ExecContext(ctx, `TRUNCATE `+old); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE site SET states = $1`, 1-now)
		return err
	})
	if err != nil && !errors.Is(err, errLater) {
		return err
	}
	var table int32
	err = d.SQL.QueryRowContext(ctx, `SELECT states FROM site`).Scan(&table)
	d.states.table.Store(table)
	return err
}

// Entries implements mfa.Site.
func (d *DB) Entries(ctx context.Context, user mfa.Name, login string) (list []mfa.Event, err error) {
	const query = `SELECT 0, 0, e.n, e.usr, e.seq, coalesce(e.kind, 0), ` + eventColumns + ` FROM
		(SELECT * FROM events WHERE usr = $1 AND seq IS NOT NULL ORDER BY seq DESC LIMIT $2) e WHERE coalesce(e.kind, 0) <> 99 ORDER BY e.seq`
	rows, err := d.SQL.QueryContext(ctx, query, text(user.Key().String()), sinceMost)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var run int32
		var last int64
		var row feedRow
		if err := row.scan(rows, &run, &last); err != nil {
			return nil, err
		}
		e, err := row.event()
		if err != nil {
			return nil, err
		}
		if e.Event.ID == login {
			list = append(list, e.Event)
		}
	}
	return list, rows.Err()
}

// Derive implements mfa.Site.
func (d *DB) Derive(purpose, data string) []byte {
	h := hmac.New(sha256.New, *d.states.secret.Load())
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(purpose)))
	h.Write(size[:])
	h.Write([]byte(purpose))
	h.Write([]byte(data))
	return h.Sum(nil)
}

// secretBound binds the secret that values are derived from to its place.
func secretBound() []byte { return []byte("site secret") }

func (d *DB) setSecret(ctx context.Context, tx *sql.Tx, ring *seal.Ring, key byte, secret []byte, where string) error {
	sealed, err := ring.Seal(key, secret, secretBound())
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE site SET secret = $1`+where, sealed)
	return err
}

// loadSecret reads the secret that values are derived from.
func (d *DB) loadSecret(ctx context.Context) error {
	var sealed []byte
	var key int32
	if err := d.SQL.QueryRowContext(ctx, `SELECT secret, (SELECT id FROM seal_key) FROM site`).Scan(&sealed, &key); err != nil {
		return err
	}
	secret, err := d.Keys.Ring().Open(sealed, secretBound())
	if err == nil {
		d.states.secret.Store(&secret)
		d.states.key.Store(key)
	}
	return err
}

// resealSecret seals it with another key.
func (d *DB) resealSecret(ctx context.Context, tx *sql.Tx, key byte) error {
	return d.setSecret(ctx, tx, d.Keys.Ring(), key, *d.states.secret.Load(), "")
}

// KeysInUse implements store.Backend.
func (d *DB) KeysInUse(ctx context.Context) ([]byte, error) {
	ids, err := d.DB.KeysInUse(ctx)
	if err != nil {
		return nil, err
	}
	const query = `SELECT substr(secret, 1, 1) FROM site WHERE secret IS NOT NULL UNION SELECT substr(data, 1, 1) FROM acme`
	err = sqlstore.Each(ctx, d.SQL, query, nil, func(r *sql.Rows) error {
		var first []byte
		err := r.Scan(&first)
		ids = append(ids, first...)
		return err
	})
	return ids, err
}
