package sqlstore

import (
	"context"
	"database/sql"
	"strings"

	"github.com/radmatch/radmatch/mfa"
)

// Keyed are the tables that hold what belongs to a user. Those that are younger than the
// form, wrong_codes and bypasses, never had another key.
var Keyed = [...]string{"users", "tokens", "devices", "push_blocks"}

// OddKeys are the keys that are no forms, by the form that their names have.
func OddKeys(ctx context.Context, q Querier) (map[string][]string, error) {
	odd := map[string][]string{}
	var union []string
	for _, table := range Keyed {
		union = append(union, `SELECT usr FROM `+table)
	}
	err := Each(ctx, q, strings.Join(union, ` UNION `)+` ORDER BY 1`, nil, func(r *sql.Rows) error {
		var key string
		err := r.Scan(&key)
		if form := mfa.NameOf(key).Key().String(); err == nil && form != key {
			odd[form] = append(odd[form], key)
		}
		return err
	})
	return odd, err
}

// OddKeys implements store.Backend.
func (d *DB) OddKeys(ctx context.Context) (map[string][]string, error) { return OddKeys(ctx, d.SQL) }

// dropOdd removes what other keys of the same name hold.
func dropOdd(ctx context.Context, tx *sql.Tx, form string) error {
	odd, err := OddKeys(ctx, tx)
	if err != nil {
		return err
	}
	for _, key := range odd[form] {
		for _, table := range Keyed {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE usr = $1`, key); err != nil {
				return err
			}
		}
	}
	return nil
}
