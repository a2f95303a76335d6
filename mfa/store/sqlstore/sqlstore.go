package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/seal"
)

// DB is a database. The methods that read may be called concurrently; of those that write,
// a server calls one at a time.
type DB struct {
	SQL  *sql.DB
	Keys *seal.Keys
	Now  func() time.Time
	// Snapshot begins a transaction that reads all as of one moment.
	Snapshot sql.TxOptions
	Trail    Trail
}

// Trail is what is asked of the audit trail, which each database keeps in its own way.
type Trail interface {
	// Replay brings tokens up to date with the uses that are only in the trail.
	Replay(ctx context.Context, q Querier, accounts map[string]*record.Account) error
	// UsedUp returns the step after the last use of a token that is only in the trail, 0 for
	// none. An empty user: the token is removed.
	UsedUp(ctx context.Context, q Querier, user, token string) (next int64, err error)
}

// Querier is a database or a transaction.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Update runs f in one write transaction.
func (d *DB) Update(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := d.SQL.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// View runs f in one read transaction: all that it reads is of one moment.
func (d *DB) View(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := d.SQL.BeginTx(ctx, &d.Snapshot)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return f(tx)
}
