package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/radmatch/radmatch/mfa/store/postgres"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/seal"
)

// Options say what is copied where.
type Options struct {
	Dir  string // data_dir
	URL  string // of the PostgreSQL database; its password may be in PasswordFile
	Keys *seal.Keys
	// Target are the keys that the servers will have that use the copy; nil: Keys.
	Target       *seal.Keys
	PasswordFile string
	Now          func() time.Time
	// Progress is called now and then with how many rows of a table are copied, of how many.
	Progress func(table string, done, all int64)
}

// Counts are the numbers of rows that were copied, by table.
type Counts map[string]int64

var (
	// ErrNotEmpty means that the PostgreSQL database holds something.
	ErrNotEmpty = errors.New("the PostgreSQL database is not empty, and a copy never overwrites: give it an empty one")
	// ErrOutcome means that the connection broke while the last step was on its way.
	ErrOutcome = errors.New("the connection to PostgreSQL broke while the copy was committed")
	// ErrLive means that servers work with the database that is to be copied.
	ErrLive = errors.New("these nodes work with the database: stop them first")
	// ErrKeys means that what is sealed could not be opened after the copy.
	ErrKeys = errors.New("is not the sealing key of this database")
)

// link is the connection to PostgreSQL.
type link struct {
	*pgx.Conn
	warned atomic.Int64 // commits that no standby has confirmed
}

func (o *Options) dial(ctx context.Context) (l *link, err error) {
	l = new(link)
	set := postgres.Settings{URL: o.URL, PasswordFile: o.PasswordFile}
	l.Conn, err = postgres.Dial(ctx, set, func() { l.warned.Add(1) })
	return l, err
}

func (l *link) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.Close(ctx)
}

// commitTime bounds the wait for the outcome of a commit, and of what confirms it.
const commitTime = 30 * time.Second

// commit commits tx, and returns when the standbys have it that must. ErrOutcome: it is not
// known whether it was committed.
func (l *link) commit(ctx context.Context, tx pgx.Tx) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	err := tx.Commit(ctx)
	if err != nil && !l.IsClosed() {
		return err // it was refused
	}
	for err == nil && l.warned.Swap(0) > 0 { // cancelled while it waited for a standby
		_, err = l.Exec(ctx, `UPDATE site SET id = id`)
	}
	if err != nil {
		err = errors.Join(ErrOutcome, err)
	}
	return err
}

// checkTarget returns ErrKeys where the keys of the servers to come do not open what the
// keys of have, with the ids of used, have sealed.
func (o *Options) checkTarget(proof, used []byte, have *seal.Ring) error {
	if o.Target == nil {
		return nil
	}
	ring, err := o.Target.OnDisk()
	if err != nil {
		return err
	}
	if ring.Check(proof) != nil {
		return fmt.Errorf("%s %w", o.Target.Name, ErrKeys)
	}
	for _, id := range used {
		if have.Has(id) && (!ring.Has(id) || ring.Name(id) != have.Name(id)) {
			return fmt.Errorf("%s lacks key %d: it %w", o.Target.Name, id, ErrKeys)
		}
	}
	return nil
}

// sameColumns reports whether a table has these columns, in any order, and no other.
func sameColumns(t *record.Table, want []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(t.Columns)), slices.Sorted(slices.Values(want)))
}

// unknown is the error for a table that a copy would leave behind.
func unknown(database string, t *record.Table) error {
	return fmt.Errorf("this program does not know how to copy table %s (%s) of %s", t.Name, strings.Join(t.Columns, ", "), database)
}

// progress tells how far a table is, at most once in a while.
type progress struct {
	tell  func(table string, done, all int64)
	table string
	done  int64
	all   int64
	last  time.Time
}

// tellEvery is how often progress is told.
const tellEvery = 2 * time.Second

func (o *Options) progress(table string, all int64) *progress {
	return &progress{tell: o.Progress, table: table, all: all, last: time.Now()}
}

func (p *progress) add() {
	if p.done++; p.done%1024 == 0 && p.tell != nil && time.Since(p.last) >= tellEvery {
		p.last = time.Now()
		p.tell(p.table, p.done, p.all)
	}
}
