package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/radmatch/radmatch/mfa"
	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
)

// Apply implements store.Backend.
func (d *DB) Apply(ctx context.Context, ev mfa.Event, ops ...op.Op) (done op.Done, err error) {
	err = d.update(ctx, func(tx *sql.Tx) error {
		for _, o := range ops {
			if err := d.applyOp(ctx, tx, o, &done); err != nil {
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

// applyOp applies one operation in tx.
func (d *DB) applyOp(ctx context.Context, tx *sql.Tx, o op.Op, done *op.Done) error {
	switch o := o.(type) {
	case op.Block:
		return block(ctx, tx, o)
	case op.Unblock:
		return unblock(ctx, tx, o)
	case op.SetDefaultMethod:
		return setMethod(ctx, tx, o)
	case op.AddTokens:
		return d.addTokens(ctx, tx, o, done)
	case op.RemovePasses:
		return removePasses(ctx, tx, o)
	case op.RemoveToken:
		return d.removeToken(ctx, tx, o)
	case op.SyncToken:
		return syncToken(ctx, tx, o)
	case op.Invite:
		return invite(ctx, tx, o)
	case op.Uninvite:
		return uninvite(ctx, tx, o)
	case op.Enroll:
		return d.enroll(ctx, tx, o)
	case op.AddDevice:
		return insertDevice(ctx, tx, o)
	case op.RemoveDevice:
		return removeDevice(ctx, tx, o)
	case op.RenameDevice:
		return renameDevice(ctx, tx, o)
	case op.AddPasskey:
		return addPasskey(ctx, tx, o)
	case op.BeginBypass:
		return beginBypass(ctx, tx, o, done)
	case op.EndBypass:
		return endBypass(ctx, tx, o)
	case op.Unlatch:
		return unlatch(ctx, tx, o, done)
	case op.Reseal:
		return d.reseal(ctx, tx, o, done)
	}
	return fmt.Errorf("no such operation: %T", o)
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
	return d.update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES ('beat', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1`)
		return err
	})
}

// Keep implements store.Backend.
func (d *DB) Keep(ctx context.Context, notes ...op.Note) error {
	return d.update(ctx, func(tx *sql.Tx) error {
		for _, n := range notes {
			if err := d.keepNote(ctx, tx, n); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *DB) keepNote(ctx context.Context, tx *sql.Tx, n op.Note) (err error) {
	switch n := n.(type) {
	case op.KeepLatch:
		_, err = tx.ExecContext(ctx, `INSERT OR IGNORE INTO latches (client, addr, since) VALUES (?, ?, ?)`,
			n.Latch.Client, n.Latch.Addr.String(), record.Micros(n.Latch.Since))
	case op.SeeDevice:
		err = seeDevice(ctx, tx, n)
	case op.SubscribeDevice:
		err = subscribeDevice(ctx, tx, n)
	case op.SeeBypasses:
		_, err = tx.ExecContext(ctx, `UPDATE bypasses SET seen = max(seen, ?)`, record.Micros(n.At))
	case op.ClearStats:
		_, err = tx.ExecContext(ctx, `DELETE FROM stats`)
	case op.SetStats:
		if n.Data == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM stats WHERE client = ?`, n.Client)
		} else {
			_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO stats (client, data) VALUES (?, ?)`, n.Client, n.Data)
		}
	case op.KeepWebPushKey:
		err = d.keepWebPushKey(ctx, tx, n)
	case op.SetClock:
		_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO meta (key, value) VALUES ('pruned', ?)`, record.Micros(n.At))
	default:
		err = fmt.Errorf("no such note: %T", n)
	}
	return err
}
