package sqlite

import (
	"context"
	"database/sql"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
)

// Apply implements store.Backend.
func (d *DB) Apply(ctx context.Context, ev mfa.Event, ops ...op.Op) (done op.Done, err error) {
	err = d.Update(ctx, func(tx *sql.Tx) error {
		for _, o := range ops {
			if err := d.ApplyOp(ctx, tx, o, &done); err != nil {
				return err
			}
		}
		if err := d.insertAdmin(ctx, tx, ev); err != nil || len(ops) == 0 {
			return err
		}
		done.Change, err = noteChange(ctx, tx, ops)
		return err
	})
	return done, err
}

// noteChange tells the server what to read again.
func noteChange(ctx context.Context, tx *sql.Tx, ops []op.Op) (id int64, err error) {
	insert, err := tx.PrepareContext(ctx, `INSERT INTO changes (usr) VALUES (?)`)
	if err != nil {
		return 0, err
	}
	defer insert.Close()
	note := func(user any) error {
		r, err := insert.ExecContext(ctx, user)
		if err == nil {
			id, err = r.LastInsertId()
		}
		return err
	}
	noted := make(map[mfa.NameKey]bool)
	for _, o := range ops {
		users := o.Users()
		if len(users) == 0 {
			if err := note(nil); err != nil {
				return 0, err
			}
		}
		for _, user := range users {
			if noted[user.Key()] {
				continue
			}
			noted[user.Key()] = true
			if err := note(user.Key().String()); err != nil {
				return 0, err
			}
		}
	}
	return id, nil
}

// Beat implements store.Backend. A row that changes: SQLite does not write one that does not.
func (d *DB) Beat(ctx context.Context) error {
	return d.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES ('beat', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1`)
		return err
	})
}
