package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	// maxOffers bounds the offers of a site that are open. Requests that come at the same
	// moment may bring a few more.
	maxOffers = 4096
	// maxOffer is the most octets of one.
	maxOffer = 8 << 10
	// offerTime bounds what a browser waits for.
	offerTime = 3 * time.Second

	// Of table offers, which has the leases of MayOrder too. The database's clock counts: it
	// is the same for all nodes.
	offerPrefix = "offer "
	offerNow    = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`
)

// offerID is the id of a row. Whatever a key is made of, it fits into the index.
func offerID(key string) string { return fmt.Sprintf("%s%x", offerPrefix, sha256.Sum256([]byte(key))) }

// offerBound binds what is kept under a key to it.
func offerBound(key string) []byte { return append([]byte("offer\x00"), key...) }

// KeepOffer implements web.Offers. The data is sealed as tokens are.
func (d *DB) KeepOffer(ctx context.Context, key string, data []byte, life time.Duration) (kept bool, err error) {
	if len(data) > maxOffer {
		return false, fmt.Errorf("%d octets are too many to be kept for a next request", len(data))
	}
	const query = `INSERT INTO offers (id, expires, data) SELECT $1::text, ` + offerNow + ` + $2::bigint, $3::bytea
		WHERE (SELECT count(*) FROM offers WHERE id LIKE '` + offerPrefix + `%' AND id <> $1 AND expires > ` + offerNow + `) < $4
		ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, data = excluded.data RETURNING true`
	err = d.updateOffers(ctx, func(ctx context.Context, tx *sql.Tx) error {
		sealed, err := d.Seal(ctx, tx, data, offerBound(key))
		if err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, query, offerID(key), life.Microseconds(), sealed, maxOffers).Scan(&kept)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return kept && err == nil, err
}

// TakeOffer implements web.Offers. A row that does not open, since it was sealed for another
// key or by one that a rekey has removed, counts as nothing.
func (d *DB) TakeOffer(ctx context.Context, key string) ([]byte, error) {
	var sealed []byte
	var open bool
	err := d.updateOffers(ctx, func(ctx context.Context, tx *sql.Tx) error {
		const query = `DELETE FROM offers WHERE id = $1 RETURNING data, expires > ` + offerNow
		return tx.QueryRowContext(ctx, query, offerID(key)).Scan(&sealed, &open)
	})
	if errors.Is(err, sql.ErrNoRows) || err == nil && !open {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return d.Unseal(sealed, offerBound(key))
}

// updateOffers runs f in a write transaction. Two do at once: where commits hang, the other
// connections of the pool stay with the feed and with logins.
func (d *DB) updateOffers(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, offerTime)
	defer cancel()
	select {
	case d.offering <- struct{}{}:
		defer func() { <-d.offering }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return d.Update(ctx, func(tx *sql.Tx) error { return f(ctx, tx) })
}
