package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/radmatch/radmatch/mfa/store/datadir"
	"github.com/radmatch/radmatch/mfa/store/seal"
	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

// openKeys reads the key file, or makes it for a new database, and makes sure
// that it fits.
func (d *DB) openKeys(ctx context.Context) error {
	var sealed bool
	if err := d.SQL.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM seal_key)`).Scan(&sealed); err != nil {
		return err
	}
	there, err := datadir.Exists(d.path(seal.File))
	if err != nil {
		return err
	}
	if !there {
		if sealed {
			return fmt.Errorf("%s is missing: the tokens in %s cannot be opened without it; restore it from its backup", seal.File, File)
		}
		if err := d.Keys.Create(); err != nil {
			return err
		}
	}
	if err := d.Keys.Load(); err != nil {
		return err
	}
	if !sealed {
		if err := d.proveKeys(ctx); err != nil {
			return err
		}
	}
	return d.checkKeys(ctx)
}

// proveKeys binds a new database to the key.
func (d *DB) proveKeys(ctx context.Context) error {
	k := d.Keys.Ring()
	id := k.Newest()
	return d.Update(ctx, func(tx *sql.Tx) error {
		var sealed bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM seal_key)`).Scan(&sealed); err != nil || sealed {
			return err
		}
		return sqlstore.SetKey(ctx, tx, k, id)
	})
}

func (d *DB) checkKeys(ctx context.Context) error {
	var proof []byte
	if err := d.SQL.QueryRowContext(ctx, `SELECT proof FROM seal_key`).Scan(&proof); err != nil {
		return err
	}
	if d.Keys.Ring().Check(proof) != nil {
		return fmt.Errorf("%s is not the key that %s was sealed with: restore the one that belongs to it", seal.File, File)
	}
	return nil
}
