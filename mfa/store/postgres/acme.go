package postgres

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/radmatch/radmatch/mfa/store/sqlstore"
)

// orderTime is for how long a node orders certificates before another may.
const orderTime = 6 * time.Minute

// Certificate returns what is kept under a name, nil for nothing. A row that
// does not open counts as nothing: its certificate is ordered anew.
func (d *DB) Certificate(ctx context.Context, name string) ([]byte, error) {
	var sealed []byte
	err := d.SQL.QueryRowContext(ctx, `SELECT data FROM acme WHERE name = $1`, text(name)).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return d.Unseal(sealed, acmeBound(name))
}

// KeepCertificate keeps data under a name, sealed as tokens are; nil removes it.
func (d *DB) KeepCertificate(ctx context.Context, name string, data []byte) error {
	return d.Update(ctx, func(tx *sql.Tx) error {
		if data == nil {
			_, err := tx.ExecContext(ctx, `DELETE FROM acme WHERE name = $1`, text(name))
			return err
		}
		sealed, err := d.Seal(ctx, tx, data, acmeBound(name))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO acme (name, data) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET data = excluded.data`, text(name), sealed)
		return err
	})
}

// CertificateNames are those under which something is kept.
func (d *DB) CertificateNames(ctx context.Context) (names []string, err error) {
	err = sqlstore.Each(ctx, d.SQL, `SELECT name FROM acme`, nil, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, untext(name))
		return err
	})
	return names, err
}

// MayOrder reports whether this node asks an authority for certificates now: one does at a
// time. It may for orderTime, and again in that time.
func (d *DB) MayOrder(ctx context.Context, authority string) (bool, error) {
	const query = `INSERT INTO offers (id, expires, data) VALUES ($1, ` + offerNow + ` + $2, $3)
		ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, data = excluded.data
		WHERE offers.data = excluded.data OR offers.expires <= ` + offerNow + ` RETURNING true`
	var may bool
	err := d.SQL.QueryRowContext(ctx, query, text("acme "+authority), orderTime.Microseconds(), []byte(d.set.Node)).Scan(&may)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return may, err
}

// acmeBound binds what is kept under a name to it.
func acmeBound(name string) []byte { return append([]byte("acme\x00"), name...) }

// resealCertificates seals what is kept with another key, and removes what does not open.
func (d *DB) resealCertificates(ctx context.Context, tx *sql.Tx, key byte) error {
	ring := d.Keys.Ring()
	sealed := make(map[string][]byte)
	err := sqlstore.Each(ctx, tx, `SELECT name, data FROM acme`, nil, func(r *sql.Rows) error {
		var name string
		var old []byte
		if err := r.Scan(&name, &old); err != nil {
			return err
		}
		sealed[name] = nil
		data, err := ring.Open(old, acmeBound(untext(name)))
		if err == nil {
			sealed[name], err = ring.Seal(key, data, acmeBound(untext(name)))
			return err
		}
		return nil
	})
	for name, data := range sealed {
		if err != nil {
			break
		}
		if data == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM acme WHERE name = $1`, name)
		} else {
			_, err = tx.ExecContext(ctx, `UPDATE acme SET data = $2 WHERE name = $1`, name, data)
		}
	}
	return err
}
