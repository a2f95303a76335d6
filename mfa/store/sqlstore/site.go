package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
	"github.com/radmatch/radmatch/mfa/store/seal"
)

func beginBypass(ctx context.Context, tx *sql.Tx, o op.BeginBypass, done *op.Done) error {
	b := o.Bypass
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM bypasses`).Scan(&n); err != nil {
		return err
	}
	if n >= op.MaxBypasses {
		return fmt.Errorf("must be one of at most %d", op.MaxBypasses)
	}
	const query = `INSERT INTO bypasses (grp, client, began, until, seen, reason, operator, usr) VALUES ($1, $2, $3, $4, $3, $5, $6, $7) RETURNING id`
	return tx.QueryRowContext(ctx, query,
		b.Group.String(), b.Client, record.Micros(b.Began), record.Micros(b.Until), b.Reason, b.Operator, b.User.String()).Scan(&done.Bypass)
}

func endBypass(ctx context.Context, tx *sql.Tx, o op.EndBypass) error {
	r, err := tx.ExecContext(ctx, `DELETE FROM bypasses WHERE id = $1`, o.ID)
	return Changed(r, err, fmt.Errorf("bypass %d: %w", o.ID, op.ErrNotFound))
}

func unlatch(ctx context.Context, tx *sql.Tx, o op.Unlatch, done *op.Done) error {
	query, args := `DELETE FROM latches WHERE client = $1`, []any{o.Client}
	if o.Addr.IsValid() {
		query, args = query+` AND addr = $2`, append(args, o.Addr.Unmap().String())
	}
	r, err := tx.ExecContext(ctx, query, args...)
	if err := Changed(r, err, fmt.Errorf("latched address of client %q: %w", o.Client, op.ErrNotFound)); err != nil {
		return err
	}
	n, err := r.RowsAffected()
	done.N = int(n)
	return err
}

// keepWebPushKey seals the key as of tx.
func (d *DB) keepWebPushKey(ctx context.Context, tx *sql.Tx, n op.KeepWebPushKey) error {
	var there bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM web_push_key)`).Scan(&there); err != nil || there {
		return err
	}
	sealed, err := d.Seal(ctx, tx, n.Secret, seal.WebPushBound())
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO web_push_key (key) VALUES ($1)`, sealed)
	return err
}

// reseal seals everything with key o.Key, if the key file has it still: another
// rekey at the same moment takes out what nothing is sealed with.
func (d *DB) reseal(ctx context.Context, tx *sql.Tx, o op.Reseal, done *op.Done) error {
	kept, err := d.Keys.OnDisk()
	if err != nil {
		return err
	}
	if !kept.Has(o.Key) {
		return errors.New("another rekey came between; try again")
	}
	ring := d.Keys.Ring()
	if done.N, err = resealTokens(ctx, tx, ring, o.Key); err != nil {
		return err
	}
	if err := resealWebPush(ctx, tx, ring, o.Key); err != nil {
		return err
	}
	return setKey(ctx, tx, ring, o.Key)
}
