package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/radmatch/radmatch/mfa/store/op"
	"github.com/radmatch/radmatch/mfa/store/record"
)

// ApplyOp applies one operation in tx.
func (d *DB) ApplyOp(ctx context.Context, tx *sql.Tx, o op.Op, done *op.Done) error {
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
		return d.syncToken(ctx, tx, o)
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

// Keep implements store.Backend.
func (d *DB) Keep(ctx context.Context, notes ...op.Note) error {
	return d.Update(ctx, func(tx *sql.Tx) error { return d.KeepNotes(ctx, tx, notes) })
}

// KeepNotes writes notes in tx.
func (d *DB) KeepNotes(ctx context.Context, tx *sql.Tx, notes []op.Note) error {
	for _, n := range notes {
		if err := d.keepNote(ctx, tx, n); err != nil {
			return err
		}
	}
	return nil
}

func (d *DB) keepNote(ctx context.Context, tx *sql.Tx, n op.Note) (err error) {
	switch n := n.(type) {
	case op.KeepLatch:
		_, err = tx.ExecContext(ctx, `INSERT INTO latches (client, addr, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			n.Latch.Client, n.Latch.Addr.String(), record.Micros(n.Latch.Since))
	case op.SeeDevice:
		err = seeDevice(ctx, tx, n)
	case op.SubscribeDevice:
		err = subscribeDevice(ctx, tx, n)
	case op.SeeBypasses:
		_, err = tx.ExecContext(ctx, `UPDATE bypasses SET seen = $1 WHERE seen < $1`, record.Micros(n.At))
	case op.ClearStats:
		_, err = tx.ExecContext(ctx, `DELETE FROM stats WHERE substr(client, 1, length($1)) = $1`, n.Prefix)
	case op.SetStats:
		if n.Data == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM stats WHERE client = $1`, n.Client)
		} else {
			_, err = tx.ExecContext(ctx, `INSERT INTO stats (client, data) VALUES ($1, $2) ON CONFLICT (client) DO UPDATE SET data = excluded.data`, n.Client, n.Data)
		}
	case op.DropPrompt:
		_, err = tx.ExecContext(ctx, `DELETE FROM prompts WHERE id = $1`, n.ID)
	case op.KeepWebPushKey:
		err = d.keepWebPushKey(ctx, tx, n)
	case op.SetClock:
		_, err = tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES ('pruned', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, record.Micros(n.At))
	default:
		err = fmt.Errorf("no such note: %T", n)
	}
	return err
}
